"""One number per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.labels.names import number_in
from lit_textclf.data.labels.task import LabelTask
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError


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

    def decide_labels(self, rows: Rows, labels: Sequence[str] | None) -> tuple[str, ...]:
        """No names."""
        if labels is not None:
            raise UserError("data.labels has no meaning for regression; remove it or set data.task to single_label")
        self.encode(rows, ())
        return ()

    def encode(self, rows: Rows, labels: Sequence[str]) -> np.ndarray:
        """The numbers, float32 `(rows,)`."""
        assert rows.label is not None
        names = rows.label.to_pylist()
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
