"""Damaged files of every format: one clear line, or exactly the rows that an independent reading of the bytes gives."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from lit_textclf import UserError
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files

Row = tuple[str, str | None]


class Malformed(Exception):
    """The oracle finds no rows: the reader must not either."""


# --- What is written ----------------------------------------------------------------------------------------------


def as_delimited(rows: list[Row], delimiter: str) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("text", "label"), *rows])
    return sink.getvalue().encode()


def as_json_lines(rows: list[Row]) -> bytes:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=index % 2 == 0) for index, (text, label) in
             enumerate(rows)]  # fmt: skip
    return ("\n".join(lines) + "\n").encode()


def as_json(rows: list[Row]) -> bytes:
    return json.dumps([{"text": text, "label": label} for text, label in rows], indent=1).encode()


def as_zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def table_of(rows: list[Row]) -> pa.Table:
    return pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


def as_parquet(rows: list[Row]) -> bytes:
    sink = pa.BufferOutputStream()
    # Without checksums a changed byte of a page is a valid other text, which nothing can tell.
    pq.write_table(table_of(rows), sink, write_page_checksum=True, row_group_size=2)
    return bytes(sink.getvalue())


def as_arrow(rows: list[Row], new: Callable[..., pa.ipc.RecordBatchStreamWriter]) -> bytes:
    sink = pa.BufferOutputStream()
    table = table_of(rows)
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue())


# --- The oracle: what the bytes say, by other code than the package's ---------------------------------------------


def decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise Malformed from None


def clean(rows: list[Row]) -> list[Row]:
    values = [value for row in rows for value in row if value is not None]
    if not rows or any("\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value) for value in values):
        raise Malformed
    return rows


def from_delimited(content: bytes, delimiter: str) -> list[Row]:
    """RFC 4180 with LF, CRLF or CR; a quote inside a field that does not begin with one stands for itself."""
    records, record, place, text = [], list[str](), 0, decoded(content)
    while place < len(text):
        if text[place] == '"':
            field = ""
            while True:
                close = text.find('"', place + 1)
                if close < 0:
                    raise Malformed
                field += text[place + 1 : close]
                place = close + 1
                if text[place : place + 1] != '"':
                    break
                field += '"'
        else:
            end = min((found for sign in (delimiter, "\r", "\n") if (found := text.find(sign, place)) >= 0), default=-1)
            field, place = text[place : end if end >= 0 else None], end if end >= 0 else len(text)
        after = text[place : place + 1]
        place += 2 if text[place : place + 2] == "\r\n" else 1
        if after not in (delimiter, "\r", "\n", ""):
            raise Malformed
        blank = not record and field == "" and after != delimiter and text[place - 2 : place - 1] != '"'
        record.append(field)
        if after == delimiter:
            if place == len(text):
                record.append("")
        else:
            records += [] if blank and records else [record]
            record = []
    if record:
        records.append(record)
    header, *rows = records or [[""]]
    if any(len(row) != len(header) for row in rows) or header.count("text") != 1 or header.count("label") != 1:
        raise Malformed
    if len(set(filter(None, header))) != len([name for name in header if name]):
        raise Malformed
    clean([(value, None) for row in [header, *rows] for value in row])
    return clean([(row[header.index("text")], row[header.index("label")]) for row in rows])


def from_json(content: bytes) -> list[Row]:
    def refuse(_: object) -> NoReturn:
        raise Malformed

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse(pairs)

    def spelled(value: Any) -> str | None:
        return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    text = decoded(content).removeprefix("\ufeff")
    parts = [text] if text.lstrip().startswith("[") else text.replace("\r", "\n").split("\n")
    try:
        # A mark at the start of a line is left from files that were put together.
        parts = [part.removeprefix("\ufeff") for part in parts if part.strip()]
        found = [json.loads(part, parse_constant=refuse, object_pairs_hook=once) for part in parts]
    except ValueError:
        raise Malformed from None
    if text.lstrip().startswith("[") and found and isinstance(found[0], list):
        found = found[0]
    if not all(isinstance(record, dict) for record in found):
        raise Malformed
    if any(isinstance(record.get("text"), (dict, list)) for record in found):
        raise Malformed
    for key in ("text", "label"):
        if not any(key in record for record in found):
            raise Malformed
    clean([(spelled(value) or "", key) for record in found for key, value in record.items()])
    return clean([(spelled(record.get("text")) or "", spelled(record.get("label"))) for record in found])


def from_gzip(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        raise Malformed from None


def from_zstd(content: bytes) -> bytes:
    # Python 3.11 has no zstd of its own. Frames have no checksum here, so that a changed byte may be other valid text;
    # what is cut short is judged by the test itself.
    try:
        return pa.input_stream(pa.BufferReader(content), compression="zstd").read()  # type: ignore[no-any-return]
    except (OSError, pa.ArrowException):
        raise Malformed from None


# --- The damage ---------------------------------------------------------------------------------------------------

Damage = Callable[[bytes, int, bytes], bytes]
"""Of content, a place in it and a few bytes makes other content."""


def line_at(content: bytes, place: int) -> tuple[list[bytes], int]:
    lines = content.splitlines(keepends=True) or [b""]
    return lines, place % len(lines)


def twice(content: bytes, place: int, _: bytes) -> bytes:
    lines, index = line_at(content, place)
    return b"".join([*lines[: index + 1], *lines[index:]])


def one_field_less(content: bytes, place: int, _: bytes) -> bytes:
    lines, index = line_at(content, place)
    lines[index] = lines[index].replace(b"\t", b",").partition(b",")[2]
    return b"".join(lines)


def other_header(content: bytes, _: int, __: bytes) -> bytes:
    return content.replace(b"text", b"TEXT").replace(b"label", b"text").replace(b"TEXT", b"label")


def bits(content: bytes, place: int, more: bytes) -> bytes:
    changed = bytearray(content)
    for offset, byte in enumerate(more[: len(content) - place]):
        changed[place + offset] ^= byte
    return bytes(changed)


LENGTHS: dict[str, Damage] = {
    "nothing": lambda content, place, more: content,
    "cut short": lambda content, place, more: content[:place],
    "cut short by a few": lambda content, place, more: content[: -(place % 12 + 1)],
    "bytes lost": lambda content, place, more: content[:place] + content[place + len(more) :],
    "bytes added": lambda content, place, more: content[:place] + more + content[place:],
    "a line end added": lambda content, place, more: content[:place] + b"\r" + content[place:],
    "NUL added": lambda content, place, more: content[:place] + b"\0" + content[place:],
    "empty": lambda content, place, more: b"",
    "other bytes": lambda content, place, more: more,
    "bytes behind": lambda content, place, more: content + more,
    "itself behind": lambda content, place, more: content + content,
}
BYTES = LENGTHS | {"bits": bits, "one byte": lambda content, place, more: bits(content, place, more[:1])}
TEXTS = {
    "no UTF-8": lambda content, place, more: content[:place] + b"\xff" + content[place:],
    "line twice": twice,
    "field lost": one_field_less,
    "delimiter added": lambda content, place, more: content[:place] + b",\t"[place % 2 :][:1] + content[place:],
    "quote added": lambda content, place, more: content[:place] + b'"' + content[place:],
    "quote lost": lambda content, place, more: content[:place] + content[place:].replace(b'"', b"", 1),
    "other header": other_header,
    "blank line": lambda content, place, more: content[:place] + b"\n\n" + content[place:],
    "CRLF": lambda content, place, more: content.replace(b"\n", b"\r\n"),
    "BOM": lambda content, place, more: b"\xef\xbb\xbf" + content,
}


def ends_only(damage: Damage) -> Damage:
    """Damage in the first 8 bytes, or in the last: the length of the footer and the magic.

    Arrow has no checksums: another byte in a message may be another text or another number of rows, and valid.
    """

    def at_an_end(content: bytes, place: int, more: bytes) -> bytes:
        end = place % 18
        return damage(content, end if end < 8 else max(len(content) - end + 7, 0), more[:1])

    return at_an_end


FORMATS: dict[str, tuple[Callable[[list[Row]], bytes], Callable[[bytes], list[Row]] | None]] = {
    "rows.csv": (lambda rows: as_delimited(rows, ","), lambda content: from_delimited(content, ",")),
    "rows.tsv": (lambda rows: as_delimited(rows, "\t"), lambda content: from_delimited(content, "\t")),
    "rows.jsonl": (as_json_lines, from_json),
    "rows.json": (as_json, from_json),
    "rows.csv.gz": (lambda rows: as_delimited(rows, ","), lambda content: from_delimited(content, ",")),
    "rows.csv.zst": (lambda rows: as_delimited(rows, ","), lambda content: from_delimited(content, ",")),
    "rows.jsonl.gz": (as_json_lines, from_json),
    "rows.parquet": (as_parquet, None),
    "file.arrow": (lambda rows: as_arrow(rows, pa.ipc.new_file), None),
    "stream.arrow": (lambda rows: as_arrow(rows, pa.ipc.new_stream), None),
}
PACKED: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    ".gz": (lambda content: gzip.compress(content, mtime=0), from_gzip),
    ".zst": (as_zstd, from_zstd),
}
LABELS = ["10", "2", "yes", "b c"]

signs = st.one_of(
    st.sampled_from('"",,\n\n\r\t\'\\ {}[]:\ufeff\x0b\x1c\x85\u2028\U0001f600\u4e2d'),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
texts = st.text(signs, max_size=12)
tables = st.lists(st.tuples(texts, st.one_of(st.sampled_from(LABELS), texts)), min_size=1, max_size=5)
places = st.integers(0, 2**16)
extras = st.one_of(st.binary(min_size=1, max_size=9), st.sampled_from([b"\n", b"\0" * 8, b"\xff" * 4 + b"\0" * 4]))


def outcome(name: str) -> list[Row] | None:
    """The rows that the package reads, or None for one clear line."""
    try:
        rows = read_files(name, ColumnNames("text", label="label"), ReadOptions(), option="data.train_file")
    except UserError as error:
        message = str(error)
        assert len(message.splitlines()) == 1, message
        assert message.startswith(name), message
        return None
    assert rows.label is not None
    return list(zip(rows.text.to_pylist(), rows.label.to_pylist(), strict=True))


def judge(found: list[Row] | None, oracle: Callable[[], list[Row]]) -> None:
    event("read" if found is not None else "refused")
    try:
        expected = oracle()
    except Malformed:
        expected = None
    if found is not None:
        assert found == expected


LIMITS = settings(
    max_examples=1500,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@pytest.mark.slow
@LIMITS
@given(st.data(), st.sampled_from(list(FORMATS)), tables)
def test_a_damaged_file(data: st.DataObject, name: str, rows: list[Row]) -> None:
    write, read_back = FORMATS[name]
    pack, unpack = PACKED.get(Path(name).suffix, (None, None))

    def damaged(content: bytes, kinds: dict[str, Damage]) -> bytes:
        kind = data.draw(st.sampled_from(list(kinds)))
        place = data.draw(places) % (len(content) + 1)
        return kinds[kind](content, place, data.draw(extras))

    content = write(rows)
    untouched = pack(content) if pack else content
    if pack:
        whole = pack(damaged(content, TEXTS | LENGTHS))
        stored = damaged(whole, BYTES)
    elif read_back:
        stored = damaged(content, TEXTS | BYTES)
        if data.draw(st.booleans()):
            stored = damaged(stored, TEXTS | BYTES)
    elif name == "rows.parquet":
        stored = damaged(content, BYTES)
    else:
        kinds = {key: ends_only(damage) for key, damage in BYTES.items() if key in ("bits", "one byte")}
        stored = damaged(content, LENGTHS | kinds)
    Path(name).unlink(missing_ok=True)
    Path(name).write_bytes(stored)
    found = outcome(name)

    def oracle() -> list[Row]:
        if read_back is None:
            return rows
        if unpack is None:
            return read_back(stored)
        if name.endswith(".zst") and len(stored) < len(whole) and whole.startswith(stored):
            raise Malformed
        return read_back(unpack(stored))

    judge(found, oracle)
    if stored == untouched:
        assert found == rows


@settings(LIMITS, max_examples=60)
@given(st.data(), st.lists(st.tuples(texts, st.sampled_from(LABELS)), min_size=1, max_size=4))
def test_a_damaged_folder(data: st.DataObject, rows: list[Row]) -> None:
    folder = Path("classes")
    shutil.rmtree(folder, ignore_errors=True)
    contents = {f"{label}/{index}.txt": text.encode() for index, (text, label) in enumerate(rows)}
    name = data.draw(st.sampled_from(sorted(contents)))
    kind = data.draw(st.sampled_from(sorted(TEXTS | BYTES)))
    place = data.draw(places) % (len(contents[name]) + 1)
    contents[name] = (TEXTS | BYTES)[kind](contents[name], place, data.draw(extras))
    for file, content in contents.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)

    def oracle() -> list[Row]:
        files = sorted(contents, key=lambda file: file.split("/"))
        return clean([(decoded(contents[file]), file.partition("/")[0]) for file in files])

    judge(outcome("classes"), oracle)
