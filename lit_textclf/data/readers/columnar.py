"""Parquet and Arrow files, and how their typed values become strings."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.readers.open_text import reason_of, undecodable
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions, nested_field
from lit_textclf.utils.messages import UserError, note, plural

if TYPE_CHECKING:
    import pyarrow.parquet as pq


_CAST = (
    pa.types.is_primitive, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
)  # fmt: skip
_BYTES = (
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view,
)  # fmt: skip
# https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format: magic and padding, a stream, a footer, magic
_MAGIC = b"ARROW1"
_FILE_HEAD = 8
_MESSAGE = b"\xff\xff\xff\xff"


def read_parquet(path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads a Parquet file into tables of strings of up to :data:`CHUNK_ROWS` rows.

    Raises:
        UserError: if it is not a Parquet file, is cut short, or has a column that cannot be read as text.
    """
    import pyarrow.parquet as pq

    with _says_why_not(path, "a Parquet"), pq.ParquetFile(path, page_checksum_verification=True) as file:
        yield from string_tables(_batches(file), file.schema_arrow, path)


def read_arrow(path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads an Arrow file, in the file format or the stream format (which `datasets` writes), into tables of strings.

    The file format is read as the stream inside it: the batches that its footer points to would be read even where
    bytes were lost or added before them, as different texts.

    Raises:
        UserError: if it is not an Arrow file, is cut short, or has a column that cannot be read as text.
    """
    with _says_why_not(path, "an Arrow"), pa.memory_map(str(path)) as source:
        batches, end = None, source.size()
        if source.read(len(_MAGIC)) == _MAGIC:
            with pa.ipc.open_file(source) as file:
                batches = file.num_record_batches
            end = _footer_start(source)
            source.seek(_FILE_HEAD)
        else:
            source.seek(0)
        with pa.ipc.open_stream(source) as stream:
            yield from string_tables(_messages(stream, source), stream.schema, path)
            if batches not in (None, stream.stats.num_record_batches):
                raise pa.ArrowInvalid(f"{stream.stats.num_record_batches} batches, not {batches}")
        if source.tell() != end:
            raise pa.ArrowInvalid("data follows its end-of-stream mark")


def _messages(stream: pa.ipc.RecordBatchStreamReader, source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """The batches of a stream in which each message, and the end, begins with the required mark.

    pyarrow takes a file that just stops for a complete one, and a message without the mark for one of Arrow 0.14, even
    if the mark was lost in the body before it.
    """
    while True:
        if source.read_at(len(_MESSAGE), source.tell()) != _MESSAGE:
            raise pa.ArrowInvalid("a message or the end-of-stream mark is not where it should be")
        try:
            yield stream.read_next_batch()
        except StopIteration:
            return


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in file.iter_batches(CHUNK_ROWS):
        rows += batch.num_rows
        yield batch
    if rows != file.metadata.num_rows:
        raise pa.ArrowInvalid(f"{plural(rows, 'row')}, not {file.metadata.num_rows:,}")


def _footer_start(source: pa.NativeFile) -> int:
    """Where the footer of an Arrow file begins; the closing magic follows its length."""
    tail = source.size() - len(_MAGIC) - 4
    source.seek(tail)
    return int(tail - int.from_bytes(source.read(4), "little"))


@contextmanager
def _says_why_not(path: Path, kind: str) -> Iterator[None]:
    """Turns pyarrow's errors for a file that it cannot read into one line."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
        reason = reason_of(error)
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"{path}: cannot be read ({reason})") from None
        raise UserError(f"{path}: not {kind} file, or cut short or damaged ({reason}); write it again") from None


def string_tables(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, start: int = 0
) -> Iterator[pa.Table]:
    """Turns batches of typed columns into tables of strings, and checks everything that pyarrow does not.

    The first table is empty, so that the column names are known without a row; then follows one for each batch.

    Raises:
        UserError: naming row and column of the first value that cannot be read as text.
    """
    for name in schema.names:
        if reason := undecodable(name, "utf-8"):
            raise UserError(f"{path}: the column name {name!a}: {reason}")
        if schema.names.count(name) > 1:
            raise UserError(f"{path}: {schema.names.count(name)} columns are named {name!r}; rename one")
    yield pa.table({name: pa.array([], pa.string()) for name in schema.names})
    row = start
    missing: Counter[str] = Counter()
    for batch in batches:
        table = pa.Table.from_batches([batch])
        for name in table.column_names:
            _validate(table[name], path, name, row)
        table, not_numbers = _without_nan(table)
        missing.update(not_numbers)
        table = as_strings(table, str(path), row)
        for name in table.column_names:
            _refuse_nul(table[name], path, name, row)
        yield table
        row += len(batch)
    for name, number in missing.items():
        note(f"{path}: column {name!r}: {plural(number, 'NaN')} read as missing")


def as_strings(table: pa.Table, where: str = "the data set", start: int = 0) -> pa.Table:
    """Turns numbers into digits, booleans, lists and objects into JSON, and decodes bytes as UTF-8.

    Raises:
        UserError: naming row and column of the first bytes that are not UTF-8.
    """
    columns, fields = [], []
    for field in table.schema:
        values, as_string = table[field.name], pa.field(field.name, pa.string())
        if pa.types.is_dictionary(values.type):
            values = _decoded(values)
        if any(matches(values.type) for matches in _BYTES):
            values = _from_bytes(values, where, field.name, start)
        elif any(matches(values.type) for matches in _CAST):
            values = values.cast(pa.string())
        elif pa.types.is_decimal(values.type) or pa.types.is_null(values.type):
            digits = [None if value is None else f"{value:f}" for value in values.to_pylist()]  # a cast writes 0E-10
            values = pa.chunked_array([pa.array(digits, pa.string())])
        else:
            as_string = nested_field(field.name, str(values.type))
            values = pa.chunked_array([pa.array([_as_json(value) for value in values.to_pylist()], pa.string())])
        columns.append(values)
        fields.append(as_string)
    return pa.table(columns, schema=pa.schema(fields))


def _decoded(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary's values in place of its indices; with `take`, because a cast cannot decode lists."""
    views = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}  # pyarrow 26 cannot take from these
    kind = views.get(values.type.value_type, values.type.value_type)
    return pa.chunked_array([chunk.dictionary.cast(kind).take(chunk.indices) for chunk in values.chunks], kind)


def _from_bytes(values: pa.ChunkedArray, where: str, name: str, start: int) -> pa.ChunkedArray:
    texts = []
    for row, value in enumerate(values.to_pylist(), start):
        try:
            texts.append(None if value is None else value.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(
                f"{where}: row {row}, column {name!r}: byte 0x{value[error.start]:02x} at byte {error.start} is not "
                "utf-8; write the column as strings or leave it out"
            ) from None
    return pa.chunked_array([pa.array(texts, pa.string())])


def _as_json(value: Any) -> str | None:
    def other(inner: Any) -> str:
        return inner.decode("utf-8", "backslashreplace") if isinstance(inner, bytes) else str(inner)

    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=other)
    return None if value is None else str(value)


def _without_nan(table: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """Replaces NaN, the missing number of pandas and NumPy, by null; and counts them by column."""
    found = {}
    for index, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            is_nan = pc.is_nan(table[field.name])
            if number := pc.sum(is_nan).as_py():
                found[field.name] = number
                values = pc.if_else(is_nan, pa.scalar(None, field.type), table[field.name])
                table = table.set_column(index, field, values)
    return table, found


def _validate(values: pa.ChunkedArray, path: Path, name: str, start: int) -> None:
    """Checks offsets, indices and UTF-8, which pyarrow does not check when it reads."""
    try:
        values.validate(full=True)
    except pa.ArrowException as error:
        found = re.search(r"Invalid UTF8 sequence at string index (\d+)", str(error))
        if found is None or pa.types.is_nested(values.type) or pa.types.is_dictionary(values.type):
            raise UserError(
                f"{path}: row {start} or one after it, column {name!r}: damaged ({reason_of(error)}); "
                "write the file again"
            ) from None
        raise UserError(
            f"{path}: row {start + int(found[1])}, column {name!r}: bytes that are not utf-8; write them as UTF-8"
        ) from None


def _refuse_nul(values: pa.ChunkedArray, path: Path, name: str, start: int) -> None:
    wrong = pc.index(pc.match_substring(values, "\0"), True).as_py()
    if wrong >= 0:
        raise UserError(f"{path}: row {start + wrong}, column {name!r}: {undecodable(values[wrong].as_py(), 'utf-8')}")
