"""Excel workbooks."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lit_textclf import TextDataModule, UserError
from lit_textclf.data.readers.excel import read_excel
from lit_textclf.data.readers.tables import ReadOptions, what_is_wrong


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
        (
            [["Survey"], ["text", "label"], ["a", "x"]],
            "rows.xlsx: row 1 has one cell, 'Survey', which looks like a title; the column names seem to be in row 2: "
            "delete the rows above it",
        ),
        ([[None, "Survey"], [None], [None], ["text", "label"]], "the column names seem to be in row 4: delete"),
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


@pytest.mark.parametrize(("column", "value"), [("text", "#N/A"), ("label", "#DIV/0!"), ("id", "#REF!")])
def test_a_cell_with_an_error_is_refused_where_it_is_used(column: str, value: str) -> None:
    names = ["text", "label", "id", "n"]
    rows: list[list[Any]] = [[f"text {row}", "xy"[row % 2], row, "#N/A"] for row in range(4)]
    path = write([names, *rows])
    data = TextDataModule(path, id_column="id")
    data.keep_columns("train")
    data.read("fit")
    kept = data.rows["train"].kept
    assert kept is not None
    assert kept["n"].to_pylist() == ["#N/A"] * 4
    rows[2][names.index(column)] = value
    write([names, *rows])
    cell = f"{'ABC'[names.index(column)]}4"
    expected = f"rows.xlsx: row 2, column '{column}': cell {cell} has the error {value}; correct it, or clear the cell"
    with pytest.raises(UserError) as error:
        TextDataModule(path, id_column="id").read("fit")
    assert str(error.value) == expected


def test_text_that_begins_like_an_error_is_text() -> None:
    path = write([["text", "label"], ["#wow", "#1"], ["#N/A is Excel's error", "#WOW!"]])
    tables = list(read_excel(path, ReadOptions()))
    assert [row["label"] for table in tables for row in table.to_pylist()] == ["#1", "#WOW!"]
    assert not any(what_is_wrong(field) for table in tables for field in table.schema)


def test_formulas_without_a_stored_value(capsys: pytest.CaptureFixture[str]) -> None:
    """As openpyxl writes them; a formula that Excel computed, with an empty text as its value, is blank."""
    path = write([["text", "label", "n"], ["a", "x", "=1+1"], ["b", "y", "=2+2"], ["c", "x", 5]])
    assert [row["n"] for row in rows_of(path)] == [None, None, "5"]
    assert capsys.readouterr().err.splitlines() == [
        "rows.xlsx: 2 formulas without a stored value are read as blank; open the file in Excel and save it"
    ]
    write([["text", "label"], ["a", "x"], ["b", '=IF(A3="b","y","x")']])
    with pytest.raises(UserError) as error:
        TextDataModule(path).read("fit")
    assert str(error.value) == (
        "rows.xlsx: row 1, column 'label': cell B3 has a formula without a stored value; open the file in Excel and "
        "save it"
    )
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    sheet = content["xl/worksheets/sheet1.xml"]
    assert b'<c r="B3"><f>' in sheet
    stored = (
        sheet.replace(b'<c r="B3">', b'<c r="B3" t="str">')
        .replace(b"<v />", b"<v>y</v>")
        .replace(b"<v></v>", b"<v>y</v>")
    )
    for value, expected in ((b"<v>y</v>", "y"), (b"<v></v>", None)):
        with zipfile.ZipFile(path, "w") as file:
            for name, part in {**content, "xl/worksheets/sheet1.xml": stored.replace(b"<v>y</v>", value)}.items():
                file.writestr(name, part)
        assert rows_of(path)[1]["label"] == expected
    assert capsys.readouterr().err == ""
