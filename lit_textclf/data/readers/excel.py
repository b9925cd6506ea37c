"""Excel workbooks."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions, string_table
from lit_textclf.utils.messages import UserError, agree, first_line, note


def read_excel(path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads the first sheet of an .xlsx file; its first row has the column names.

    Formulas have the values that Excel last computed. Numbers are written as Excel shows them without a format (1, not
    1.0), booleans as true and false, dates as in ISO 8601. Empty rows are rows, except at the end.

    Raises:
        UserError: if openpyxl is not installed, the file is not a workbook, or a column has no name.
    """
    try:
        import openpyxl
    except ImportError:
        raise UserError(f"{path}: openpyxl is not installed; pip install 'lit-textclf[excel]'") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, OSError) as error:
        raise UserError(f"{path}: not an .xlsx workbook, or damaged or encrypted ({first_line(error)})") from None
    if not book.worksheets:
        raise UserError(f"{path}: the workbook has no sheet with cells")
    sheet, *others = book.worksheets
    sheet.reset_dimensions()  # some programs write wrong ones
    rows = sheet.iter_rows(values_only=True)
    try:
        if others:
            titles = ", ".join(repr(other.title) for other in others)
            note(f"{path}: sheet {sheet.title!r} is read, {titles} {agree(len(others), 'is', 'are')} not")
        names = _names(next(rows, ()), path)
        yield string_table({name: [] for name in names}, path, "utf-8")
        start, empty = 0, 0  # empty rows so far, of which it is not known whether a row follows
        for chunk in iter(lambda: list(itertools.islice(rows, CHUNK_ROWS)), []):
            filled = [number for number, row in enumerate(chunk, 1) if any(value is not None for value in row)]
            last = filled[-1] if filled else 0
            found = [*[()] * (empty if last else 0), *chunk[:last]]
            empty = len(chunk) - last if last else empty + len(chunk)
            for number, row in enumerate(found, start):
                if any(value is not None for value in row[len(names) :]):
                    raise UserError(f"{path}: row {number} has more cells than the first row has column names")
            columns = {
                name: [_formatted(row[index]) if index < len(row) else None for row in found]
                for index, name in enumerate(names)
            }
            yield string_table(columns, path, "utf-8", start)
            start += len(found)
    finally:
        rows.close()
        book.close()


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
