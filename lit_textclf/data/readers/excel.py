"""Excel workbooks."""

from __future__ import annotations

import contextlib
import itertools
import re
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions, string_table, wrong_field
from lit_textclf.utils.messages import UserError, agree, first_line, note, plural

# https://learn.microsoft.com/en-us/office/vba/api/excel.xlcverror, and those of newer functions.
_ERRORS = {
    "#N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#GETTING_DATA", "#SPILL!", "#CALC!", "#FIELD!",
    "#BLOCKED!", "#CONNECT!", "#UNKNOWN!", "#BUSY!", "#EXTERNAL!", "#PYTHON!",
}  # fmt: skip
_NEVER_COMPUTED = "has a formula without a stored value"
_TITLE_ROWS = 5
"""Rows below the first one in which the header is searched, if the first one is a title."""


Values = tuple[Any, ...]


def read_excel(path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads the first sheet of an .xlsx file; its first row has the column names.

    Formulas have the values that Excel last computed; one that it never computed, and an error such as #N/A, is refused
    in a column that is used. Numbers are written as Excel shows them without a format (1, not 1.0), booleans as true
    and false, dates as in ISO 8601. Empty rows are rows, except at the end.

    Raises:
        UserError: if openpyxl is not installed, the file is not a workbook, or a column has no name.
    """
    book, formulas = _opened(path, values=True), _opened(path, values=False) if _has_formulas(path) else None
    sheet, *others = book.worksheets
    rows = _rows(sheet, None if formulas is None else formulas.worksheets[0])
    try:
        if others:
            titles = ", ".join(repr(other.title) for other in others)
            note(f"{path}: sheet {sheet.title!r} is read, {titles} {agree(len(others), 'is', 'are')} not")
        first, _ = next(rows, ((), {}))
        rows = _below_header(first, rows, path)
        names = _names(first, path)
        yield string_table({name: [] for name in names}, path, "utf-8")
        start, empty, blank = 0, 0, 0  # empty rows so far, of which it is not known whether a row follows
        for chunk in iter(lambda: list(itertools.islice(rows, CHUNK_ROWS)), []):
            filled = [number for number, (row, wrong) in enumerate(chunk, 1) if wrong or _filled(row)]
            last = filled[-1] if filled else 0
            found = [*[((), {})] * (empty if last else 0), *chunk[:last]]
            empty = len(chunk) - last if last else empty + len(chunk)
            yield _table(found, names, path, start)
            blank += sum(_NEVER_COMPUTED in reason for _, wrong in found for reason in wrong.values())
            start += len(found)
        if blank:
            are = f"{plural(blank, 'formula')} without a stored value {agree(blank, 'is', 'are')} read as blank"
            note(f"{path}: {are}; open the file in Excel and save it")
    finally:
        rows.close()
        for each in (book, formulas):
            if each is not None:
                each.close()


def _opened(path: Path, *, values: bool) -> Any:
    """The workbook, with the values that Excel computed or with formulas."""
    try:
        import openpyxl
    except ImportError:
        raise UserError(f"{path}: openpyxl is not installed; pip install 'lit-textclf[excel]'") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=values)
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, OSError) as error:
        raise UserError(f"{path}: not an .xlsx workbook, or damaged or encrypted ({first_line(error)})") from None
    if not book.worksheets:
        raise UserError(f"{path}: the workbook has no sheet with cells")
    book.worksheets[0].reset_dimensions()  # some programs write wrong ones
    return book


def _has_formulas(path: Path) -> bool:
    """Whether a sheet may have formulas; without them the workbook is read once."""
    with contextlib.suppress(zipfile.BadZipFile, zlib.error, OSError), zipfile.ZipFile(path) as file:
        for name in file.namelist():
            if name.startswith("xl/worksheets/"):
                with file.open(name) as sheet:
                    before = b""
                    while block := sheet.read(1 << 20):
                        if re.search(rb"<(\w+:)?f[ />]", before + block):
                            return True
                        before = block[-16:]
    return False


def _rows(sheet: Any, formulas: Any) -> Generator[tuple[Values, dict[int, str]], None, None]:
    """The values of each row, and what is wrong with them by column.

    Types of cells, which a sheet with formulas needs, take as long to read as the values.
    """
    if formulas is None:
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            yield values, _errors(values, number)
        return
    for number, (cells, same) in enumerate(zip(sheet.iter_rows(), formulas.iter_rows(), strict=True), 1):
        values = tuple(cell.value for cell in cells)
        wrong = _errors(values, number)
        for index, (cell, formula) in enumerate(zip(cells, same, strict=True)):
            # The type of a computed empty text is str.
            if formula.data_type == "f" and cell.value is None and cell.data_type == "n":
                wrong[index] = f"cell {formula.coordinate} {_NEVER_COMPUTED}; open the file in Excel and save it"
        yield values, wrong


def _errors(values: Values, number: int) -> dict[int, str]:
    """The errors in a row of the sheet, from 1, by column."""
    return {
        index: f"cell {_cell(index, number)} has the error {value}; correct it, or clear the cell"
        for index, value in enumerate(values)
        if isinstance(value, str) and value.startswith("#") and value in _ERRORS
    }


def _cell(index: int, number: int) -> str:
    """A cell's name, as B2, by its column from 0 and its row from 1."""
    from openpyxl.utils import get_column_letter

    return f"{get_column_letter(index + 1)}{number}"


def _filled(row: Values) -> int:
    """How many cells have a value."""
    return sum(value is not None for value in row)


def _below_header(header: Values, rows: Iterator[Any], path: Path) -> Generator[Any, None, None]:
    """The rows below the first one, unless that is a title above the header."""
    begin = list(itertools.islice(rows, _TITLE_ROWS))
    sizes = [_filled(row) for row, _ in begin]
    number = next((number for number, size in enumerate(sizes, 2) if size), 0)
    if _filled(header) == 1 and number and sizes[number - 2] > 1:
        title = next(value for value in header if value is not None)
        raise UserError(
            f"{path}: row 1 has one cell, {title!r:.60}, which looks like a title; the column names seem to be in row "
            f"{number}: delete the rows above it"
        )
    return _chained(begin, rows)


def _chained(begin: list[Any], rows: Iterator[Any]) -> Generator[Any, None, None]:
    yield from begin
    yield from rows


def _table(rows: list[tuple[Values, dict[int, str]]], names: list[str], path: Path, start: int) -> pa.Table:
    """Rows as strings; columns with a wrong cell are marked."""
    for number, (row, _) in enumerate(rows, start):
        if any(value is not None for value in row[len(names) :]):
            raise UserError(f"{path}: row {number} has more cells than the first row has column names")
    columns = {
        name: [_formatted(row[index]) if index < len(row) else None for row, _ in rows]
        for index, name in enumerate(names)
    }
    table = string_table(columns, path, "utf-8", start)
    for index, name in enumerate(names):
        found = ((number, wrong[index]) for number, (_, wrong) in enumerate(rows, start) if index in wrong)
        if first := next(found, None):
            table = table.set_column(
                index, wrong_field(name, f"row {first[0]}, column {name!r}: {first[1]}"), table[name]
            )
    return table


def _names(row: tuple[Any, ...], path: Path) -> list[str]:
    """The column names, without empty cells at the end."""
    names = [_formatted(value) for value in row]
    while names and names[-1] is None:
        names.pop()
    found = [name for name in names if name is not None]
    if not found:
        raise UserError(f"{path}: row 1 of the first sheet is empty; it must have the column names")
    if len(found) < len(names):
        raise UserError(f"{path}: column {names.index(None) + 1} has no name in row 1")
    if twice := next((name for name in found if found.count(name) > 1), None):
        raise UserError(f"{path}: {found.count(twice)} columns are named {twice!r}; rename one")
    return found


def _formatted(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return None if value is None else str(value)
