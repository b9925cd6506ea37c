"""The table of readers: its endings, and which one a file gets."""

from __future__ import annotations

import gzip
import inspect
import re
from pathlib import Path

import pytest

from lit_textclf import TextDataModule, UserError
from lit_textclf.data.readers.delimited import read_delimited
from lit_textclf.data.readers.formats import READERS, known_endings, reader_of
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files


def test_help_and_message_name_every_ending() -> None:
    plain = {ending for ending in READERS if ending.count(".") == 1}
    help_text = inspect.getdoc(TextDataModule)
    assert help_text is not None
    of_train_file = help_text[help_text.index("train_file:") : help_text.index("validation_file:")]
    for text in (known_endings(), of_train_file):
        assert set(re.findall(r"\.[a-z]+", text)) - {".gz", ".zst", ".txt"} == plain
    assert known_endings() == ".csv, .tsv, .jsonl, .json (also .gz, .zst), .parquet, .arrow"


@pytest.mark.parametrize(
    ("name", "delimiter", "ending"),
    [("A.CSV", None, ".csv"), ("a.b.tsv.gz", None, ".tsv"), ("a.json.zst", ";", ".json"), ("a.arrow", ";", ".arrow")],
)
def test_the_ending_decides(name: str, delimiter: str | None, ending: str) -> None:
    assert reader_of(Path(name), ReadOptions(delimiter=delimiter)) is READERS[ending]


def test_other_endings_are_tables_with_a_delimiter_only() -> None:
    for name in ("a.txt", "a.txt.gz", "a"):
        assert reader_of(Path(name), ReadOptions(delimiter=";")) is read_delimited
        with pytest.raises(UserError, match=r"unknown file ending .*; use \.csv, .*\.arrow or .* --data.readers"):
            reader_of(Path(name), ReadOptions())


def test_a_new_format_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, ".psv.gz", lambda path, options: read_delimited(path, options, "|"))
    Path("t.psv.gz").write_bytes(gzip.compress(b"text|label\ngood|a\n"))
    rows = read_files("t.psv.gz", ColumnNames(), ReadOptions(), option="data.train_file")
    assert rows.text.to_pylist() == ["good"]
