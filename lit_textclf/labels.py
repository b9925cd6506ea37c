"""The second room: what is to be predicted, decided once from the training rows, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.errors import UserError, count
from lit_textclf.rows import Rows

_LARGEST = float(np.finfo(np.float32).max)

Task = Literal["single_label", "regression"]
TaskOption = Literal["auto", "single_label", "multi_label", "regression"]


@dataclass(frozen=True)
class Target:
    """What a classifier predicts.

    Attributes:
        task: the kind of task.
        labels: the names in the order of the logits; empty for regression.
        positive_label: of two labels the one that `val_f1` and its like speak of, else None.
    """

    task: Task
    labels: tuple[str, ...] = ()
    positive_label: str | None = None

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise UserError(f"data.task: {self.task!r} is not supported yet; use {' or '.join(get_args(Task))}")
        if len(set(self.labels)) != len(self.labels):
            twice = next(name for name in self.labels if self.labels.count(name) > 1)
            raise UserError(f"data.labels names {twice!r} twice")
        if self.task == "single_label" and len(self.labels) < 2:
            raise UserError(f"classification needs two labels or more, got {list(self.labels)}")
        if self.positive_label is not None and self.positive_label not in self.labels:
            raise UserError(
                f"data.positive_label {self.positive_label!r} is none of the labels: {_listed(self.labels)}"
            )

    @property
    def num_outputs(self) -> int:
        """The number of logits a row."""
        return len(self.labels) or 1

    @property
    def positive_index(self) -> int | None:
        """The positive label's place among two labels, else None."""
        if self.task != "single_label" or len(self.labels) != 2:
            return None
        return self.labels.index(self.positive_label or self.labels[-1])

    @property
    def monitor(self) -> tuple[str, Literal["min", "max"]]:
        """The validation metric that tells the best epoch, and which way is better."""
        return ("val_loss", "min") if self.task == "regression" else ("val_f1_macro", "max")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a checkpoint that loads with `weights_only=True` needs them."""
        return {"task": self.task, "labels": list(self.labels), "positive_label": self.positive_label}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Target:
        """The inverse of :meth:`to_dict`."""
        return cls(values["task"], tuple(values["labels"]), values["positive_label"])

    def encode(self, rows: Rows) -> np.ndarray:
        """Turns label names into the numbers that the loss takes.

        Returns:
            `(rows,)` class indices of type int64, or values of type float32 for regression.

        Raises:
            UserError: naming the first row without a label, or whose label is unknown or no number.
        """
        missing = rows.unlabelled()
        if len(missing) or rows.label is None:
            raise UserError(
                f"{rows.where(int(missing[0]))}, column {rows.columns.label!r}: the label is missing "
                f"({count(len(missing), 'such row')}); fill it in or remove the row"
            )
        if self.task == "regression":
            return _numbers(rows)
        codes = pc.index_in(rows.label, pa.array(self.labels, pa.string()))
        unknown = np.flatnonzero(pc.is_null(codes).to_numpy())
        if len(unknown):
            first = int(unknown[0])
            raise UserError(
                f"{rows.where(first)}, column {rows.columns.label!r}: the label {rows.label[first].as_py()!r} is "
                f"unknown ({count(len(unknown), 'such row')}); training knows {_listed(self.labels)}"
            )
        return np.asarray(codes.to_numpy(), np.int64)

    def conflict(self, task: str, labels: Sequence[str] | None) -> str | None:
        """Says how options for the task and labels differ from this target, or None if they do not."""
        if task not in ("auto", self.task):
            return f"data.task is {task}, the checkpoint's task is {self.task}"
        if labels is not None and tuple(labels) != self.labels:
            return (
                f"data.labels is {_listed(labels)}, the checkpoint's labels are {_listed(self.labels)}, in this order"
            )
        return None


def decide_target(rows: Rows, task: TaskOption, labels: Sequence[str] | None, positive_label: str | None) -> Target:
    """Decides task and labels from the training rows, where the user did not.

    It is regression only if every label is a number and one at least is no integer. Labels are sorted, by value if
    all are numbers.

    Raises:
        UserError: if a label is missing, there is only one class, or the options contradict the rows.
    """
    missing = rows.unlabelled()
    if len(missing) or rows.label is None:
        raise UserError(
            f"{rows.where(int(missing[0]))}, column {rows.columns.label!r}: a training row without a label "
            f"({count(len(missing), 'such row')}); fill it in or remove the row"
        )
    names = pc.unique(rows.label).to_pylist()
    values = [_number(name) for name in names]
    numeric = all(value is not None for value in values)
    if task == "auto":
        fractional = numeric and any(not _is_integer(name) for name in names)
        if not fractional and all(name.startswith("[") for name in names):
            task = "multi_label"
        else:
            task = "regression" if fractional and labels is None else "single_label"
    if task == "multi_label":
        raise UserError(
            f"{rows.where(0)}: multi-label tasks are not supported yet; use one label a row, "
            "or set data.task to single_label if these are plain names"
        )
    if task == "regression":
        if labels is not None:
            raise UserError("data.labels has no meaning for regression; remove it or set data.task to single_label")
        _numbers(rows)
        return Target("regression")
    if labels is None:
        labels = sorted(names, key=lambda name: (float(name), name)) if numeric else sorted(names)
    if len(names) < 2:
        raise UserError(
            f"{rows.sources[0][0]}: all {count(len(rows), 'training row')} have the one label {names[0]!r}; "
            f"classification needs two (is data.label_column {rows.columns.label!r} right?)"
        )
    target = Target("single_label", tuple(labels), positive_label or (labels[-1] if len(labels) == 2 else None))
    target.encode(rows)
    return target


def label_counts(rows: Rows) -> dict[str, int]:
    """The number of rows of each label's name."""
    if rows.label is None:
        return {}
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(rows.label).to_pylist()}


def _numbers(rows: Rows) -> np.ndarray:
    assert rows.label is not None
    names = rows.label.to_pylist()
    for index, name in enumerate(names):
        if _number(name) is None:
            raise UserError(
                f"{rows.where(index)}, column {rows.columns.label!r}: {name!r} is not a finite number, "
                "and the task is regression; mend it or set data.task to single_label"
            )
    return np.array([float(name) for name in names], np.float32)


def _number(name: str) -> float | None:
    try:
        value = float(name)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None  # not for NaN either


def _is_integer(name: str) -> bool:
    return float(name).is_integer()


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
