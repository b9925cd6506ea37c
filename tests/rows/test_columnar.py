"""Parquet, Arrow and compressed files give the rows that the CSV gives."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lit_textclf import UserError
from lit_textclf.rows import ColumnNames, ReadOptions, read_files
from lit_textclf.rows.columnar import read_arrow, read_parquet
from lit_textclf.rows.delimited import CHUNK_ROWS

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
    found = pa.concat_tables(read_parquet(Path("t.parquet"))).to_pydict()
    assert found == {"text": ["x", "y"], "label": ["true", None], "n": ["1.5", "2"], "d": ["p", "q"]}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (pa.table({"text": ["x", "y\0"], "label": ["a", "b"]}), "row 1, column 'text': a NUL character"),
        (pa.table([["x"], ["y"], ["z"]], names=["text", "text", "label"]), "the column 'text' is there 2 times"),
        (pa.table({"text": [["x"]], "label": ["a"]}), "column 'text' holds list<"),
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
    assert next(iter(read_arrow(Path("none.arrow")))).column_names == ["id", "text", "label"]
