"""The readers of files, by ending: a new format is one file beside this one and one line here.

Users name their own in `data.readers`. Such a reader is a function `read(path, options)`, or a class whose instances
are called that way: `path` is a `pathlib.Path`, `options` the :class:`ReadOptions` of the other `data.*` options. It
yields pyarrow tables, or lists of dictionaries, a few thousand rows at a time, which are checked as strictly as those
of the built-in readers.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from lit_textclf.data.readers.class_folders import read_folder
from lit_textclf.data.readers.columnar import read_arrow, read_parquet, string_tables
from lit_textclf.data.readers.delimited import read_delimited
from lit_textclf.data.readers.excel import read_excel
from lit_textclf.data.readers.json_lines import keys_of, read_json, records_table
from lit_textclf.data.readers.open_text import COMPRESSED
from lit_textclf.data.readers.tables import Reader, ReadOptions
from lit_textclf.utils.class_path import Spec, instantiate, load_class, split_spec
from lit_textclf.utils.messages import UserError, first_line

TEXT_READERS: dict[str, Reader] = {
    ".csv": read_delimited,
    ".tsv": partial(read_delimited, usual="\t"),
    ".jsonl": read_json,
    ".json": read_json,
}
"""Readers that decompress, by ending."""
READERS: dict[str, Reader] = {
    **TEXT_READERS,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".xlsx": read_excel,
    **{ending + packed: reader for ending, reader in TEXT_READERS.items() for packed in COMPRESSED},
}
"""All readers by ending."""


def known_endings() -> str:
    """The endings for messages, as `.csv, .tsv (also .gz, .zst), .parquet`."""
    others = [ending for ending in READERS if ending not in TEXT_READERS and not ending.endswith(tuple(COMPRESSED))]
    return f"{', '.join(TEXT_READERS)} (also {', '.join(COMPRESSED)}), {', '.join(others)}"


def reader_of(path: Path, options: ReadOptions) -> Reader:
    """The reader of a file or folder: the user's own, or ours, by the longest ending that fits.

    A file with an unknown ending is read as a table if `data.delimiter` is set.

    Raises:
        UserError: if the ending is unknown.
    """
    if path.is_dir():
        return read_folder
    if ending := _ending_of(path, options):
        return {**READERS, **options.readers}[ending]
    if options.delimiter is not None:
        return read_delimited
    if path.suffix.lower() in (".xls", ".xlsm", ".ods"):
        raise UserError(f"{path}: a spreadsheet; save it as .xlsx or CSV (in Excel: Save as > CSV UTF-8)")
    raise UserError(
        f"{path}: unknown file ending {path.suffix!r}; use {known_endings()} or a folder of classes, or name a reader "
        "with --data.readers"
    )


def _ending_of(path: Path, options: ReadOptions) -> str:
    """The longest known ending of a file's name; empty if there is none."""
    endings = [ending for ending in {**READERS, **options.readers} if path.name.lower().endswith(ending)]
    return max(endings, key=len, default="")


def stem_of(path: Path, options: ReadOptions) -> str:
    """A file's name without its ending, as `reviews` of `reviews.csv.gz`; that of a folder as it is."""
    if path.is_dir():
        return path.resolve().name
    ending = _ending_of(path, options)
    return path.name[: -len(ending)] if ending else path.stem


def custom_readers(specs: Mapping[str, Spec] | None) -> dict[str, Reader]:
    """Imports the readers of `data.readers`.

    Raises:
        UserError: for an ending without a dot, or something that cannot be imported or called.
    """
    readers: dict[str, Reader] = {}
    for ending, spec in (specs or {}).items():
        if not ending.startswith(".") or len(ending) < 2:
            raise UserError(f"data.readers {ending!r}: must be a file ending with its dot, as .xml")
        name, arguments = split_spec(spec, "data.readers")
        made = load_class(spec, "data.readers")
        read = instantiate(spec, "data.readers") if inspect.isclass(made) else partial(made, **arguments)
        try:
            inspect.signature(read).bind(Path(), ReadOptions())
        except TypeError as error:  # not callable, or with other arguments
            raise UserError(f"data.readers {name}: must be called with (path, options): {first_line(error)}") from None
        readers[ending.lower()] = partial(_read, read, name)
    return readers


def _read(read: Any, name: str, path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Runs a user's reader and checks that it yields rows of strings."""
    columns: list[str] | None = None
    start = 0
    for chunk in _run(read, name, path, options):
        if isinstance(chunk, pa.Table):
            tables: Iterable[pa.Table] = string_tables(chunk.to_batches(), chunk.schema, path, start)
        elif isinstance(chunk, list) and all(isinstance(record, dict) for record in chunk):
            tables = [_table_of(chunk, columns, name, path, start)]
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


def _table_of(records: list[dict[str, Any]], columns: list[str] | None, name: str, path: Path, start: int) -> pa.Table:
    keys = keys_of(records)
    columns = columns or keys
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
