"""The table of readers, and readers of users: read as the built-in ones, and refused with one line."""

from __future__ import annotations

import datetime
import gzip
import inspect
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lit_textclf import TextDataModule, UserError, main
from lit_textclf.data.readers.delimited import read_delimited
from lit_textclf.data.readers.formats import READERS, known_endings, reader_of, stem_of
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files
from lit_textclf.data.text_data import TextData
from tests.conftest import sentences

HERE = __name__


def test_help_and_message_name_every_ending() -> None:
    plain = {ending for ending in READERS if ending.count(".") == 1}
    help_text = inspect.getdoc(TextData)
    assert help_text is not None
    of_train_file = help_text[help_text.index("train_file:") : help_text.index("validation_file:")]
    for text in (known_endings(), of_train_file):
        assert set(re.findall(r"\.[a-z]+", text)) - {".gz", ".zst", ".txt"} == plain
    assert known_endings() == ".csv, .tsv, .jsonl, .json (also .gz, .zst), .parquet, .arrow, .xlsx"


@pytest.mark.parametrize(
    ("name", "delimiter", "ending"),
    [("A.CSV", None, ".csv"), ("a.b.tsv.gz", None, ".tsv"), ("a.json.zst", ";", ".json"), ("a.arrow", ";", ".arrow")],
)
def test_the_ending_decides(name: str, delimiter: str | None, ending: str) -> None:
    assert reader_of(Path(name), ReadOptions(delimiter=delimiter)) is READERS[ending]


def test_other_endings_are_tables_with_a_delimiter_only() -> None:
    for name in ("a.txt", "a.txt.gz", "a"):
        assert reader_of(Path(name), ReadOptions(delimiter=";")) is read_delimited
        with pytest.raises(UserError, match=r"unknown file ending .*; use \.csv, .*\.xlsx or .* --data.readers"):
            reader_of(Path(name), ReadOptions())


def test_a_new_format_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, ".psv.gz", lambda path, options: read_delimited(path, options, "|"))
    Path("t.psv.gz").write_bytes(gzip.compress(b"text|label\ngood|a\n"))
    rows = read_files("t.psv.gz", ColumnNames(), ReadOptions(), option="data.train_file")
    assert rows.text.to_pylist() == ["good"]


def read_xml(path: Path, options: ReadOptions) -> Iterator[list[dict[str, Any]]]:
    """What a user may write: rows of an XML file, three at a time."""
    rows = [{"text": row.text, **row.attrib} for row in ET.parse(path).getroot()]
    for start in range(0, len(rows), 3):
        yield rows[start : start + 3]


class Lines:
    """One text a line, as pyarrow tables; the label is its first word."""

    def __init__(self, skip: int = 0) -> None:
        self.skip = skip

    def __call__(self, path: Path, options: ReadOptions) -> Iterator[pa.Table]:
        for line in path.read_text(encoding=options.encodings[0]).splitlines()[self.skip :]:
            yield pa.table({"text": [line], "label": [line.split()[0]], "number": [len(line)]})


YIELDS: dict[str, list[Any]] = {
    "no dictionaries": [["a"]],
    "late key": [[{"text": "a", "label": "x"}], [{"text": "b", "more": "c"}]],
    "late column": [
        pa.table({"text": ["a"], "label": ["x"]}),
        pa.table({"text": ["b"], "label": ["y"], "more": ["c"]}),
    ],
    "doubled": [pa.table([["a"], ["b"]], names=["text", "text"])],
    "nan": [[{"text": "a", "label": float("nan")}]],
    "nul": [[{"text": "a", "label": "x"}, {"text": "b\0", "label": "y"}]],
    "date": [[{"text": "a", "label": datetime.date(2026, 1, 1)}]],
    "no text": [[{"txet": "a", "label": "x"}]],
    "nothing": [],
}


def planted(path: Path, options: ReadOptions) -> Iterator[Any]:
    yield from YIELDS[path.stem]


def broken(path: Path, options: ReadOptions) -> Iterator[Any]:
    raise KeyError("no such tag")


def one_argument(path: Path) -> Iterator[Any]:
    yield []


def write_xml(path: Path) -> None:
    root = ET.Element("rows")
    for text, label in sentences(8):
        ET.SubElement(root, "row", label=label).text = text
    ET.ElementTree(root).write(path, encoding="utf-8")


def test_fit_and_predict_read_a_users_format(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    write_xml(Path("t.xml"))
    readers = ["--data.readers", f"{{.xml: {HERE}.read_xml}}"]
    main([*fit_args, "--data.train_file", "t.xml", *readers, "--trainer.max_epochs", "1"])
    assert "train: 8 rows" in capfd.readouterr().err
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "t.xml", *readers, "--trainer.accelerator", "cpu"])
    assert len(Path("predictions.csv").read_text(encoding="utf-8").splitlines()) == 9


def test_tables_arguments_and_encodings() -> None:
    Path("t.lines").write_bytes("skipped\ngood d\u00e9j\u00e0\nbad film\n".encode("latin-1"))
    data = TextDataModule(
        train_file="t.lines", encoding="latin-1", allow_blank_text=True,
        readers={".lines": {"class_path": f"{HERE}.Lines", "init_args": {"skip": 1}}},
    )  # fmt: skip
    data.keep_columns("train")
    data.read("fit")
    rows = data.rows["train"]
    assert rows.text.to_pylist() == ["good d\u00e9j\u00e0", "bad film"]
    assert rows.where(1) == "t.lines: row 1"
    assert rows.kept is not None
    assert rows.kept["number"].to_pylist() == ["9", "8"]  # strings, as of every format


def test_a_users_reader_replaces_ours() -> None:
    Path("t.csv").write_text("good a\nbad b\n", encoding="utf-8")
    data = TextDataModule(train_file="t.csv", readers={".CSV": f"{HERE}.Lines"})
    data.read("fit")
    assert data.rows["train"].text.to_pylist() == ["good a", "bad b"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no dictionaries", "yielded a list; a reader must yield pyarrow tables or lists of dictionaries"),
        ("late key", "t: row 1 or one after it: {here}.planted yielded the key 'more'"),
        (
            "late column",
            "row 1: {here}.planted yielded the columns ['text', 'label', 'more'], and ['text', 'label'] before",
        ),
        ("doubled", "2 columns are named 'text'; rename one"),
        ("nan", "row 0, column 'label': {here}.planted yielded nan; use None for no value"),
        ("nul", "row 1, column 'text': a NUL at character 1"),
        ("date", "type date is not JSON serializable; yield strings"),
        ("no text", "no text column (the columns are: 'txet', 'label'); 'txet' has the longest values"),
        ("nothing", "no rows below the header"),
    ],
)
def test_what_a_reader_may_not_yield(kind: str, message: str) -> None:
    Path(f"{kind}.planted").touch()
    data = TextDataModule(train_file=f"{kind}.planted", readers={".planted": f"{HERE}.planted"})
    with pytest.raises(UserError) as raised:
        data.read("fit")
    assert str(raised.value).startswith(f"{kind}.planted: ")
    assert message.replace("{here}", HERE).removeprefix("t: ") in str(raised.value)


@pytest.mark.parametrize(
    ("readers", "message"),
    [
        ("{xml: a.b}", "data.readers 'xml': must be a file ending with its dot, as .xml"),
        ("{.xml: no_such_module.read}", "no module 'no_such_module'"),
        (f"{{.xml: {HERE}.raed_xml}}", "did you mean 'read_xml'?"),
        (f"{{.xml: {HERE}.one_argument}}", "must be called with (path, options): too many positional arguments"),
        (f"{{.xml: {{class_path: {HERE}.Lines, init_args: {{skipped: 1}}}}}}", "unexpected keyword argument 'skipped'"),
        (f"{{.xml: {HERE}.broken}}", f"t.xml: {HERE}.broken failed: KeyError: 'no such tag'"),
    ],
)
def test_readers_that_cannot_be(
    readers: str, message: str, fit_args: list[str], fails: Callable[[Sequence[str]], str]
) -> None:
    write_xml(Path("t.xml"))
    assert message in fails([*fit_args, "--data.train_file", "t.xml", "--data.readers", readers])


def test_a_spreadsheet_is_to_be_saved_as_csv() -> None:
    with pytest.raises(UserError, match=r"rows\.ods: a spreadsheet; save it as \.xlsx or CSV"):
        reader_of(Path("rows.ods"), ReadOptions())


def test_names_without_their_endings(tmp_path: Path) -> None:
    (tmp_path / "class.folder").mkdir()
    options = ReadOptions(readers={".log.xml": read_delimited})
    names = ["a.csv", "b.1.JSONL.gz", "c.tsv.zst", "d.log.xml", "e.txt", "class.folder"]
    assert [stem_of(tmp_path / name, options) for name in names] == ["a", "b.1", "c", "d", "e", "class.folder"]
