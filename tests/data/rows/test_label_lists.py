"""Label sets: lists in one column, or columns of zeros and ones."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.hub import read_dataset
from lit_textclf.data.rows.read import read_files, stream_files
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.stream import RowStream
from lit_textclf.utils.messages import UserError
from tests.conftest import write_csv

SETS = [["joy", "love"], [], ["10"], None]


def read(file: str, *labels: str, label_required: bool = True) -> Rows:
    columns = ColumnNames(label=None if labels else "label", labels=labels)
    return read_files(file, columns, ReadOptions(), option="data.train_file", label_required=label_required)


def sets_of(rows: Rows) -> list[list[str] | None]:
    assert rows.label is not None
    assert rows.label_lists
    return [None if spelled is None else json.loads(spelled) for spelled in rows.label.to_pylist()]


def test_lists_are_the_same_in_json_parquet_and_arrow() -> None:
    texts = ["a", "b", "c", "d"]
    Path("rows.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": names}) + "\n" for text, names in zip(texts, SETS, strict=True)),
        encoding="utf-8",
    )
    table = pa.table({"text": texts, "label": pa.array(SETS, pa.list_(pa.string()))})
    pq.write_table(table, "rows.parquet")
    with pa.OSFile("rows.arrow", "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    found = [read(f"rows.{ending}") for ending in ("jsonl", "parquet", "arrow")]
    assert [sets_of(rows) for rows in found] == [SETS, SETS, SETS]
    assert found[0].label.to_pylist() == found[1].label.to_pylist()  # type: ignore[union-attr]


def test_columns_of_zeros_and_ones() -> None:
    write_csv(
        Path("a.csv"), ["text", "joy", "fear", "id"], [("a", "1", "0", "7"), ("b", "0", "0", "8"), ("c", "1", "1", "9")]
    )
    assert sets_of(read("a.csv", "fear", "joy")) == [["joy"], [], ["fear", "joy"]]
    table = pa.table({"text": ["a", "b", "c"], "joy": [True, False, None], "fear": [1.0, 0.0, None]})
    pq.write_table(table, "a.parquet")
    assert sets_of(read("a.parquet", "joy", "fear")) == [["joy", "fear"], [], None]


def test_rows_to_predict_need_no_label_columns() -> None:
    write_csv(Path("a.csv"), ["text", "id"], [("a", "7")])
    rows = read("a.csv", "joy", "fear", label_required=False)
    assert rows.label is None
    with pytest.raises(UserError, match=r"a\.csv: no column 'joy' .* change --data\.label_columns"):
        read("a.csv", "joy", "fear")


@pytest.mark.parametrize("value", ["2", "", "yes", "-1"])
def test_neither_0_nor_1(value: str) -> None:
    write_csv(Path("a.csv"), ["text", "joy", "fear"], [("a", "1", "0"), ("b", "0", value)])
    with pytest.raises(UserError, match=r"a\.csv: row 1, column 'fear': .* is neither 0 nor 1"):
        read("a.csv", "joy", "fear")


def test_lists_here_and_names_there() -> None:
    Path("a.jsonl").write_text('{"text": "a", "label": ["x"]}\n', encoding="utf-8")
    Path("b.jsonl").write_text('{"text": "b", "label": "y"}\n', encoding="utf-8")
    rows = read("[ab].jsonl")
    assert rows.label_lists
    assert rows.label is not None
    assert rows.label.to_pylist() == ['["x"]', "y"]


def test_a_column_named_twice() -> None:
    write_csv(Path("a.csv"), ["text", "joy"], [("a", "1")])
    with pytest.raises(UserError, match="one column is named twice"):
        read("a.csv", "joy", "joy")


@pytest.mark.parametrize("files", [["a.csv", "b.csv"], ["b.csv", "a.csv"]])
def test_a_part_of_two_files_of_which_one_has_the_label_columns(files: list[str]) -> None:
    write_csv(Path("a.csv"), ["text", "joy", "fear"], [("a", "1", "0")])
    write_csv(Path("b.csv"), ["text"], [("b",)])
    columns = ColumnNames(label=None, labels=("joy", "fear"))
    stream = RowStream(partial(stream_files, files, columns, ReadOptions(), option="data.predict_file"), "predict")
    [(_, rows)] = stream.parts(2, {0})
    assert rows.label is not None
    labels = dict(zip(rows.text.to_pylist(), rows.label.to_pylist(), strict=True))
    assert labels == {"a": '["joy"]', "b": None}
    assert [rows.where(0), rows.where(1)] == [f"{name}: row 0" for name in files]


def test_a_data_set_saved_to_disk_with_class_names() -> None:
    import datasets

    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["bad", "good"]),
        tags=datasets.List(datasets.ClassLabel(names=["x", "y"])),
    )
    rows = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[1], [], [0, 1]]}
    split = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict(train=split, test=split).save_to_disk("saved")
    split.save_to_disk("single")
    for name in ("saved", "single"):
        found = read_dataset(name, None, "train", ColumnNames())
        assert found is not None
        assert found.label is not None
        assert found.label.to_pylist() == ["good", "bad", None]
        tags = read_dataset(name, None, "train", ColumnNames(label="tags"))
        assert tags is not None
        assert sets_of(tags) == [["y"], [], ["x", "y"]]
    assert read_dataset("single", None, "test", ColumnNames()) is None
