"""Excel workbooks."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lit_textclf import TextDataModule, UserError
from lit_textclf.data.readers.excel import read_excel
from lit_textclf.data.readers.tables import ReadOptions


def write(rows: Sequence[Sequence[Any]], path: str = "rows.xlsx", *, more: Sequence[str] = ()) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name in more:
        book.create_sheet(name)
    book.save(path)
    return Path(path)


def rows_of(path: Path) -> list[dict[str, str | None]]:
    return [row for table in read_excel(path, ReadOptions()) for row in table.to_pylist()]


def test_values() -> None:
    day = datetime.datetime(2026, 11, 25, 12, 30)
    path = write([["text", "label", "n", None], ["Grüße", 1, 0.5], ["a\nb", 0.0, True], [None, None, day]])
    assert rows_of(path) == [
        {"text": "Grüße", "label": "1", "n": "0.5"},
        {"text": "a\nb", "label": "0", "n": "true"},
        {"text": None, "label": None, "n": "2026-11-25T12:30:00"},
    ]


def test_what_is_left_out_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    path = write([["text", "label"], ["a", "x"], [None, None], ["b", "y"], [None], [None]], more=["Notes", "Old"])
    assert [row["text"] for row in rows_of(path)] == ["a", None, "b"]  # each row keeps its place
    assert capsys.readouterr().err.splitlines() == ["rows.xlsx: sheet 'Sheet' is read, 'Notes', 'Old' are not"]


def test_a_workbook_as_training_rows(capsys: pytest.CaptureFixture[str]) -> None:
    data = TextDataModule(write([["Review", "Stars"], *([text, 1 + row % 2] for row, text in enumerate("abcdefgh"))]))
    with pytest.raises(UserError, match=r"rows\.xlsx: no label column .* type --data\.label_column Stars"):
        data.read("fit")
    data = TextDataModule("rows.xlsx", label_column="Stars")
    data.read("fit")
    assert data.target is not None
    assert data.target.labels == ("1", "2")
    assert "rows.xlsx: text column: Review (found in the file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[None], ["a"]], "rows.xlsx: row 1 of the first sheet is empty"),
        ([["text", None, "label"], ["a", "b", "c"]], "rows.xlsx: column 2 has no name in row 1"),
        ([["text", "text"], ["a", "b"]], "rows.xlsx: 2 columns are named 'text'; rename one"),
        ([["text", "label"], ["a", "x"], ["b", "y", "z"]], "rows.xlsx: row 1 has more cells than the first row has"),
    ],
)
def test_refused(rows: list[list[Any]], expected: str) -> None:
    path = write(rows)
    with pytest.raises(UserError) as error:
        rows_of(path)
    assert expected in str(error.value)


def test_not_a_workbook() -> None:
    Path("rows.xlsx").write_text("text,label\na,x\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"rows\.xlsx: not an \.xlsx workbook, or damaged or encrypted \(File is not a"):
        rows_of(Path("rows.xlsx"))
