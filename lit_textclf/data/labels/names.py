"""The text in a label cell: a name, several joined names, a list, or a number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import numpy as np

from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError

SEPARATOR = "|"
"""Separates the names of a label set in a cell; a backslash escapes it, and itself, inside a name."""
_LIST = re.compile(r"""\s*(\[\s*(['"\d-].*)?\]|[({]\s*['"].*[)}])\s*""", re.DOTALL)
_LARGEST = float(np.finfo(np.float32).max)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

_DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]+,[0-9]+\s*")
_THOUSANDS = re.compile(r"\s*[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*")


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts label names, by value if all are numbers."""
    names = list(names)
    if all(number_in(name) is not None for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)


def number_in(cell: str) -> float | None:
    """The finite float32 number in a cell, or None if it contains anything else."""
    if not _NUMBER.fullmatch(cell.strip()):  # Python also reads 1_5 and other scripts' digits
        return None
    value = float(cell)
    return value if abs(value) <= _LARGEST else None  # not for NaN either


def have_decimal_commas(cells: Iterable[str]) -> bool:
    """Whether cells are numbers, and some have a comma in place of the point: `3,5`, but not only `1,234`."""
    cells = list(cells)
    with_comma = [cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)]
    others = [cell for cell in cells if not _DECIMAL_COMMA.fullmatch(cell)]
    are_integers = all("." not in cell and number_in(cell) is not None for cell in others)
    return are_integers and not all(_THOUSANDS.fullmatch(cell) for cell in with_comma)


def is_written_list(cell: str) -> bool:
    """Whether a cell contains a list as Python, pandas or JSON writes it: `['a', 'b']`, `[]`, `("a",)`."""
    return _LIST.fullmatch(cell) is not None


def label_sets(rows: Rows) -> tuple[list[list[str]], np.ndarray]:
    """The distinct label sets of rows, and the index of each row's set, `(rows,)`; -1 for a missing label.

    Raises:
        UserError: naming the first row whose label is not a list of names.
    """
    assert rows.label is not None
    encoded = rows.label.combine_chunks().dictionary_encode()
    of_row = np.asarray(encoded.indices.fill_null(-1).to_numpy())
    sets = []
    for index, cell in enumerate(encoded.dictionary.to_pylist()):
        if not rows.label_lists and is_written_list(cell):
            raise UserError(
                f"{_first_with(rows, of_row, index)}: {cell!r:.80} is a list as Python writes it; write the names of a "
                "row as a|b, and no name as an empty cell"
            )
        names = _names_in_list(cell) if rows.label_lists else split_names(cell)
        if names is None or any(not name.strip() for name in names):
            raise UserError(
                f"{_first_with(rows, of_row, index)}: {cell!r:.80} is not a list of names; fix "
                "it, or set data.task to single_label if these are plain names"
            )
        sets.append(list(dict.fromkeys(names)))
    return sets, of_row


def _first_with(rows: Rows, of_row: np.ndarray, index: int) -> str:
    """The first row with the label set of an index, and the label column."""
    return f"{rows.where(int(np.flatnonzero(of_row == index)[0]))}, column {rows.columns.label_name!r}"


def _names_in_list(cell: str) -> list[str] | None:
    """The names in a JSON list, or None if it is not one; numbers and booleans become names as written in JSON."""
    try:
        values = json.loads(cell)
    except ValueError:
        return None
    if not isinstance(values, list) or any(value is None or isinstance(value, (list, dict)) for value in values):
        return None
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def split_names(cell: str) -> list[str]:
    r"""The names in one cell, as `joy|love`.

    Example:
        >>> split_names("joy|love"), split_names(""), split_names(r"a\|b|c\\d")
        (['joy', 'love'], [], ['a|b', 'c\\d'])
    """
    names, escaped = [""], False
    for char in cell:
        if escaped or char not in ("\\", SEPARATOR):
            # A backslash before anything else escapes nothing.
            names[-1] += char if not escaped or char in ("\\", SEPARATOR) else f"\\{char}"
            escaped = False
        elif char == SEPARATOR:
            names.append("")
        else:
            escaped = True
    names[-1] += "\\" if escaped else ""
    return names if cell else []


def join_names(names: Iterable[str]) -> str:
    """The inverse of :func:`split_names`."""
    return SEPARATOR.join(re.sub(r"([\\|])", r"\\\1", name) for name in names)
