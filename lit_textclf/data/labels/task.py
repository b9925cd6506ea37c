"""What a label task is to rows: the protocol that each file of a task implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from lit_textclf.data.rows.rows import Rows


class LabelTask(ABC):
    """How the labels of one task are read, encoded and written.

    The classifier's half of a task (loss, probabilities, decisions) is
    :class:`lit_textclf.classifier.tasks.rules.TaskRules`.

    Attributes:
        name: as in `data.task`.
        predicts: what a text gets, in words.
        has_probabilities: whether the outputs become probabilities of labels; if not they are values.
        one_label_per_row: whether each row has exactly one of the labels.
        has_label_sets: whether a row has any number of the labels, written as joined names.
    """

    name: str
    predicts: str
    has_probabilities = True
    one_label_per_row = False
    has_label_sets = False

    @abstractmethod
    def fits(self, rows: Rows, labels: Sequence[str] | None) -> bool:
        """Whether `data.task: auto` means this task; the table's order decides between several.

        Args:
            rows: training rows, each with a label.
            labels: `data.labels`.
        """

    @abstractmethod
    def decide_labels(self, rows: Rows, labels: Sequence[str] | None) -> tuple[str, ...]:
        """The label names in the order of the outputs, from all training rows.

        Args:
            rows: training rows, each with a label.
            labels: `data.labels`, which decides names and order.

        Raises:
            UserError: if the rows or `labels` do not suit this task.
        """

    def default_positive_label(self, labels: Sequence[str]) -> str | None:
        """The positive label where `data.positive_label` names none."""
        return None

    @abstractmethod
    def encode(self, rows: Rows, labels: Sequence[str]) -> np.ndarray:
        """The targets that the loss takes, see :meth:`Target.encode`.

        Args:
            rows: rows, each with a label.
            labels: the label names.

        Raises:
            UserError: naming the first row whose label is unknown or unreadable.
        """

    @abstractmethod
    def strata(self, encoded: np.ndarray) -> np.ndarray | None:
        """One integer a row, int64 `(rows,)`, by which samples are stratified; None draws from all rows alike."""

    @abstractmethod
    def texts(self, values: Any, labels: Sequence[str]) -> list[str]:
        """Targets or decisions `(rows,)` or `(rows, labels)`, as they are written for people and in CSVs."""

    def counts(self, rows: Rows, labels: Sequence[str]) -> dict[str, int]:
        """The number of rows by label."""
        return value_counts(rows)

    def empty_sets(self, encoded: np.ndarray) -> np.ndarray:
        """Indices of the rows whose label set is empty."""
        return np.empty(0, np.int64)


def value_counts(rows: Rows) -> dict[str, int]:
    """The number of rows by the text of the label's cell."""
    if rows.label is None:
        return {}
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(rows.label).to_pylist()}


def listed(names: Iterable[str], most: int = 12) -> str:
    """The first names, quoted, and how many more there are."""
    names = list(names)
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
