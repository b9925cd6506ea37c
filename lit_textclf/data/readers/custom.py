"""Readers that users name in `data.readers`, with the same checks as ours.

A reader is a function `read(path, options)`, or a class whose instances are called so: `path` is a `pathlib.Path`,
`options` the :class:`ReadOptions` of the other `data.*` options. It yields pyarrow tables, or lists of dictionaries, a
few thousand rows at a time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from lit_textclf.data.readers.columnar import string_tables
from lit_textclf.data.readers.json_lines import records_table
from lit_textclf.data.readers.tables import Reader, ReadOptions
from lit_textclf.utils.class_path import Spec, instantiate, load_class, split_spec
from lit_textclf.utils.messages import UserError, first_line

OPTION = "data.readers"


def custom_readers(specs: Mapping[str, Spec] | None) -> dict[str, Reader]:
    """Imports the readers of `data.readers`.

    Args:
        specs: by ending, each a dotted name or `{class_path: ..., init_args: ...}`.

    Raises:
        UserError: for an ending without a dot, or something that cannot be imported or called.
    """
    readers: dict[str, Reader] = {}
    for ending, spec in (specs or {}).items():
        if not ending.startswith(".") or len(ending) < 2:
            raise UserError(f"{OPTION} {ending!r}: must be a file ending with its dot, as .xml")
        name, arguments = split_spec(spec, OPTION)
        made = load_class(spec, OPTION)
        read = instantiate(spec, OPTION) if inspect.isclass(made) else partial(made, **arguments)
        try:
            inspect.signature(read).bind(Path(), ReadOptions())
        except TypeError as error:  # not callable, or with other arguments
            raise UserError(f"{OPTION} {name}: must be called with (path, options): {first_line(error)}") from None
        readers[ending.lower()] = partial(_read, read, name)
    return readers


def _read(read: Any, name: str, path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Runs a user's reader and checks what it yields.

    Raises:
        UserError: if it fails, or yields something that cannot be rows of strings.
    """
    columns: list[str] | None = None
    start = 0
    for chunk in _run(read, name, path, options):
        if isinstance(chunk, pa.Table):
            tables: Iterable[pa.Table] = string_tables(chunk.to_batches(), chunk.schema, path, start)
        elif isinstance(chunk, list) and all(isinstance(record, dict) for record in chunk):
            keys = list(dict.fromkeys(key for record in chunk for key in record))
            tables = [_table_of(chunk, columns or keys, keys, name, path, start)]
        else:
            raise UserError(
                f"{path}: {name} yielded a {type(chunk).__name__}; a reader must yield pyarrow tables or lists of "
                "dictionaries"
            )
        for table in tables:
            if columns is not None and table.column_names != columns:
                raise UserError(
                    f"{path}: row {start}: {name} yielded the columns {table.column_names}, and {columns} before; "
                    "all chunks must have the same"
                )
            columns = table.column_names
            yield table
            start += len(table)


def _run(read: Any, name: str, path: Path, options: ReadOptions) -> Iterator[Any]:
    """What a reader yields; its exceptions become one line, with the traceback as their cause."""
    try:
        yield from read(path, options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: {name} failed: {type(error).__name__}: {first_line(error)}") from error


def _table_of(
    records: list[dict[str, Any]], columns: list[str], keys: list[str], name: str, path: Path, start: int
) -> pa.Table:
    if unknown := [key for key in keys if key not in columns or not isinstance(key, str)]:
        raise UserError(
            f"{path}: row {start} or one after it: {name} yielded the key {unknown[0]!r}, which is not a string or "
            "not one of the first rows' keys"
        )
    for row, record in enumerate(records, start):
        for key, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{path}: row {row}, column {key!r}: {name} yielded {value}; use None for no value")
    try:
        return records_table(records, columns, path, "utf-8", start)
    except TypeError as error:  # what JSON cannot write, as a date
        raise UserError(f"{path}: row {start} or one after it: {name}: {first_line(error)}; yield strings") from None
