"""The columns of text, label and id: named by the user, or found by name and reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.utils.messages import UserError, did_you_mean, note

KNOWN_TEXT_COLUMNS: tuple[tuple[str, str | None], ...] = (
    ("text", None),
    ("text_a", "text_b"),
    ("sentence", None),
    ("sentence1", "sentence2"),
)
"""Text columns that are used if the user names none, in order of preference."""


@dataclass(frozen=True)
class ColumnNames:
    """The names of the columns that are used; None for a column that does not exist or is not known yet.

    `id_required` is False if only a checkpoint names the id column. `labels` are columns of zeros and ones, one for
    each label of a multi-label task; then `label` is None.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = "label"
    id: str | None = None
    id_required: bool = True
    labels: tuple[str, ...] = ()

    @property
    def label_name(self) -> str | None:
        """The label column or columns, for messages."""
        return ", ".join(self.labels) if self.labels else self.label

    def found_in(self, names: Sequence[str], where: str, *, label_required: bool) -> ColumnNames:
        """Fills in the text columns from a file's column names, and checks that the other columns exist.

        Without `label_required`, a missing label column becomes `label=None`.

        Raises:
            UserError: if a column is missing, with the file's columns and the nearest name.
        """
        columns = self
        if self.text is None:
            if self.text_pair is not None:
                raise UserError("data.text_pair_column is set but data.text_column is not; type --data.text_column")
            for text, pair in KNOWN_TEXT_COLUMNS:
                if text in names and (pair is None or pair in names):
                    columns = replace(self, text=text, text_pair=pair)
                    break
            else:
                raise UserError(f"{where}: no text column ({_listed(names, 'text')}); type --data.text_column NAME")
        if columns.label is not None and columns.label not in names and not label_required:
            columns = replace(columns, label=None)
        if columns.labels and not label_required and (missing := set(columns.labels) - set(names)):
            if len(missing) < len(columns.labels):
                note(f"{where}: no column {min(missing)!r}, so the rows count as unlabelled (data.label_columns)")
            columns = replace(columns, labels=())
        if columns.id is not None and columns.id not in names and not columns.id_required:
            note(f"{where}: no column {columns.id!r}, the id column of training; predictions have no ids")
            columns = replace(columns, id=None)
        for name, option in (
            (columns.text, "data.text_column"),
            (columns.text_pair, "data.text_pair_column"),
            (columns.label, "data.label_column"),
            (columns.id, "data.id_column"),
            *((name, "data.label_columns") for name in columns.labels),
        ):
            if name is not None and name not in names:
                raise UserError(f"{where}: no column {name!r} ({_listed(names, name)}); change --{option}")
        used = [name for name in (columns.text, columns.text_pair, columns.label, *columns.labels) if name is not None]
        if len(set(used)) != len(used):
            raise UserError(f"{where}: one column is named twice, as text, pair or label: {', '.join(used)}")
        return columns


def _listed(names: Sequence[str], wanted: str) -> str:
    return f"the columns are: {', '.join(map(repr, names))}{did_you_mean(wanted, names)}"


_ON = ("1", "1.0", "true", "True", "TRUE")
_OFF = ("0", "0.0", "false", "False", "FALSE")


def lists_of_columns(table: pa.Table, names: Sequence[str], where: str, start: int) -> pa.ChunkedArray:
    """Turns columns of zeros and ones into JSON lists of the names whose column is 1, `(rows,)`.

    A row whose columns are all null has no label, as in a file to predict. The file and the number of the table's first
    row in it are for messages.

    Raises:
        UserError: naming the first row and column that is neither 0 nor 1.
    """
    on = []
    unlabelled = pc.is_null(table[names[0]])
    for name in names[1:]:
        unlabelled = pc.and_(unlabelled, pc.is_null(table[name]))
    for name in names:
        values = table[name]
        ones, zeros = (pc.is_in(values, pa.array(forms, pa.string())) for forms in (_ON, _OFF))
        wrong = pc.index(pc.or_(pc.or_(ones, zeros), unlabelled), False).as_py()
        if wrong >= 0:
            raise UserError(
                f"{where}: row {start + wrong}, column {name!r}: {values[wrong].as_py()!r} is neither 0 nor 1; "
                "fix it, or change --data.label_columns"
            )
        on.append(ones.to_pylist())
    lists = [
        None
        if missing
        else json.dumps([name for name, is_on in zip(names, row, strict=True) if is_on], ensure_ascii=False)
        for row, missing in zip(zip(*on, strict=True), unlabelled.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(lists, pa.string())])
