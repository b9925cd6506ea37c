"""The target of a classifier: task and labels, decided once from the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import numpy as np

from lit_textclf.data.labels.table import REGRESSION, TASKS, Task, TaskOption
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
        positive_label: with two labels, the one that `val_f1`, `val_precision`, ... measure; otherwise None.
        label_mean: for regression, the mean of the training labels; otherwise 0.
        label_scale: for regression, their standard deviation; otherwise 1.
    """

    task: Task
    labels: tuple[str, ...] = ()
    positive_label: str | None = None
    label_mean: float = 0.0
    label_scale: float = 1.0

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
        """The rows' half of the task."""
        return TASKS[self.task]

    @property
    def has_probabilities(self) -> bool:
        """See :class:`LabelTask`."""
        return self.label_task.has_probabilities

    @property
    def one_label_per_row(self) -> bool:
        """Whether each row has exactly one of the labels."""
        return self.has_probabilities and not self.has_label_sets

    @property
    def has_label_sets(self) -> bool:
        """See :class:`LabelTask`."""
        return self.label_task.has_label_sets

    @property
    def takes_thresholds(self) -> bool:
        """Whether decision thresholds make sense: for label sets, or two labels."""
        return self.has_label_sets or self.positive_index is not None

    @property
    def num_outputs(self) -> int:
        """Number of logits per row."""
        return len(self.labels) or 1

    @property
    def positive_index(self) -> int | None:
        """Index of the positive label of two; otherwise None."""
        if not self.one_label_per_row or len(self.labels) != 2:
            return None
        return self.labels.index(self.positive_label or self.labels[-1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint that loads with `weights_only=True`."""
        return {**asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Target:
        """The inverse of :meth:`to_dict`."""
        scale = {name: values[name] for name in ("label_mean", "label_scale") if name in values}  # not in version 0.1
        return cls(values["task"], tuple(values["labels"]), values.get("positive_label"), **scale)

    def scaled_to(self, rows: Rows) -> Target:
        """This target with the mean and standard deviation of the values of training rows; itself with probabilities.

        Equal values have a scale of 1.
        """
        if self.has_probabilities:
            return self
        values = self.encode(rows).astype(np.float64)
        return replace(self, label_mean=float(values.mean()), label_scale=float(values.std()) or 1.0)

    def standardized(self, values: Any) -> Any:
        """Values of an array or a tensor in standard deviations from the mean; label targets are not changed."""
        return values if self.has_probabilities else (values - self.label_mean) / self.label_scale

    def unstandardized(self, values: Any) -> Any:
        """The inverse of :meth:`standardized`."""
        return values if self.has_probabilities else values * self.label_scale + self.label_mean

    def tolerance(self, standardized: float) -> float:
        """The largest difference of outputs that counts as rounding.

        Args:
            standardized: that of outputs near 0 with a standard deviation near 1.

        Returns:
            It in the unit of the labels, and four roundings of float32 near their mean.
        """
        return standardized * self.label_scale + 4 * float(np.finfo(np.float32).eps) * abs(self.label_mean)

    def missing(self, rows: Rows) -> np.ndarray:
        """Indices of the rows without a label; with label sets, a blank cell is an empty set."""
        return rows.unlabelled(blank=not self.has_label_sets)

    def encode(self, rows: Rows) -> np.ndarray:
        """Targets for the loss.

        Returns:
            Class indices, int64 `(rows,)`; for multi_label, float32 `(rows, labels)`, 1 where a label is in the row's
            set; for regression, values, float32 `(rows,)`.

        Raises:
            UserError: naming the first row whose label is missing, unknown, or not a number.
        """

        def encode() -> np.ndarray:
            _refuse_missing(rows, self.missing(rows), "the label is missing")
            return self.label_task.encode(rows, self.labels)

        return rows.once(self, encode)

    def strata(self, rows: Rows) -> np.ndarray | None:
        """One integer per row, see :meth:`LabelTask.strata`; None without classes or labels."""
        return self.label_task.strata(self.encode(rows)) if self.has_probabilities and rows.label is not None else None

    def texts(self, values: Any) -> list[str]:
        """Targets or decisions of rows, an array or tensor, as text."""
        return self.label_task.texts(values, self.labels)

    def conflict(self, task: str, labels: Sequence[str] | None) -> str | None:
        """Says how options for task and labels differ from this target; None if they agree."""
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
    """Takes task and labels from the options, or else from the training rows.

    `auto` means regression only if every label is a number and at least one is not an integer. Labels are sorted, by
    value if all are numbers.

    Raises:
        UserError: if a label is missing, there is only one class, or the options contradict the rows.
    """
    _refuse_missing(rows, missing_labels(rows, task), "a training row without a label")
    if task == "auto" and labels is None and (stray := REGRESSION.stray_cell(rows)) is not None:
        raise UserError(
            f"{rows.where(stray)}, column {rows.columns.label_name!r}: {rows.label[stray].as_py()!r} among numbers; "  # type: ignore[index]
            "fix it or remove the row for a regression, or set data.task to single_label if it is a class"
        )
    name = next(found for found, rules in TASKS.items() if rules.fits(rows, labels)) if task == "auto" else task
    names = TASKS[name].decide_labels(rows, labels)
    target = Target(name, names, positive_label or None)  # type: ignore[arg-type]
    if target.positive_index is not None:
        target = replace(target, positive_label=names[target.positive_index])
    target.encode(rows)
    return target


def _refuse_missing(rows: Rows, missing: np.ndarray, what: str) -> None:
    if len(missing) or rows.label is None:
        raise UserError(
            f"{rows.where(int(missing[0]))}, column {rows.columns.label_name!r}: {what} "
            f"({plural(len(missing), 'such row')}); fill it in or remove the row"
        )


def label_counts(rows: Rows, target: Target | None = None) -> dict[str, int]:
    """Number of rows per label; with label sets and a known target, of sets that contain it."""
    if rows.label is None or target is None:
        return value_counts(rows)
    return target.label_task.counts(rows, target.labels)
