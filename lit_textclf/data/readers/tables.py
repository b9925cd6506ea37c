"""Tables of strings, which all readers make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from lit_textclf.data.readers.open_text import undecodable
from lit_textclf.utils.messages import UserError

CHUNK_ROWS = 8192
"""Rows that are read and handed on at a time."""


def string_table(
    columns: Mapping[str, Sequence[str | None]],
    path: Path,
    encoding: str,
    start: int = 0,
    files: Sequence[Path] | None = None,
) -> pa.Table:
    """Builds a table of string columns.

    Args:
        columns: the values by column name.
        path: where they come from, for messages.
        encoding: likewise.
        start: the first row's number in the file.
        files: each row's own file, where it has one.

    Raises:
        UserError: naming row and column of the first value with a NUL, a bad byte or a lone surrogate.
    """
    for name, values in columns.items():
        if reason := undecodable(name, encoding):
            raise UserError(f"{path}: the column name {name!a}: {reason}")
        for row, value in enumerate(values):
            if (value is not None and not value.isascii()) or (value and "\0" in value):
                reason = undecodable(value, encoding)
                if reason:
                    where = f"{files[row]}" if files else f"{path}: row {start + row}, column {name!r}"
                    raise UserError(f"{where}: {reason}")
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def nested_field(name: str, holds: str) -> pa.Field:
    """A string column that spells lists or objects: fine for labels and kept columns, no text for a model."""
    return pa.field(name, pa.string(), metadata={"nested": holds})


def is_nested(field: pa.Field) -> str:
    """What a column holds that spells lists or objects (see `nested_field`), as `a list in row 0`; else nothing."""
    return str((field.metadata or {}).get(b"nested", b"").decode())
