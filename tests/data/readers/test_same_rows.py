"""The same rows are the same rows and the same tokens, whichever format and however many files they stand in."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.stream import RowStream
from lit_textclf.data.tokens.token_cache import tokenize
from lit_textclf.data.tokens.tokenizer import load_tokenizer

Row = dict[str, str]

TEXTS = [
    "the film was good",
    'he said "good", she said ""bad""',
    "a comma, a semicolon; a tab\there",
    "two\nlines",
    "two\r\nlines and a lone \r return",
    "\n begins and ends with a line end\n",
    "  two spaces before and after  ",
    "\ta tab before and after\t",
    '"',
    "'",
    ",",
    "a great book \U0001f600\U0001f469\u200d\U0001f680",
    "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\uff0c\u4e0d\u662f\u5417\uff1f",
    "caf\u00e9 and cafe\u0301",
    "a\u2028line separator and a \x85 next line",
    "an \x0b old \x0c tab",
    "\\n is no line end and \\ no escape",
    "NA",
    "null",
    "007",
    "1e5",
    "# no comment",
    "[1, 2]",
    '{"text": "no object"}',
    "the meal was awful " * 200,
]
LABELS = ["10", "2", "no", "yes"]
# In the order of class folders, by label and then by name, so that every format gives the same order.
ROWS: list[Row] = [
    {"id": f"{label}/{number:02d}.txt", "text": text, "label": label}
    for label in LABELS
    for number, text in enumerate(TEXTS[LABELS.index(label) :])
]
NAMES = ["id", "text", "label"]
TABLE = pa.Table.from_pylist(ROWS)


def delimited(rows: list[Row], delimiter: str = ",") -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, NAMES, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def json_lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def zstd(content: bytes, path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as sink:
        sink.write(content)


def arrow(new: Callable[..., pa.ipc.RecordBatchStreamWriter], path: Path) -> None:
    with new(str(path), TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=7)


def class_folders(folder: Path) -> None:
    for row in ROWS:
        path = folder / row["id"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["text"].encode())


def shards(folder: Path) -> None:
    folder.mkdir()
    for number, start in enumerate((0, 10, 40)):
        end = (10, 40, len(ROWS))[number]
        (folder / f"part-{number}.csv").write_bytes(delimited(ROWS[start:end]))


# What is asked for, and what writes it.
FORMATS: dict[str, Callable[[Path], object]] = {
    "rows.csv": lambda path: path.write_bytes(delimited(ROWS)),
    "crlf.csv": lambda path: path.write_bytes(delimited(ROWS).replace(b'"\n"', b'"\r\n"')),
    "rows.tsv": lambda path: path.write_bytes(delimited(ROWS, "\t")),
    "rows.jsonl": lambda path: path.write_bytes(json_lines(ROWS)),
    "utf8.jsonl": lambda path: path.write_bytes(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
    ),
    "rows.json": lambda path: path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8"),
    "rows.parquet": lambda path: pq.write_table(TABLE, path, row_group_size=9),
    "file.arrow": lambda path: arrow(pa.ipc.new_file, path),
    "stream.arrow": lambda path: arrow(pa.ipc.new_stream, path),
    "rows.csv.gz": lambda path: path.write_bytes(gzip.compress(delimited(ROWS))),
    "rows.csv.zst": lambda path: zstd(delimited(ROWS), path),
    "rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress(json_lines(ROWS))),
    "rows.jsonl.zst": lambda path: zstd(json_lines(ROWS), path),
    "classes": class_folders,
    "shards/part-*.csv": lambda path: shards(path.parent),
}


def read(name: str) -> Rows:
    columns = ColumnNames(id="file" if name == "classes" else "id")
    FORMATS[name](Path(name))
    return read_files(name, columns, ReadOptions(), option="data.train_file")


@pytest.mark.parametrize("name", FORMATS)
def test_same_rows_and_tokens(name: str, tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read(name)
    assert rows.label is not None
    assert rows.id is not None
    found = zip(rows.id.to_pylist(), rows.text.to_pylist(), rows.label.to_pylist(), strict=True)
    for (identity, text, label), expected in zip(found, ROWS, strict=True):
        assert {"id": identity, "text": text, "label": label} == expected
    assert capsys.readouterr().err == ""

    tokenizer = load_tokenizer(str(tiny_bert), "model.model_name_or_path")
    tokens = tokenize(rows.text, tokenizer)
    assert len(tokens) == len(ROWS)
    for index, row in enumerate(ROWS):
        assert tokens[index].tolist() == tokenizer(row["text"], add_special_tokens=False)["input_ids"]


def test_the_digest_by_which_rows_are_known_again_is_the_same() -> None:
    streams = {name: RowStream(partial(iter, [read(name)]), "predict") for name in FORMATS}
    assert {stream.total for stream in streams.values()} == {len(ROWS)}
    assert len({stream.digest for stream in streams.values()}) == 1
