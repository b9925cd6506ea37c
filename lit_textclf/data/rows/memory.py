"""Rows from memory: lists, dictionaries, tables of pandas, polars and pyarrow, and data sets of `datasets`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import pyarrow as pa

from lit_textclf.data.rows.hub import table_of_dataset
from lit_textclf.utils.messages import UserError, first_line
from lit_textclf.utils.paths import Paths

KINDS = (
    "a path, a list of paths, a list of dictionaries, a dictionary of columns, a table (pandas, polars, pyarrow), or a "
    "datasets.Dataset"
)
"""What `data.*_file` takes in Python."""


def names_paths(value: Any) -> TypeGuard[Paths]:
    """Whether a value is a path, or a list of paths."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(each, (str, os.PathLike)) for each in values)


def source_of(value: Any, option: str) -> Any:
    """Paths and None as they are, rows in memory as a table, see :func:`table_of`."""
    return value if value is None or names_paths(value) else table_of(value, option)


def table_of(value: Any, option: str) -> pa.Table:
    """The rows of an object in memory as an Arrow table.

    Args:
        value: rows as :data:`KINDS` lists them; any object with the Arrow PyCapsule interface will do.
        option: the option's name, for messages.

    Raises:
        UserError: if the object is something else, or a column has values of different types.
    """
    library = type(value).__module__.partition(".")[0]
    try:
        if isinstance(value, pa.Table):
            return value
        if library == "datasets" and hasattr(value, "features"):
            return table_of_dataset(value, option)
        if library == "pandas" and hasattr(value, "columns"):  # its PyCapsule stream would contain the index
            return _copied(pa.Table.from_pandas(value, preserve_index=False))
        if isinstance(value, Mapping):
            if nested := [str(name) for name, column in value.items() if hasattr(column, "features")]:
                raise UserError(f"{option}: several data sets ({', '.join(nested)}); give one of them")
            return _copied(pa.table({str(name): _column(each, option, str(name)) for name, each in value.items()}))
        if isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value):
            names = dict.fromkeys(name for row in value for name in row)
            columns = {str(name): [row.get(name) for row in value] for name in names}
            return pa.table({name: _column(column, option, name) for name, column in columns.items()})
        if library != "pandas" and (hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")):
            return pa.table(value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UserError(f"{option}: cannot be read as rows ({first_line(error)})") from None
    raise UserError(f"{option}: {type(value).__name__} cannot be read as rows; give {KINDS}")


def _copied(table: pa.Table) -> pa.Table:
    """A table of its own memory: Arrow shares that of arrays, whose later changes would change the rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _column(values: Any, option: str, name: str) -> Any:
    """A column as Arrow takes it."""
    if isinstance(values, str):
        raise UserError(f"{option}: column {name!r} is one string; give a list of them")
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError) as error:
        raise UserError(f"{option}: column {name!r} has values of different types ({first_line(error)})") from None
