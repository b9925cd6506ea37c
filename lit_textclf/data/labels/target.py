"""The target of a classifier: task and labels, decided once from the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from lit_textclf.data.labels.table import TASKS, Task, TaskOption
from lit_textclf.data.labels.task import LabelTask, listed, value_counts
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError, plural

THRESHOLD = 0.5
"""The default decision threshold of a label in a set."""


@dataclass(frozen=True)
class Target:
    """What a classifier predicts.

    Attributes:
        task: the name of the task.
        labels: the names in the order of the logits; empty for regression.
        positive_label: with two labels, the one that `val_f1`, `val_precision`, ... are computed of; else None.
    """

    task: Task
    labels: tuple[str, ...] = ()
    positive_label: str | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UserError(f"data.task {self.task!r}: must be one of {', '.join(get_args(Task))}")
        if len(set(self.labels)) != len(self.labels):
            twice = next(name for name in self.labels if self.labels.count(name) > 1)
            raise UserError(f"data.labels names {twice!r} twice")
        if self.has_probabilities and len(self.labels) < 2:
            raise UserError(f"classification needs two labels or more, got {list(self.labels)}")
        if self.positive_label is None:
            return
        if not self.one_label_per_row:
            raise UserError(f"data.positive_label has no meaning for {self.task}; remove it")
        if len(self.labels) != 2:
            raise UserError(
                f"data.positive_label is for two labels, there are {len(self.labels)}: {listed(self.labels)}"
            )
        if self.positive_label not in self.labels:
            raise UserError(f"data.positive_label {self.positive_label!r}: must be one of {listed(self.labels)}")

    @property
    def label_task(self) -> LabelTask:
        """The rules of the task for rows."""
        return TASKS[self.task]

    @property
    def has_probabilities(self) -> bool:
        """Whether outputs become probabilities of labels; if not they are values."""
        return self.label_task.has_probabilities

    @property
    def one_label_per_row(self) -> bool:
        """Whether each row has exactly one of the labels."""
        return self.label_task.one_label_per_row

    @property
    def has_label_sets(self) -> bool:
        """Whether a row has any number of the labels."""
        return self.label_task.has_label_sets

    @property
    def takes_thresholds(self) -> bool:
        """Whether decision thresholds make sense: for label sets, or two labels."""
        return self.has_label_sets or self.positive_index is not None

    @property
    def num_outputs(self) -> int:
        """The number of logits a row."""
        return len(self.labels) or 1

    @property
    def positive_index(self) -> int | None:
        """The positive label's index among two labels, else None."""
        if not self.one_label_per_row or len(self.labels) != 2:
            return None
        return self.labels.index(self.positive_label or self.labels[-1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a checkpoint that loads with `weights_only=True` needs them."""
        return {"task": self.task, "labels": list(self.labels), "positive_label": self.positive_label}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Target:
        """The inverse of :meth:`to_dict`."""
        return cls(values["task"], tuple(values["labels"]), values["positive_label"])

    def missing(self, rows: Rows) -> np.ndarray:
        """Indices of the rows without a label; a blank cell is an empty set where there are label sets."""
        return rows.unlabelled(blank=not self.has_label_sets)

    def encode(self, rows: Rows) -> np.ndarray:
        """The numbers that the loss takes.

        Returns:
            `(rows,)` class indices of type int64; float32 `(rows, labels)`, 1 where a label is in a row's set, for
            multi_label; or values of type float32 `(rows,)` for regression.

        Raises:
            UserError: naming the first row whose label is missing, unknown, or not a number.
        """
        return rows.once(self, lambda: self._encode(rows))

    def _encode(self, rows: Rows) -> np.ndarray:
        missing = self.missing(rows)
        if len(missing) or rows.label is None:
            raise UserError(
                f"{rows.where(int(missing[0]))}, column {rows.columns.label_name!r}: the label is missing "
                f"({plural(len(missing), 'such row')}); fill it in or remove the row"
            )
        return self.label_task.encode(rows, self.labels)

    def strata(self, rows: Rows) -> np.ndarray | None:
        """One integer a row, `(rows,)`, by which samples are stratified; None for regression.

        A row with several labels counts as its rarest one, rows with an empty set are a stratum of their own.
        """
        return self.label_task.strata(self.encode(rows)) if self.has_probabilities and rows.label is not None else None

    def texts(self, values: Any) -> list[str]:
        """Targets or decisions of rows, an array or tensor, as they are written."""
        return self.label_task.texts(values, self.labels)

    def conflict(self, task: str, labels: Sequence[str] | None) -> str | None:
        """How options for task and labels differ from this target, or None if they do not."""
        if task not in ("auto", self.task):
            return f"data.task is {task}, the checkpoint's task is {self.task}"
        if labels is not None and tuple(labels) != self.labels:
            return f"data.labels is {listed(labels)}, the checkpoint's labels are {listed(self.labels)}, in this order"
        return None


def missing_labels(rows: Rows, task: TaskOption) -> np.ndarray:
    """Indices of the rows without a label, before the target is decided."""
    label_sets = rows.label_lists if task == "auto" else TASKS[task].has_label_sets
    return rows.unlabelled(blank=not label_sets)


def decide_target(rows: Rows, task: TaskOption, labels: Sequence[str] | None, positive_label: str | None) -> Target:
    """Decides task and labels from the training rows, as far as the options do not.

    `auto` means regression only if every label is a number and at least one is not an integer. Labels are sorted, by
    value if all are numbers.

    Raises:
        UserError: if a label is missing, there is only one class, or the options contradict the rows.
    """
    missing = missing_labels(rows, task)
    if len(missing) or rows.label is None:
        raise UserError(
            f"{rows.where(int(missing[0]))}, column {rows.columns.label_name!r}: a training row without a label "
            f"({plural(len(missing), 'such row')}); fill it in or remove the row"
        )
    name = next(found for found, rules in TASKS.items() if rules.fits(rows, labels)) if task == "auto" else task
    names = TASKS[name].decide_labels(rows, labels)
    target = Target(name, names, positive_label or TASKS[name].default_positive_label(names))  # type: ignore[arg-type]
    target.encode(rows)
    return target


def label_counts(rows: Rows, target: Target | None = None) -> dict[str, int]:
    """The number of rows by label; of label sets, once their target is known, the sets that contain it."""
    if rows.label is None or target is None:
        return value_counts(rows)
    return target.label_task.counts(rows, target.labels)
