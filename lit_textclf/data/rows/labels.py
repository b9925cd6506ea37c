"""The second room: what is to be predicted, decided once from the training rows, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError, plural

_LARGEST = float(np.finfo(np.float32).max)

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

Task = Literal["single_label", "multi_label", "regression"]
TaskOption = Literal["auto", "single_label", "multi_label", "regression"]
THRESHOLD = 0.5
"""The probability from which on a label belongs to a row's set, in a multi-label task."""
SEPARATOR = "|"
"""What stands between the names of a label set in one cell; a name that has it, or a backslash, escapes it with one."""


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
            raise UserError(f"data.task: {self.task!r} is none of {', '.join(get_args(Task))}")
        if len(set(self.labels)) != len(self.labels):
            twice = next(name for name in self.labels if self.labels.count(name) > 1)
            raise UserError(f"data.labels names {twice!r} twice")
        if self.task != "regression" and len(self.labels) < 2:
            raise UserError(f"classification needs two labels or more, got {list(self.labels)}")
        if self.positive_label is not None and self.task != "single_label":
            raise UserError(f"data.positive_label has no meaning for {self.task}; remove it")
        if self.positive_label is not None and len(self.labels) != 2:
            raise UserError(
                f"data.positive_label is for two labels, there are {len(self.labels)}: {_listed(self.labels)}"
            )
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
            `(rows,)` class indices of type int64; float32 `(rows, labels)`, 1 where a label is in a row's set, for
            multi_label; or values of type float32 `(rows,)` for regression.

        Raises:
            UserError: naming the first row without a label, or whose label is unknown or no number.
        """
        missing = rows.unlabelled(blank=self.task != "multi_label")
        if len(missing) or rows.label is None:
            raise UserError(
                f"{rows.where(int(missing[0]))}, column {rows.columns.label_name!r}: the label is missing "
                f"({plural(len(missing), 'such row')}); fill it in or remove the row"
            )
        if self.task == "regression":
            return _numbers(rows)
        if self.task == "multi_label":
            return self._encode_sets(rows)
        if rows.label_lists:
            raise UserError(
                f"{rows.where(0)}, column {rows.columns.label_name!r}: labels are lists, the task is single_label"
            )
        codes = pc.index_in(rows.label, pa.array(self.labels, pa.string()))
        unknown = np.flatnonzero(pc.is_null(codes).to_numpy())
        if len(unknown):
            first = int(unknown[0])
            raise UserError(
                f"{rows.where(first)}, column {rows.columns.label_name!r}: the label {rows.label[first].as_py()!r} is "
                f"unknown ({plural(len(unknown), 'such row')}); training knows {_listed(self.labels)}"
            )
        return np.asarray(codes.to_numpy(), np.int64)

    def _encode_sets(self, rows: Rows) -> np.ndarray:
        sets, of_row = label_sets(rows)
        places = {name: place for place, name in enumerate(self.labels)}
        encoded = np.zeros((len(sets), len(self.labels)), np.float32)
        for number, names in enumerate(sets):
            if unknown := [name for name in names if name not in places]:
                found = np.flatnonzero(of_row == number)
                raise UserError(
                    f"{rows.where(int(found[0]))}, column {rows.columns.label_name!r}: the label {unknown[0]!r} is "
                    f"unknown; training knows {_listed(self.labels)}"
                )
            encoded[number, [places[name] for name in names]] = 1
        return np.asarray(encoded[of_row])

    def strata(self, rows: Rows) -> np.ndarray | None:
        """Numbers that keep the classes of rows apart when rows are drawn, `(rows,)`, None for regression.

        A row with several labels counts with its rarest one, a row with an empty set for itself.
        """
        if self.task == "regression" or rows.label is None:
            return None
        encoded = self.encode(rows)
        if self.task == "single_label":
            return encoded
        rarest_first = np.argsort(encoded.sum(0), kind="stable")
        codes = rarest_first[encoded[:, rarest_first].argmax(1)]
        return np.asarray(np.where(encoded.any(1), codes, len(self.labels)))

    def chosen(self, probabilities: np.ndarray) -> list[list[str]]:
        """The label sets that probabilities `(rows, labels)` mean, in a multi-label task."""
        return self.sets(probabilities >= THRESHOLD)

    def sets(self, given: np.ndarray) -> list[list[str]]:
        """The names of label sets, zeros and ones `(rows, labels)`."""
        return [[name for name, is_in in zip(self.labels, row, strict=True) if is_in] for row in given.tolist()]

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
    if task == "auto" and rows.label_lists:
        task = "multi_label"
    missing = rows.unlabelled(blank=task != "multi_label")
    if len(missing) or rows.label is None:
        raise UserError(
            f"{rows.where(int(missing[0]))}, column {rows.columns.label_name!r}: a training row without a label "
            f"({plural(len(missing), 'such row')}); fill it in or remove the row"
        )
    if task == "multi_label":
        return _multi_label_target(rows, labels, positive_label)
    names = pc.unique(rows.label).to_pylist()
    numeric = all(_number(name) is not None for name in names)
    if task == "auto":
        fractional = numeric and any(not _is_integer(name) for name in names)
        task = "regression" if fractional and labels is None else "single_label"
    if task == "regression":
        if labels is not None:
            raise UserError("data.labels has no meaning for regression; remove it or set data.task to single_label")
        _numbers(rows)
        return Target("regression", (), positive_label)
    labels = labels if labels is not None else in_order(names)
    if len(names) < 2:
        raise UserError(
            f"{rows.sources[0][0]}: all {plural(len(rows), 'training row')} have the one label {names[0]!r}; "
            f"classification needs two (is data.label_column {rows.columns.label_name!r} right?)"
        )
    target = Target("single_label", tuple(labels), positive_label or (labels[-1] if len(labels) == 2 else None))
    target.encode(rows)
    return target


def _multi_label_target(rows: Rows, labels: Sequence[str] | None, positive_label: str | None) -> Target:
    sets, _ = label_sets(rows)
    names = in_order({name for names in sets for name in names})
    if labels is None:  # a column is a label also where no row has it
        labels = rows.columns.labels or names
    if len(labels) < 2 or not names:
        raise UserError(
            f"{rows.sources[0][0]}: all label sets together hold {plural(len(names), 'name')} ({_listed(names)}); "
            f"two are needed (is data.label_column {rows.columns.label_name!r} right?)"
        )
    target = Target("multi_label", tuple(labels), positive_label)
    target.encode(rows)
    return target


def in_order(names: Iterable[str]) -> list[str]:
    """Label names sorted, by value if all are numbers."""
    names = list(names)
    if all(_number(name) is not None for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)


def label_sets(rows: Rows) -> tuple[list[list[str]], np.ndarray]:
    """The distinct label sets of rows, and which of them each row has, `(rows,)`; -1 without a label.

    Raises:
        UserError: naming the first row whose label is no list of names.
    """
    assert rows.label is not None
    encoded = rows.label.combine_chunks().dictionary_encode()
    of_row = np.asarray(encoded.indices.fill_null(-1).to_numpy())
    sets = []
    for number, spelled in enumerate(encoded.dictionary.to_pylist()):
        names = _names_in_list(spelled) if rows.label_lists else split_names(spelled)
        if names is None or any(not name.strip() for name in names):
            found = np.flatnonzero(of_row == number)
            raise UserError(
                f"{rows.where(int(found[0]))}, column {rows.columns.label_name!r}: {spelled!r:.80} is not a list of "
                "names; mend it, or set data.task to single_label if these are plain names"
            )
        sets.append(list(dict.fromkeys(names)))
    return sets, of_row


def _names_in_list(spelled: str) -> list[str] | None:
    """The names in a JSON list; None if it is something else. Numbers and booleans are names as JSON spells them."""
    try:
        values = json.loads(spelled)
    except ValueError:
        return None
    if not isinstance(values, list) or any(value is None or isinstance(value, (list, dict)) for value in values):
        return None
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def split_names(cell: str) -> list[str]:
    r"""The names in one cell, as `joy|love`.

    Example:
        >>> split_names("joy|love"), split_names(""), split_names(r"a\|b|c\\d")
        (['joy', 'love'], [], ['a|b', 'c\\d'])
    """
    names, escaped = [""], False
    for sign in cell:
        if escaped or sign not in ("\\", SEPARATOR):
            # A backslash before anything else is one that nobody escaped.
            names[-1] += sign if not escaped or sign in ("\\", SEPARATOR) else f"\\{sign}"
            escaped = False
        elif sign == SEPARATOR:
            names.append("")
        else:
            escaped = True
    names[-1] += "\\" if escaped else ""
    return names if cell else []


def join_names(names: Iterable[str]) -> str:
    """The inverse of :func:`split_names`."""
    return SEPARATOR.join(re.sub(r"([\\|])", r"\\\1", name) for name in names)


def label_counts(rows: Rows, target: Target | None = None) -> dict[str, int]:
    """The number of rows of each label's name; with a multi-label target of each name in the sets."""
    if rows.label is None:
        return {}
    if target is not None and target.task == "multi_label":
        sums = target.encode(rows).sum(0).astype(int)
        return dict(zip(target.labels, sums.tolist(), strict=True))
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(rows.label).to_pylist()}


def _numbers(rows: Rows) -> np.ndarray:
    assert rows.label is not None
    names = rows.label.to_pylist()
    for index, name in enumerate(names):
        if _number(name) is None:
            raise UserError(
                f"{rows.where(index)}, column {rows.columns.label_name!r}: {name!r} is not a finite number, "
                "and the task is regression; mend it or set data.task to single_label"
            )
    return np.array([float(name) for name in names], np.float32)


def _number(name: str) -> float | None:
    if not _NUMBER.fullmatch(name.strip()):  # Python also reads 1_5 and other scripts' digits
        return None
    value = float(name)
    return value if abs(value) <= _LARGEST else None  # not for NaN either


def _is_integer(name: str) -> bool:
    return float(name).is_integer()


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
