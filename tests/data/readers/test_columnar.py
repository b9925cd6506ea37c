"""Parquet, Arrow and compressed files give the rows that the CSV gives."""

from __future__ import annotations

import datetime
import gzip
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lit_textclf import UserError
from lit_textclf.data.readers.columnar import as_strings, read_arrow, read_parquet
from lit_textclf.data.readers.json_lines import read_json
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files

TEXTS = ["one", "", "t\u00e9xt, quoted", "two\nlines", 'a "word"'] * 3000
LABELS = ["a", "b", "a", "b", "c"] * 3000
TABLE = pa.table({"id": list(range(15000)), "text": TEXTS, "label": LABELS})


def stream(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)


def file(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)


def compressed(table: pa.Table, path: Path) -> None:
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, sink)
    content = sink.getvalue().to_pybytes()
    path.write_bytes(gzip.compress(content))


def zstd_frame(table: pa.Table, path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as sink:
        pyarrow.csv.write_csv(table, sink)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "rows.parquet": pq.write_table,
    "rows.arrow": file,
    "stream.arrow": stream,
    "rows.csv.gz": compressed,
    "rows.csv.zst": zstd_frame,
}


@pytest.mark.parametrize("name", WRITERS)
def test_same_rows(name: str) -> None:
    WRITERS[name](TABLE, Path(name))
    rows = read_files(name, ColumnNames(id="id"), ReadOptions(), option="data.train_file")
    assert rows.text.to_pylist() == TEXTS
    assert rows.label is not None
    assert rows.label.to_pylist() == LABELS
    assert rows.id is not None
    assert rows.id.to_pylist() == [str(number) for number in range(15000)]
    assert rows.where(CHUNK_ROWS + 7) == f"{name}: row {CHUNK_ROWS + 7}"


@pytest.mark.parametrize("name", WRITERS)
def test_cut_short(name: str) -> None:
    WRITERS[name](TABLE, Path(name))
    Path(name).write_bytes(Path(name).read_bytes()[:-300])
    with pytest.raises(UserError, match=rf"^{name}: "):
        read_files(name, ColumnNames(), ReadOptions(), option="data.train_file")


def test_typed_values_are_spelled() -> None:
    table = pa.table(
        {"text": ["x", "y"], "label": [True, None], "n": [1.5, 2.0], "d": pa.array(["p", "q"]).dictionary_encode()}
    )
    pq.write_table(table, "t.parquet")
    found = pa.concat_tables(read_parquet(Path("t.parquet"), ReadOptions())).to_pydict()
    assert found == {"text": ["x", "y"], "label": ["true", None], "n": ["1.5", "2"], "d": ["p", "q"]}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (pa.table({"text": ["x", "y\0"], "label": ["a", "b"]}), "row 1, column 'text': a NUL at"),
        (pa.table([["x"], ["y"], ["z"]], names=["text", "text", "label"]), "2 columns are named 'text'"),
        (pa.table({"text": [["x"]], "label": ["a"]}), "column 'text' contains list<"),
        (pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}), "no rows"),
    ],
)
def test_refused(table: pa.Table, expected: str) -> None:
    file(table, Path("bad.arrow"))
    with pytest.raises(UserError) as raised:
        read_files("bad.arrow", ColumnNames(), ReadOptions(), option="data.train_file")
    assert expected in str(raised.value)
    assert str(raised.value).startswith("bad.arrow: ")


def test_arrow_tables_have_their_names_without_rows() -> None:
    file(TABLE.slice(0, 0), Path("none.arrow"))
    assert next(iter(read_arrow(Path("none.arrow"), ReadOptions()))).column_names == ["id", "text", "label"]


WRITE = {"t.parquet": pq.write_table, "t.arrow": file}


def columns_of(table: pa.Table, name: str) -> dict[str, list[str | None]]:
    WRITE[name](table, Path(name))
    return pa.concat_tables((read_parquet if "parquet" in name else read_arrow)(Path(name), ReadOptions())).to_pydict()


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("kind", [pa.decimal128(12, 1), pa.decimal256(50, 1)])
def test_decimals_of_a_database_are_numbers(name: str, kind: pa.DataType) -> None:
    values = pa.array([Decimal("0.0"), Decimal("-1.5"), None], kind)
    table = pa.table({"text": ["x", "y", "z"], "label": values, "id": values, "empty": pa.nulls(3)})
    assert columns_of(table, name)["label"] == ["0.0", "-1.5", None]
    rows = read_files(name, ColumnNames(id="id"), ReadOptions(), option="data.train_file")
    assert not rows.label_lists
    assert rows.id is not None
    assert rows.id.to_pylist() == ["0.0", "-1.5", None]
    tiny = pa.table({"label": pa.array([Decimal("0E-10")], pa.decimal128(12, 10))})
    assert columns_of(tiny, name)["label"] == ["0.0000000000"]


@pytest.mark.parametrize("name", WRITE)
def test_lists_and_objects_are_spelled_as_in_json_lines(name: str) -> None:
    records = [{"text": "x", "label": ["\u00e9", 'b"', "c"], "more": {"k": [1, None, 3]}}]
    Path("t.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    expected = pa.concat_tables(read_json(Path("t.jsonl"), ReadOptions())).to_pydict()
    assert columns_of(pa.Table.from_pylist(records), name) == expected
    assert expected["label"] == ['["\u00e9", "b\\"", "c"]']


def test_dictionaries_of_lists_and_odd_values_inside_lists() -> None:
    lists = pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), pa.array([["a"], ["b"]]))
    inside = pa.array([[datetime.date(2020, 1, 2)], [None], None])
    raw = pa.array([[b"caf\xc3\xa9"], [], None])
    found = as_strings(pa.table({"label": lists, "days": inside, "raw": raw})).to_pydict()
    assert found == {
        "label": ['["b"]', '["a"]', None],
        "days": ['["2020-01-02"]', "[null]", None],
        "raw": ['["caf\u00e9"]', "[]", None],
    }


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_are_the_text_that_they_spell(kind: pa.DataType) -> None:
    table = pa.table({"text": pa.array(["caf\u00e9".encode(), None, b""], kind), "label": ["a", "b", "c"]})
    assert columns_of(table, "t.arrow")["text"] == ["caf\u00e9", None, ""]


@pytest.mark.parametrize("name", WRITE)
def test_bytes_that_spell_no_text_are_refused(name: str) -> None:
    table = pa.table({"text": [b"x"] * CHUNK_ROWS + [b"caf\xe9"], "label": ["a"] * (CHUNK_ROWS + 1)})
    with pytest.raises(UserError, match=f"^{name}: row {CHUNK_ROWS}, column 'text': byte 0xe9 at byte 3 is not utf-8"):
        columns_of(table, name)


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_nan_is_no_value_and_said(name: str, kind: pa.DataType, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = pa.array([1.5, float("nan"), None, float("-inf"), 2.0], pa.float64()).cast(kind)
    if kind == pa.float16() and "parquet" in name:
        pytest.skip("as for the others")
    found = columns_of(pa.table({"text": list("abcde"), "label": numbers}), name)
    assert found["label"] == ["1.5", None, None, "-inf", "2"]
    assert capsys.readouterr().err == f"{name}: column 'label': 1 NaN read as missing\n"


def not_utf8() -> pa.Table:
    offsets = np.array([0, 1, 2, 3], np.int32)
    text = pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"a\xffb")])
    return pa.table({"text": text, "label": ["a", "b", "c"]})


@pytest.mark.parametrize("name", WRITE)
def test_strings_that_are_not_utf8_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: row 1, column 'text': bytes that are not utf-8"):
        columns_of(not_utf8(), name)


def test_lists_of_strings_that_are_not_utf8_are_refused() -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), not_utf8()["text"].chunk(0))
    with pytest.raises(UserError, match=r"^t\.arrow: row 0 or one after it, column 'label': damaged"):
        columns_of(pa.table({"text": ["x", "y"], "label": lists}), "t.arrow")


def test_values_that_pyarrow_cannot_spell() -> None:
    intervals = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    with pytest.raises(UserError, match=r"^t\.arrow: .*Unsupported cast"):
        columns_of(pa.table({"text": ["x"], "label": intervals}), "t.arrow")


def test_page_checksums_are_verified() -> None:
    table = pa.table({"text": ["some text of this row"], "label": ["a"]})
    pq.write_table(
        table, "t.parquet", write_page_checksum=True, use_dictionary=False, compression="none", write_statistics=False
    )
    content = Path("t.parquet").read_bytes()
    Path("t.parquet").write_bytes(content.replace(b"some text of", b"more text of", 1))
    with pytest.raises(UserError, match=r"^t\.parquet: .*CRC"):
        list(read_parquet(Path("t.parquet"), ReadOptions()))


def test_a_stream_cut_between_two_batches_or_with_another_behind_it() -> None:
    stream(TABLE, Path("t.arrow"))
    content = Path("t.arrow").read_bytes()
    for damaged in (content[:-8], content + content, content + b"\n"):
        Path("t.arrow").write_bytes(damaged)
        with pytest.raises(UserError, match=r"^t\.arrow: .*end-of-stream mark"):
            list(read_arrow(Path("t.arrow"), ReadOptions()))


def test_an_arrow_file_with_bytes_lost_or_added() -> None:
    """The footer's positions would then point into the texts: pyarrow reads others from there, without a word."""
    table = pa.table({"label": ["a", "b"], "text": ["one text", "another one"]})
    file(table, Path("t.arrow"))
    content = Path("t.arrow").read_bytes()
    place = content.index(b"one text")
    for damaged in (content[:place] + b"\r" + content[place:], content[:place] + content[place + 1 :]):
        Path("t.arrow").write_bytes(damaged)
        with pytest.raises(UserError, match=r"^t\.arrow: "):
            list(read_arrow(Path("t.arrow"), ReadOptions()))


@pytest.mark.parametrize("read", [read_parquet, read_arrow])
def test_files_that_are_not_there_or_empty(read: Callable[[Path], Iterator[pa.Table]]) -> None:
    with pytest.raises(UserError, match=r"^none: cannot be read \(No such file or directory\)"):
        list(read(Path("none"), ReadOptions()))
    Path("empty").touch()
    with pytest.raises(UserError, match=r"^empty: "):
        list(read(Path("empty"), ReadOptions()))
