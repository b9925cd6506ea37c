"""The rows' half of a label task: the base class of the task files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from lit_textclf.data.rows.rows import Rows


class LabelTask(ABC):
    """Reads, encodes and writes the labels of one task.

    The classifier's half (loss, probabilities, decisions) is :class:`lit_textclf.classifier.tasks.rules.TaskRules`.

    Attributes:
        name: the value of `data.task`.
        predicts: what a text gets, in words.
        has_probabilities: whether the outputs become probabilities of labels; otherwise they are values.
        has_label_sets: whether a row has any number of labels, written as joined names.
    """

    name: str
    predicts: str
    has_probabilities = True
    has_label_sets = False

    @abstractmethod
    def fits(self, rows: Rows, labels: Sequence[str] | None) -> bool:
        """Whether `data.task: auto` means this task for training rows, each with a label, and `data.labels`."""

    @abstractmethod
    def decide_labels(self, rows: Rows, labels: Sequence[str] | None) -> tuple[str, ...]:
        """The label names in the order of the outputs: `data.labels`, or those of the training rows.

        Raises:
            UserError: if the rows or `labels` do not suit this task.
        """

    @abstractmethod
    def encode(self, rows: Rows, labels: Sequence[str]) -> np.ndarray:
        """Targets for the loss, see :meth:`Target.encode`; each row has a label.

        Raises:
            UserError: naming the first row whose label is unknown or unreadable.
        """

    def strata(self, encoded: np.ndarray) -> np.ndarray | None:
        """One integer per row, int64 `(rows,)`, to stratify samples by; None if the task has no classes."""
        return None

    @abstractmethod
    def texts(self, values: Any, labels: Sequence[str]) -> list[str]:
        """Targets or decisions, `(rows,)` or `(rows, labels)`, as text for people and CSV files."""

    def counts(self, rows: Rows, labels: Sequence[str]) -> dict[str, int]:
        """Number of rows per label."""
        return value_counts(rows)

    def empty_sets(self, encoded: np.ndarray) -> np.ndarray:
        """Indices of rows with an empty label set."""
        return np.empty(0, np.int64)


def value_counts(rows: Rows) -> dict[str, int]:
    """Number of rows per text of the label cell."""
    if rows.label is None:
        return {}
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(rows.label).to_pylist()}


def listed(names: Iterable[str], most: int = 12) -> str:
    """The first names, quoted, and the number of the others."""
    names = list(names)
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
