"""One number per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.labels.names import have_decimal_commas, number_in
from lit_textclf.data.labels.task import LabelTask
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError, note

_MISSING = {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "<na>"}
_FEW = 0.2
"""The largest share of rows whose label may be a mark for a missing value, if the others are a regression."""


class Regression(LabelTask):
    """Each row has a finite number; targets are the values, float32 `(rows,)`."""

    name = "regression"
    predicts = "a number"
    has_probabilities = False

    def fits(self, rows: Rows, labels: Sequence[str] | None) -> bool:
        """Only numbers, at least one of them not an integer, unless `data.labels` declares them names."""
        numbers = [number_in(name) for name in pc.unique(rows.label).to_pylist()]
        finite = [number for number in numbers if number is not None]
        return labels is None and len(finite) == len(numbers) and not all(map(float.is_integer, finite))

    def stray_cell(self, rows: Rows, *, among_integers: bool = False) -> int | None:
        """The first row whose label is a mark for a missing value among numbers with fractions, or None.

        With `among_integers`, also one among integers, which may be names.
        """
        names = pc.unique(rows.label).to_pylist()
        marks = [name for name in names if name.strip().casefold() in _MISSING]
        numbers = [number_in(name) for name in names if name not in marks]
        found = [number for number in numbers if number is not None]
        if not marks or not found or len(found) < len(numbers):
            return None
        if not among_integers and all(map(float.is_integer, found)):
            return None
        is_mark = pc.is_in(rows.label, pa.array(marks, pa.string())).to_numpy()
        return int(np.flatnonzero(is_mark)[0]) if is_mark.mean() <= _FEW else None

    def decide_labels(self, rows: Rows, labels: Sequence[str] | None) -> tuple[str, ...]:
        """No names."""
        if labels is not None:
            raise UserError("data.labels has no meaning for regression; remove it or set data.task to single_label")
        self.encode(rows, ())
        if have_decimal_commas(names := pc.unique(rows.label).to_pylist()):
            example = next(name for name in names if "," in name)
            where = f"{rows.sources[0][0]}, column {rows.columns.label_name!r}"
            note(f"{where}: labels such as {example} are read as numbers with a decimal comma")
        return ()

    def encode(self, rows: Rows, labels: Sequence[str]) -> np.ndarray:
        """The numbers, float32 `(rows,)`."""
        assert rows.label is not None
        names = rows.label.to_pylist()
        if have_decimal_commas(pc.unique(rows.label).to_pylist()):
            names = [name.replace(",", ".") for name in names]
        for index, name in enumerate(names):
            if number_in(name) is None:
                raise UserError(
                    f"{rows.where(index)}, column {rows.columns.label_name!r}: {name!r} is not a finite number, "
                    "and the task is regression; fix it or set data.task to single_label"
                )
        return np.array([float(name) for name in names], np.float32)

    def texts(self, values: Any, labels: Sequence[str]) -> list[str]:
        """The shortest decimals that read back as the same float32."""
        return pc.cast(pa.array(np.asarray(values, np.float32)), pa.string()).to_pylist()  # type: ignore[no-any-return]
