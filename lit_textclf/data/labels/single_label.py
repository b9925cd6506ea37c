"""One label per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.labels.names import in_order
from lit_textclf.data.labels.task import LabelTask, listed, value_counts
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError, plural


class SingleLabel(LabelTask):
    """Each row has one of the labels; targets are class indices, int64 `(rows,)`."""

    name = "single_label"
    predicts = "one label"

    def fits(self, rows: Rows, labels: Sequence[str] | None) -> bool:
        """Always; the last task of the table."""
        return True

    def decide_labels(self, rows: Rows, labels: Sequence[str] | None) -> tuple[str, ...]:
        """The distinct names, sorted; at least two."""
        names = pc.unique(rows.label).to_pylist()
        if len(names) < 2:
            raise UserError(
                f"{rows.sources[0][0]}: all {plural(len(rows), 'training row')} have the label {names[0]!r}; "
                f"classification needs two labels (is data.label_column {rows.columns.label_name!r} right?)"
            )
        return tuple(labels if labels is not None else in_order(names))

    def encode(self, rows: Rows, labels: Sequence[str]) -> np.ndarray:
        """Class indices, int64 `(rows,)`."""
        assert rows.label is not None
        if rows.label_lists:
            raise UserError(
                f"{rows.where(0)}, column {rows.columns.label_name!r}: labels are lists, the task is {self.name}"
            )
        names = pa.array(labels, pa.string())
        codes = pc.index_in(rows.label, names)
        if codes.null_count:  # a model of version 0.1 may have the name 1.0 for the JSON number that is 1 now
            as_floats = pc.replace_substring_regex(rows.label, r"^(-?\d+)$", r"\1.0")
            codes = pc.coalesce(codes, pc.index_in(as_floats, names))
        unknown = np.flatnonzero(pc.is_null(codes).to_numpy())
        if len(unknown):
            first = int(unknown[0])
            raise UserError(
                f"{rows.where(first)}, column {rows.columns.label_name!r}: the label {rows.label[first].as_py()!r} is "
                f"unknown ({plural(len(unknown), 'such row')}); training knows {listed(labels)}"
            )
        return np.asarray(codes.to_numpy(), np.int64)

    def counts(self, rows: Rows, labels: Sequence[str]) -> dict[str, int]:
        """Number of rows per label, under the names that :meth:`encode` takes them for."""
        counts: dict[str, int] = {}
        for name, number in value_counts(rows).items():
            known = f"{name}.0" if name not in labels and f"{name}.0" in labels else name
            counts[known] = counts.get(known, 0) + number
        return counts

    def strata(self, encoded: np.ndarray) -> np.ndarray:
        """The classes."""
        return encoded

    def texts(self, values: Any, labels: Sequence[str]) -> list[str]:
        """The names of class indices."""
        return [labels[index] for index in values.tolist()]
