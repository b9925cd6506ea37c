"""A set of labels per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lit_textclf.data.labels.names import in_order, join_names, label_sets
from lit_textclf.data.labels.task import LabelTask, listed
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError, plural


class MultiLabel(LabelTask):
    """Each row has any number of the labels; targets are float32 `(rows, labels)`, 1 where a label is in the set."""

    name = "multi_label"
    predicts = "a set of labels"
    has_label_sets = True

    def fits(self, rows: Rows, labels: Sequence[str] | None) -> bool:
        """Labels given as lists."""
        return rows.label_lists

    def decide_labels(self, rows: Rows, labels: Sequence[str] | None) -> tuple[str, ...]:
        """The names in all sets, sorted, or those of the label columns; at least two."""
        sets, _ = label_sets(rows)
        names = in_order({name for names in sets for name in names})
        if labels is None:  # a column is a label even if no row has it
            labels = rows.columns.labels or names
        if len(labels) < 2 or not names:
            raise UserError(
                f"{rows.sources[0][0]}: all label sets together contain {plural(len(names), 'name')} "
                f"({listed(names)}); two are needed (is data.label_column {rows.columns.label_name!r} right?)"
            )
        return tuple(labels)

    def encode(self, rows: Rows, labels: Sequence[str]) -> np.ndarray:
        """Zeros and ones, float32 `(rows, labels)`."""
        sets, of_row = label_sets(rows)
        column_of = {name: index for index, name in enumerate(labels)}
        encoded = np.zeros((len(sets), len(labels)), np.float32)
        for index, names in enumerate(sets):
            if unknown := [name for name in names if name not in column_of]:
                first = int(np.flatnonzero(of_row == index)[0])
                raise UserError(
                    f"{rows.where(first)}, column {rows.columns.label_name!r}: the label {unknown[0]!r} is unknown; "
                    f"training knows {listed(labels)}"
                )
            encoded[index, [column_of[name] for name in names]] = 1
        return np.asarray(encoded[of_row])

    def strata(self, encoded: np.ndarray) -> np.ndarray:
        """Each row's rarest label; rows with an empty set form their own stratum."""
        rarest_first = np.argsort(encoded.sum(0), kind="stable")
        codes = rarest_first[encoded[:, rarest_first].argmax(1)]
        return np.asarray(np.where(encoded.any(1), codes, encoded.shape[1]))

    def texts(self, values: Any, labels: Sequence[str]) -> list[str]:
        """Names joined by `|`."""
        return [join_names(names) for names in names_in_sets(values, labels)]

    def counts(self, rows: Rows, labels: Sequence[str]) -> dict[str, int]:
        """Number of sets that contain each label."""
        return dict(zip(labels, self.encode(rows, labels).sum(0).astype(int).tolist(), strict=True))

    def empty_sets(self, encoded: np.ndarray) -> np.ndarray:
        """Indices of rows without any label."""
        return np.flatnonzero(~encoded.any(1))


def names_in_sets(values: Any, labels: Sequence[str]) -> list[list[str]]:
    """The names in label sets, zeros and ones `(rows, labels)`."""
    return [[name for name, is_in in zip(labels, row, strict=True) if is_in] for row in values.tolist()]
