"""One way in for every input: files by their ending, folders and data sets become :class:`Rows`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from lit_textclf.data.readers.class_folders import read_folder
from lit_textclf.data.readers.columnar import read_arrow, read_parquet
from lit_textclf.data.readers.delimited import read_delimited
from lit_textclf.data.readers.json_lines import read_json
from lit_textclf.data.readers.open_text import pick_encoding
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows, rows_from_tables, select_columns
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import resolve_files

DELIMITERS = {".csv": ",", ".tsv": "\t"}
COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class ReadOptions:
    """How files are read: `data.encoding`, `data.delimiter` and `data.quote_char`."""

    encodings: tuple[str, ...] = ("utf-8",)
    delimiter: str | None = None
    quote_char: str = '"'


def read_files(
    files: str | Sequence[str],
    columns: ColumnNames,
    options: ReadOptions,
    *,
    option: str,
    label_required: bool = True,
    keep_columns: bool = False,
) -> Rows:
    """Reads one or several files or folders, in order, into one set of rows.

    Args:
        files: what the option says: a path, a glob or a list of them.
        columns: the columns to read; text columns left open are found and said.
        options: encodings and delimiters.
        option: the option's name, for messages.
        label_required: whether a missing label column is an error.
        keep_columns: whether to hold all other columns too.

    Raises:
        UserError: naming the file and row of the first thing that is wrong.
    """
    sources: list[tuple[str, int]] = []
    parts = list(_selected(files, columns, options, sources, option, label_required, keep_columns))
    return rows_from_tables([part for part, _ in parts], parts[-1][1], sources, keep_columns)


def stream_files(
    files: str | Sequence[str], columns: ColumnNames, options: ReadOptions, *, option: str, keep_columns: bool = False
) -> Iterator[Rows]:
    """Reads files as :func:`read_files` does, labels not required, and holds no more than a chunk of them.

    Yields:
        Rows that know their places in the whole input; other columns of the files (`kept`) are those of one file.
    """
    sources: list[tuple[str, int]] = []
    start = 0
    for part, found in _selected(files, columns, options, sources, option, False, keep_columns):
        if len(part):
            numbers = np.arange(start, start + len(part))
            yield replace(rows_from_tables([part], found, sources, keep_columns), row_numbers=numbers)
            start += len(part)


def _selected(
    files: str | Sequence[str], columns: ColumnNames, options: ReadOptions, sources: list[tuple[str, int]],
    option: str, label_required: bool, keep_columns: bool,
) -> Iterator[tuple[pa.Table, ColumnNames]]:  # fmt: skip
    """The files' tables as :func:`select_columns` makes them, with the columns found; adds to `sources` as it goes."""
    asked, total = columns, 0
    for path in resolve_files(files, option):
        sources.append((str(path), total))
        rows_of_file = 0
        for position, table in enumerate(_tables(path, options)):
            if position == 0:
                found = asked.found_in(table.column_names, str(path), label_required=label_required)
                if len(sources) > 1:
                    _same_columns(columns, found, sources[0][0], str(path))
                columns = found
            yield select_columns(table, columns, keep_columns, str(path), rows_of_file), columns
            rows_of_file += len(table)
        if not rows_of_file:
            raise UserError(f"{path}: no rows below the header; change {option}")
        total += rows_of_file
    if asked.text is None and (columns.text, columns.text_pair) != ("text", None):
        chosen = columns.text if columns.text_pair is None else f"{columns.text} and {columns.text_pair}"
        note(f"{sources[0][0]}: text column: {chosen} (found; data.text_column would change it)")


def _same_columns(first: ColumnNames, other: ColumnNames, first_file: str, file: str) -> None:
    """Refuses files of one set of rows of which one lacks a column that another has."""
    for name in ("text", "text_pair", "label", "id"):
        ours, theirs = getattr(first, name), getattr(other, name)
        if ours != theirs:
            one, two, column = (first_file, file, ours) if ours is not None else (file, first_file, theirs)
            raise UserError(f"{one} has a column {column!r} to be read, {two} has not; read them one by one")


def _tables(path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads one file or folder by its ending; a new format is one line here and one file beside this one."""
    if path.is_dir():
        return read_folder(path, options.encodings)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return read_parquet(path)
    if suffix == ".arrow":
        return read_arrow(path)
    if suffix in COMPRESSED:
        suffix = Path(path.stem).suffix.lower()
    encoding = pick_encoding(path, options.encodings)
    if encoding != options.encodings[0]:
        note(f"{path}: 1 file read as {encoding}, not {options.encodings[0]}")
    if suffix in DELIMITERS or (options.delimiter and suffix not in (".json", ".jsonl")):
        delimiter = options.delimiter or DELIMITERS[suffix]
        return read_delimited(path, encoding, delimiter, options.quote_char)
    if suffix in (".jsonl", ".json"):
        return read_json(path, encoding)
    raise UserError(
        f"{path}: unknown kind of file {suffix!r}; use .csv, .tsv, .jsonl, .json (.gz and .zst "
        "too), .parquet, .arrow or a folder of classes"
    )
