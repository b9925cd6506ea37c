"""Parquet and Arrow files, and how their typed values are spelled as strings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.errors import UserError
from lit_textclf.rows.delimited import CHUNK_ROWS, nested_field
from lit_textclf.rows.text_files import undecodable

_SPELLED = (
    pa.types.is_primitive, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
)  # fmt: skip


def read_parquet(path: Path) -> Iterator[pa.Table]:
    """Reads a Parquet file into tables of strings of up to :data:`CHUNK_ROWS` rows.

    Raises:
        UserError: if it is none, is cut short, or has a column that cannot be read as text.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from _spelled(file.iter_batches(CHUNK_ROWS), file.schema_arrow, path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a Parquet file, or one cut short ({_first_line(error)})") from None


def read_arrow(path: Path) -> Iterator[pa.Table]:
    """Reads an Arrow file, in the file format or the stream format (which `datasets` writes), into tables of strings.

    Raises:
        UserError: if it is none, is cut short, or has a column that cannot be read as text.
    """
    try:
        with pa.memory_map(str(path)) as source:
            try:
                reader = pa.ipc.open_file(source)
            except pa.ArrowInvalid:
                source.seek(0)
                stream = pa.ipc.open_stream(source)
                yield from _spelled(stream, stream.schema, path)
                return
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            yield from _spelled(batches, reader.schema, path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not an Arrow file, or one cut short ({_first_line(error)})") from None


def _spelled(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> Iterator[pa.Table]:
    """Tables of strings; an empty one first, whose column names are known without a row."""
    for name in schema.names:
        if schema.names.count(name) > 1:
            raise UserError(f"{path}: the column {name!r} is there {schema.names.count(name)} times; rename one")
    yield pa.table({name: pa.array([], pa.string()) for name in schema.names})
    row = 0
    for batch in batches:
        table = as_strings(pa.Table.from_batches([batch]))
        for name in table.column_names:
            _check(table[name], path, name, row)
        yield table
        row += len(batch)


def as_strings(table: pa.Table) -> pa.Table:
    """Spells numbers in digits and booleans as JSON does, lists and objects as Python prints them."""
    columns, fields = [], []
    for field in table.schema:
        values = table[field.name]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if any(matches(values.type) for matches in _SPELLED):
            columns.append(values.cast(pa.string()))
            fields.append(pa.field(field.name, pa.string()))
        else:
            spelled = [None if value is None else str(value) for value in values.to_pylist()]
            columns.append(pa.chunked_array([pa.array(spelled, pa.string())]))
            fields.append(nested_field(field.name, str(values.type)))
    return pa.table(columns, schema=pa.schema(fields))


def _check(values: pa.ChunkedArray, path: Path, name: str, start: int) -> None:
    wrong = pc.index(pc.match_substring(values, "\0"), True).as_py()
    if wrong >= 0:
        raise UserError(f"{path}: row {start + wrong}, column {name!r}: {undecodable(values[wrong].as_py(), 'utf-8')}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
