"""What readers take and yield: options, and tables of strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lit_textclf.data.readers.open_text import UTF_8_OR_CP1252, undecodable
from lit_textclf.utils.messages import UserError

CHUNK_ROWS = 8192
"""Rows read and handed on at a time."""


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    Attributes:
        encodings: of text files, tried in order (`data.encoding`).
        encoding_is_known: whether the user named them; otherwise files that are not UTF-8 may be read as cp1252.
        delimiter: between columns (`data.delimiter`); None goes by the file's ending.
        quote_char: around fields (`data.quote_char`); empty if quotes have no meaning.
        readers: the user's readers by ending (`data.readers`).
    """

    encodings: tuple[str, ...] = ("utf-8",)
    delimiter: str | None = None
    quote_char: str = '"'
    readers: Mapping[str, Reader] = field(default_factory=dict)
    encoding_is_known: bool = True

    @property
    def tried(self) -> tuple[str, ...]:
        """The encodings for :func:`pick_encoding`."""
        return self.encodings if self.encoding_is_known else (UTF_8_OR_CP1252,)


def delimiter_char(delimiter: str | None) -> str | None:
    r"""The character that `data.delimiter` means; `\t` may be typed for a tab."""
    if delimiter is None or len(delimiter) == 1:
        return delimiter
    if delimiter == r"\t":
        return "\t"
    raise UserError(f"data.delimiter {delimiter!r}: must be one character")


class Reader(Protocol):
    """Reads files of one format."""

    def __call__(self, path: Path, options: ReadOptions, /) -> Iterator[pa.Table]:
        """Reads a file into tables of string columns, all with the same columns, of about :data:`CHUNK_ROWS` rows.

        Raises:
            UserError: naming the file and the row of the first mistake.
        """


def string_table(
    columns: Mapping[str, Sequence[str | None]],
    path: Path,
    encoding: str,
    start: int = 0,
    files: Sequence[Path] | None = None,
) -> pa.Table:
    """Builds a table of string columns.

    Path, encoding, the first row's number and each row's own file, where it has one, are for messages.

    Raises:
        UserError: naming row and column of the first value with a NUL, a bad byte or a lone surrogate.
    """
    for name, values in columns.items():
        if reason := undecodable(name, encoding):
            raise UserError(f"{path}: the column name {name!a}: {reason}")
        for row, value in enumerate(values):
            if value is None or (value.isascii() and "\0" not in value):
                continue
            if reason := undecodable(value, encoding):
                where = f"{files[row]}" if files else f"{path}: row {start + row}, column {name!r}"
                raise UserError(f"{where}: {reason}")
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def nested_field(name: str, contents: str) -> pa.Field:
    """A string column of JSON lists or objects: fine for labels and kept columns, but not text for a model."""
    return pa.field(name, pa.string(), metadata={"nested": contents})


def number_field(name: str) -> pa.Field:
    """A string column whose values are JSON numbers: as labels, 1 and 1.0 are one."""
    return pa.field(name, pa.string(), metadata={"numbers": "json"})


def is_number_field(field: pa.Field) -> bool:
    """Whether a column is one of :func:`number_field`."""
    return b"numbers" in (field.metadata or {})


def is_nested(field: pa.Field) -> str:
    """What a column of :func:`nested_field` contains, as `a list in row 0`; empty for other columns."""
    return str((field.metadata or {}).get(b"nested", b"").decode())


def wrong_field(name: str, what: str) -> pa.Field:
    """A string column with a value that must not be used as a text, label or id; `what` says which, and what to do."""
    return pa.field(name, pa.string(), metadata={"wrong": what})


def what_is_wrong(field: pa.Field) -> str:
    """What :func:`wrong_field` says of a column; empty for other columns."""
    return str((field.metadata or {}).get(b"wrong", b"").decode())
