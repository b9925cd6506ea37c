"""One way in for every input: the same rows whatever they stand in, and where each came from."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lit_textclf import TextDataModule
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.hub import read_dataset
from lit_textclf.data.rows.read import read_files
from lit_textclf.data.rows.rows import Rows, report_blank, rows_of_texts
from lit_textclf.data.rows.text_keys import text_keys
from lit_textclf.utils.messages import UserError
from tests.conftest import write_csv

ROWS = [
    ('He said "fine", twice', "bad"),
    ("NA", "bad"),
    ("two\nlines", "bad"),
    ("007", "good"),
    ("caf\u00e9 \u4e2d\u6587 \U0001f600", "good"),
    ("null", "good"),
    (" spaces stay ", "good"),
]
"""Sorted by label, as a folder of classes is."""


def read(files: str | list[str], columns: ColumnNames | None = None, **more: bool) -> Rows:
    return read_files(files, columns or ColumnNames(), ReadOptions(), option="data.train_file", **more)


def write(name: str, text: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8", newline="")
    return name


def write_rows(kind: str) -> str:
    """Writes ROWS as this kind of input and returns its path."""
    path = Path(f"rows.{kind}")
    if kind in ("csv", "tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="," if kind == "csv" else "\t")
            writer.writerows([("text", "label"), *ROWS])
    elif kind in ("jsonl", "json"):
        records = [{"label": label, "text": text} for text, label in ROWS]
        lines = "\n".join(json.dumps(record) for record in records)
        write(path.name, json.dumps(records) if kind == "json" else lines)
    else:
        for number, (text, label) in enumerate(ROWS):
            write(f"rows.{kind}/{label}/{number}.txt", text)
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "folder"])
def test_the_same_rows_in_every_format(kind: str) -> None:
    rows = read(write_rows(kind))
    assert len(rows) == len(ROWS)
    assert rows.text.to_pylist() == [text for text, _ in ROWS]
    assert rows.label is not None
    assert rows.label.to_pylist() == [label for _, label in ROWS]
    assert (rows.text_pair, rows.id, rows.kept) == (None, None, None)
    assert rows.row_numbers.tolist() == list(range(len(ROWS)))
    assert rows.columns == ColumnNames("text", None, "label", None)
    assert rows.where(3) == f"rows.{kind}: row 3"


def test_pairs_ids_and_kept_columns() -> None:
    write("a.csv", "key,text_a,text_b,label,note\nk0,one,two,x,\nk1,three,four,y,n1\n")
    rows = read("a.csv", ColumnNames(id="key"), keep_columns=True)
    assert rows.text_pair is not None
    assert rows.id is not None
    assert rows.kept is not None
    assert rows.text.to_pylist() == ["one", "three"]
    assert rows.text_pair.to_pylist() == ["two", "four"]
    assert rows.id.to_pylist() == ["k0", "k1"]
    assert rows.kept.to_pydict() == {
        "key": ["k0", "k1"],
        "text_a": ["one", "three"],
        "text_b": ["two", "four"],
        "label": ["x", "y"],
        "note": ["", "n1"],
    }


def test_a_found_text_column_is_said_unless_it_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    read(write("a.csv", "text,label\none,x\n"))
    assert capsys.readouterr().err == ""
    read(write("b.csv", "sentence1,sentence2,label\none,two,x\n"))
    said = capsys.readouterr().err
    assert said.startswith("b.csv: text column: sentence1 and sentence2")
    assert "data.text_column" in said
    read("b.csv", ColumnNames("sentence2"))
    assert capsys.readouterr().err == ""


def test_a_title_beside_the_text_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    read(write("a.csv", "title,text,label\nt,a,x\n"))
    assert "--data.text_column '[title, text]'" in capsys.readouterr().err


def test_several_files_in_the_order_given() -> None:
    write("b.csv", "text,label\nb0,x\nb1,y\n")
    write("a.jsonl", '{"label": "x", "text": "a0"}\n{"label": "y", "text": "a1"}\n{"label": "x", "text": "a2"}\n')
    write("c.csv", "more,label,text\nm,y,c0\n")
    rows = read(["b.csv", "a.jsonl", "c.csv"], keep_columns=True)
    assert rows.text.to_pylist() == ["b0", "b1", "a0", "a1", "a2", "c0"]
    assert [rows.where(index) for index in range(6)] == [
        "b.csv: row 0",
        "b.csv: row 1",
        "a.jsonl: row 0",
        "a.jsonl: row 1",
        "a.jsonl: row 2",
        "c.csv: row 0",
    ]
    assert rows.kept is not None
    assert rows.kept["more"].to_pylist() == [None] * 5 + ["m"]


def test_taken_rows_still_know_where_they_came_from() -> None:
    write("a.csv", "text,label,key,note\na0,x,0,n0\na1,,1,n1\na2,z,2,n2\n")
    write("b.csv", "text,label,key,note\nb0,x,3,n3\n ,y,4,n4\n")
    rows = read(["a.csv", "b.csv"], ColumnNames(id="key"), keep_columns=True)
    once = rows.take(np.array([4, 1, 3, 2]))
    twice = once.take(np.array([0, 1, 3]))
    assert [once.where(index) for index in range(4)] == ["b.csv: row 1", "a.csv: row 1", "b.csv: row 0", "a.csv: row 2"]
    assert [twice.where(index) for index in range(3)] == ["b.csv: row 1", "a.csv: row 1", "a.csv: row 2"]
    assert twice.text.to_pylist() == [" ", "a1", "a2"]
    assert twice.label is not None
    assert twice.id is not None
    assert twice.kept is not None
    assert twice.label.to_pylist() == ["y", "", "z"]
    assert twice.id.to_pylist() == ["4", "1", "2"]
    assert twice.kept["note"].to_pylist() == ["n4", "n1", "n2"]
    assert (twice.blank().tolist(), twice.unlabelled().tolist()) == ([0], [1])
    assert len(rows.take(np.array([], np.int64))) == 0


def test_blank_texts_and_missing_labels() -> None:
    records = [("a", "x"), ("", "y"), (" \t\n", ""), ("b", " "), (None, None), ("\u00a0\u3000", "x"), ("c", "0")]
    write("a.jsonl", "\n".join(json.dumps({"text": text, "label": label}) for text, label in records))
    rows = read("a.jsonl")
    assert rows.blank().tolist() == [1, 2, 4, 5]
    assert rows.unlabelled().tolist() == [2, 3, 4]
    assert rows.text.null_count == 0


def test_a_pair_is_blank_if_either_text_is() -> None:
    rows = rows_of_texts(["a", "", "b", " "], ["x", "y", "", ""])
    assert rows.blank().tolist() == [1, 2, 3]


def test_rows_without_a_label_column_are_all_unlabelled() -> None:
    write("a.csv", "text\none\ntwo\n")
    rows = read("a.csv", label_required=False)
    assert rows.label is None
    assert rows.unlabelled().tolist() == [0, 1]


def test_texts_in_memory() -> None:
    rows = rows_of_texts(["one", "two, three"])
    assert rows.text.to_pylist() == ["one", "two, three"]
    assert (rows.text_pair, rows.label, rows.where(1)) == (None, None, "--text: row 1")


def test_a_list_of_encodings_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_bytes("text,label\ncaf\u00e9,x\n".encode("latin-1"))
    options = ReadOptions(("utf-8", "latin-1"))
    assert read_files("a.csv", ColumnNames(), options, option="data.train_file").text.to_pylist() == ["caf\u00e9"]
    assert capsys.readouterr().err == "a.csv: 1 file read as latin-1, not utf-8\n"


def test_a_delimiter_makes_any_ending_a_table() -> None:
    write("a.txt", "text;label\none;x\n")
    rows = read_files("a.txt", ColumnNames(), ReadOptions(delimiter=";"), option="data.train_file")
    assert rows.text.to_pylist() == ["one"]
    assert read(write("B.CSV", "text,label\ntwo,x\n")).text.to_pylist() == ["two"]


def test_many_rows_keep_their_numbers(tmp_path: Path) -> None:
    texts = [f"text {row}" for row in range(20_000)]
    path = str(write_csv(tmp_path / "a.csv", ["text", "label"], [(text, "x") for text in texts]))
    rows = read([path, path])
    assert rows.text.to_pylist() == texts * 2
    assert rows.where(20_000 + 12_345) == f"{path}: row 12345"
    assert rows.text[20_000 + 12_345].as_py() == "text 12345"


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"a.csv": "text,label\n"}, ["a.csv: no rows", "data.train_file"]),
        ({"a.csv": "opinion,label\none,x\n"}, ["a.csv: no text column", "'opinion'", "data.text_column"]),
        ({"a.csv": "text,stars\none,x\n"}, ["a.csv: no label column", "'stars'", "data.label_column"]),
        ({"a.csv": "text,label\none,x\n", "b.csv": "text\ntwo\n"}, ["b.csv: no label column"]),
        ({"a.csv": "text,label\none,x\n", "b.csv": "body,label\ntwo,x\n"}, ["b.csv does not"]),
        ({"a.csv": "text,label\none,x\n", "b.csv": "text,label\n"}, ["b.csv: no rows"]),
        ({"a.jsonl": ""}, ["a.jsonl: "]),
        ({"a.xls": "x"}, ["a.xls: a spreadsheet", "CSV"]),
        ({"a": "text,label\none,x\n"}, ["a: ", ".csv"]),
        ({"a.csv.gz": "x"}, ["a.csv.gz: cannot be read"]),
        ({"a.parquet": "x"}, ["a.parquet: not a Parquet file"]),
        ({"a.arrow": "x"}, ["a.arrow: not an Arrow file"]),
        ({"a.jsonl": '{"text": ["x"], "label": "a"}'}, ["a.jsonl: column 'text' contains a list in row 0"]),
    ],
)
def test_refused(files: dict[str, str], parts: list[str]) -> None:
    for name, text in files.items():
        write(name, text)
    with pytest.raises(UserError) as raised:
        read(list(files))
    for part in parts:
        assert part in str(raised.value)


def test_a_later_file_without_the_labels_of_the_first_is_refused() -> None:
    write("a.csv", "text,label\none,x\n")
    write("b.csv", "text\ntwo\n")
    with pytest.raises(UserError, match=r"^a\.csv has the column 'label', b\.csv does not"):
        read(["a.csv", "b.csv"], label_required=False)


def test_files_whose_columns_differ_only_in_case(capsys: pytest.CaptureFixture[str]) -> None:
    train = write("a.csv", "text,Label,id\na,x,1\nb,y,2\n")
    other = write("b.csv", "ID,TEXT,label,n\n3,c,x,0\n4,d,y,0\n")
    rows = read([train, other], ColumnNames(id="id"))
    assert rows.text.to_pylist() == ["a", "b", "c", "d"]
    assert rows.label is not None
    assert rows.id is not None
    assert (rows.label.to_pylist(), rows.id.to_pylist()) == (["x", "y", "x", "y"], ["1", "2", "3", "4"])
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("b.csv: column ") and "only in case" in line]) == 3
    data = TextDataModule(train, other, test_file=other, id_column="id")
    data.read("fit")
    data.read("test")
    assert data.rows["test"].text.to_pylist() == ["c", "d"]
    assert (data.columns.text, data.columns.label) == ("text", "Label")  # as in the training file
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "column 'TEXT' is read as 'text'" in line]) == 2


def test_a_data_set_whose_splits_differ_in_case() -> None:
    columns = ColumnNames("Text", label="label")
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["a"], "label": ["x"]})}).save_to_disk("saved")
    rows = read_dataset("saved", None, "train", columns)
    assert rows is not None
    assert (rows.columns.text, rows.text.to_pylist()) == ("Text", ["a"])


def test_blank_texts_are_refused_or_said(capsys: pytest.CaptureFixture[str]) -> None:
    rows = read(write("a.csv", 'text,label\none,x\n" ",x\n"",y\n'))
    with pytest.raises(UserError) as raised:
        report_blank(rows, "train", refuse=True)
    assert str(raised.value).startswith("a.csv: row 1: ")
    assert "2 such rows" in str(raised.value)
    assert "data.allow_blank_text" in str(raised.value)
    report_blank(rows, "test", refuse=False)
    assert capsys.readouterr().err == "test: 2 rows with a blank text, kept (first: a.csv: row 1)\n"
    report_blank(rows.take(np.array([0])), "test", refuse=True)
    assert capsys.readouterr().err == ""


def test_a_script_that_only_reads_is_told_what_was_found() -> None:
    write("a.csv", "sentence,label\none,x\n\n")
    code = (
        "from lit_textclf.data.rows.columns import ColumnNames\n"
        "from lit_textclf.data.readers.tables import ReadOptions\n"
        "from lit_textclf.data.rows.read import read_files\n"
        "read_files('a.csv', ColumnNames(), ReadOptions(), option='data.train_file')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == "a.csv: 1 blank line skipped"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for a data set, whose prepared copy stays within the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets_cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    (tmp_path / "data_set").mkdir()
    return tmp_path / "data_set"


def test_a_data_set_of_csv_files(folder: Path) -> None:
    write_csv(folder / "train.csv", ["text", "label"], [("one, two", "good"), ("three", "bad")])
    write_csv(folder / "test.csv", ["text", "label"], [("four", "bad")])
    train, test = (read_dataset(str(folder), None, split, ColumnNames()) for split in ("train", "test"))
    assert train is not None
    assert test is not None
    assert train.text.to_pylist() == ["one, two", "three"]
    assert train.label is not None
    assert train.label.to_pylist() == ["good", "bad"]
    assert test.text.to_pylist() == ["four"]
    assert train.where(1) == f"{folder}[train]: row 1"
    assert read_dataset(str(folder), None, "validation", ColumnNames()) is None


CLASSES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})


@pytest.mark.parametrize("saved_as", ["parquet", "save_to_disk"])
def test_class_numbers_become_names_and_minus_one_none(folder: Path, saved_as: str) -> None:
    columns = {"text": ["a", "b", "c"], "label": [1, 0, -1]}
    split = datasets.Dataset.from_dict(columns, features=CLASSES)
    if saved_as == "parquet":
        split.to_parquet(folder / "train.parquet")
    else:
        datasets.DatasetDict({"train": split}).save_to_disk(folder)
    rows = read_dataset(str(folder), None, "train", ColumnNames(), keep_columns=True)
    assert rows is not None
    assert rows.label is not None
    assert rows.kept is not None
    assert rows.text.to_pylist() == ["a", "b", "c"]
    assert rows.label.to_pylist() == ["pos", "neg", None]
    assert rows.unlabelled().tolist() == [2]
    assert rows.kept.to_pydict() == {"text": ["a", "b", "c"], "label": ["pos", "neg", None]}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_all_kinds_of_string_columns(folder: Path, kind: pa.DataType) -> None:
    table = pa.table({"text": pa.array(["a", None], kind), "label": pa.array(["x", "y"], kind)})
    pq.write_table(table, folder / "train.parquet")
    rows = read_dataset(str(folder), None, "train", ColumnNames())
    assert rows is not None
    assert rows.label is not None
    assert rows.text.type == pa.string()
    assert rows.text.to_pylist() == ["a", ""]
    assert rows.label.to_pylist() == ["x", "y"]


def test_numbers_and_lists_of_a_data_set(folder: Path) -> None:
    table = pa.table({"text": ["a", "b"], "label": [0.5, 2.0], "key": [7, 8], "tags": [["x"], []]})
    pq.write_table(table, folder / "train.parquet")
    rows = read_dataset(str(folder), None, "train", ColumnNames(id="key"), keep_columns=True)
    assert rows is not None
    assert rows.label is not None
    assert rows.id is not None
    assert rows.kept is not None
    assert [float(label) for label in rows.label.to_pylist()] == [0.5, 2.0]
    assert rows.id.to_pylist() == ["7", "8"]
    assert rows.kept["tags"].to_pylist() == ['["x"]', "[]"]


def test_a_data_set_that_cannot_be_used(folder: Path) -> None:
    with pytest.raises(UserError, match=r"data\.dataset_name 'no/such' cannot be loaded: "):
        read_dataset("no/such", None, "train", ColumnNames())
    pq.write_table(pa.table({"text": [["a", "b"]], "label": ["x"]}), folder / "train.parquet")
    with pytest.raises(UserError, match=r"\[train\]: column 'text' contains list"):
        read_dataset(str(folder), None, "train", ColumnNames())
    with pytest.raises(UserError, match=r"\[train\]: no column 'body' .*data\.text_column"):
        read_dataset(str(folder), None, "train", ColumnNames("body"))


@pytest.mark.parametrize("order", [("with.csv", "without.csv"), ("without.csv", "with.csv")])
def test_files_of_which_one_lacks_the_labels(order: tuple[str, str]) -> None:
    Path("with.csv").write_text("text,label\na,x\n", encoding="utf-8")
    Path("without.csv").write_text("text\nb\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"with\.csv has the column 'label', without\.csv does not"):
        read_files(list(order), ColumnNames(), ReadOptions(), option="data.predict_file", label_required=False)


def test_values_of_rows_are_computed_once_and_carried() -> None:
    rows = rows_of_texts([f"Text {number}!" for number in range(6)])
    keys = text_keys(rows)
    asked = list[int]()

    def compute() -> np.ndarray:
        asked.append(1)
        return np.arange(6)

    for part, indices in (
        (rows, list(range(6))),
        (rows.take(np.array([4, 1])), [4, 1]),
        (rows.slice(2, 3), [2, 3, 4]),
        (rows.take(np.array([5, 3, 0])).slice(1, 2), [3, 0]),
    ):
        assert text_keys(part).tolist() == keys[indices].tolist()
        assert text_keys(part).tolist() == text_keys(rows_of_texts(part.text.to_pylist())).tolist()
    assert rows.once("number", compute).tolist() == rows.once("number", compute).tolist() == list(range(6))
    assert rows.take(np.array([4, 1])).once("number", compute).tolist() == [4, 1]
    assert asked == [1]
