"""Reads files and folders of any format into :class:`Rows`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from lit_textclf.data.readers.formats import reader_of
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows, rows_from_tables, select_columns
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import resolve_files


def read_files(
    files: str | Sequence[str],
    columns: ColumnNames,
    options: ReadOptions,
    *,
    option: str,
    label_required: bool = True,
    keep_columns: bool = False,
) -> Rows:
    """Reads files or folders, in order, into one set of rows.

    Args:
        files: the option's value: a path, a glob or a list of them.
        columns: the columns to read; if no text column is named, it is found and reported.
        options: encodings, delimiter and readers.
        option: the option's name, for messages.
        label_required: whether a missing label column is an error.
        keep_columns: whether to keep all other columns too.

    Raises:
        UserError: naming the file and row of the first mistake.
    """
    sources: list[tuple[str, int]] = []
    parts = list(_tables(files, columns, options, sources, option, label_required, keep_columns))
    return rows_from_tables([part for part, _ in parts], parts[-1][1], sources, keep_columns)


def stream_files(
    files: str | Sequence[str], columns: ColumnNames, options: ReadOptions, *, option: str, keep_columns: bool = False
) -> Iterator[Rows]:
    """Reads files as :func:`read_files` does, but one chunk at a time and without requiring labels.

    The rows know their row numbers in the complete input; `kept` has the columns of one file.
    """
    sources: list[tuple[str, int]] = []
    start = 0
    for part, found in _tables(files, columns, options, sources, option, False, keep_columns):
        if len(part):
            numbers = np.arange(start, start + len(part))
            yield replace(rows_from_tables([part], found, sources, keep_columns), row_numbers=numbers)
            start += len(part)


def _tables(
    files: str | Sequence[str], columns: ColumnNames, options: ReadOptions, sources: list[tuple[str, int]],
    option: str, label_required: bool, keep_columns: bool,
) -> Iterator[tuple[pa.Table, ColumnNames]]:  # fmt: skip
    """The output of :func:`select_columns` for each table, and the columns found; adds each file to `sources`."""
    asked, total = columns, 0
    for path in resolve_files(files, option):
        sources.append((str(path), total))
        rows_of_file = 0
        for chunk, table in enumerate(reader_of(path, options)(path, options)):
            if chunk == 0:
                found = asked.found_in(table.column_names, str(path), label_required=label_required)
                if len(sources) > 1:
                    _same_columns(columns, found, sources[0][0], str(path))
                columns = found
            yield select_columns(table, columns, keep_columns, str(path), rows_of_file), columns
            rows_of_file += len(table)
        if not rows_of_file:
            raise UserError(f"{path}: no rows below the header; change --{option}")
        total += rows_of_file
    if asked.text is None and (columns.text, columns.text_pair) != ("text", None):
        chosen = columns.text if columns.text_pair is None else f"{columns.text} and {columns.text_pair}"
        note(f"{sources[0][0]}: text column: {chosen} (found in the file; set --data.text_column to change it)")


def _same_columns(first: ColumnNames, other: ColumnNames, first_file: str, file: str) -> None:
    """Raises an error if one file lacks a column that another has."""
    for name in ("text", "text_pair", "label", "id"):
        ours, theirs = getattr(first, name), getattr(other, name)
        if ours != theirs:
            one, two, column = (first_file, file, ours) if ours is not None else (file, first_file, theirs)
            raise UserError(f"{one} has the column {column!r}, {two} does not; read them separately")
