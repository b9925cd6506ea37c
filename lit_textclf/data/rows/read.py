"""Reads files and folders of any format into :class:`Rows`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from lit_textclf.data.readers.columnar import string_tables
from lit_textclf.data.readers.formats import reader_of
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.memory import names_paths, table_of
from lit_textclf.data.rows.rows import Rows, rows_of_table
from lit_textclf.utils.messages import UserError, shown
from lit_textclf.utils.paths import resolve_files


def read_files(
    files: Any,
    columns: ColumnNames,
    options: ReadOptions,
    *,
    option: str,
    label_required: bool = True,
    keep_columns: bool = False,
) -> Rows:
    """Reads files or folders, in order, into one set of rows.

    Args:
        files: the option's value: a path, a glob or a list of them; in Python also rows, see :func:`table_of`.
        columns: the columns to read; a text or label column that is not named is found and reported.
        options: encodings, delimiter and readers.
        option: the option's name, for messages.
        label_required: whether a missing label column is an error.
        keep_columns: whether to keep all other columns too.

    Raises:
        UserError: naming the file and row of the first mistake.
    """
    parts = stream_files(
        files, columns, options, option=option, label_required=label_required, keep_columns=keep_columns
    )
    return Rows.of_parts(list(parts))


def stream_files(
    files: Any,
    columns: ColumnNames,
    options: ReadOptions,
    *,
    option: str,
    label_required: bool = False,
    keep_columns: bool = False,
) -> Iterator[Rows]:
    """Reads files as :func:`read_files` does, but one chunk at a time; `kept` has the columns of one file."""
    asked, total = columns, 0
    first_file, first_names = "", list[str]()
    for name, read in _sources(files, options, option):
        source, tables = (name, total), iter(read)
        first = list(itertools.islice(tables, 1))
        if first and not len(first[0]):  # column names alone: the first values follow
            first += itertools.islice(tables, 1)
        for chunk, table in enumerate(itertools.chain(first[-1:], tables)):
            if chunk == 0:
                names = columns.in_our_case(table.column_names, name)
            table = table.rename_columns(names)
            if chunk == 0:
                found = asked.found_in(table, name, label_required=label_required)
                if first_file:
                    _same_columns(columns, found, first_file, name)
                else:
                    first_file, first_names = name, names
                columns = found
            if len(table):
                yield rows_of_table(table, columns, source, total, keep=keep_columns)
                total += len(table)
        if total == source[1]:
            raise UserError(f"{name}: no rows below the header; change --{option}")
    asked.report_found(columns, first_file, first_names)


def _sources(files: Any, options: ReadOptions, option: str) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """The name of each file, or of the option for rows in memory, and its rows as tables of strings."""
    if not names_paths(files):
        table = table_of(files, option)
        yield option, string_tables(table.to_batches(CHUNK_ROWS), table.schema, Path(option))
        return
    for path in resolve_files(files, option):
        yield shown(str(path)), reader_of(path, options)(path, options)


def _same_columns(first: ColumnNames, other: ColumnNames, first_file: str, file: str) -> None:
    """Raises an error if one file lacks a column that another has."""
    for name in ("text", "text_pair", "label", "id"):
        ours, theirs = getattr(first, name), getattr(other, name)
        if ours != theirs:
            one, two, column = (first_file, file, ours) if ours is not None else (file, first_file, theirs)
            raise UserError(f"{one} has the column {column!r}, {two} does not; read them separately")
