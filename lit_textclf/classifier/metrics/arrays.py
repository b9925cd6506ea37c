"""The metrics of the table in numpy, for engines that need no torch; the same numbers as torchmetrics'."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.classifier.metrics.table import READS, MetricEntry, loss_is_nan, metrics_of
from lit_textclf.data.labels.target import Target


class ArrayMetrics:
    """All metrics of one stage, as :class:`~lit_textclf.classifier.metrics.stage.StageMetrics` has them.

    Args:
        target: the task and its labels.
        prefix: goes before each name, such as `val_`.
    """

    def __init__(self, target: Target, prefix: str) -> None:
        self.target, self.prefix = target, prefix
        self._losses: list[np.ndarray] = []
        self._read: list[dict[str, tuple[np.ndarray, np.ndarray]]] = []

    def update(self, logits: np.ndarray, targets: np.ndarray, predicted: np.ndarray | None = None) -> None:
        """Adds some rows.

        Args:
            logits: raw, float32 `(rows, outputs)`.
            targets: see :meth:`Target.encode`.
            predicted: the predicted labels, where thresholds decide: int64 `(rows,)`, or sets `(rows, outputs)`.

        Raises:
            UserError: if a loss is NaN.
        """
        decisions = decisions_of(self.target)
        losses = decisions.row_losses(logits, targets)
        if np.isnan(losses).any():
            raise loss_is_nan(self.prefix)
        self._losses.append(losses)
        predicted = decisions.decide(self.target, logits) if predicted is None else predicted
        read = {"predicted": (predicted, targets)}
        if (index := self.target.positive_index) is not None:
            is_positive = targets == index
            read["positive"] = (predicted == index, is_positive)
            read["positive_score"] = (decisions.probabilities(logits)[:, index], is_positive)
        self._read.append(read)

    def compute(self) -> dict[str, float]:
        """All values so far; none without rows."""
        if not self._losses:
            return {}
        found = {"loss": float(np.concatenate(self._losses).mean())}
        entries = metrics_of(self.target.task, binary=self.target.positive_index is not None)
        for reads in READS:
            for entry in sorted((each for each in entries if each.reads == reads), key=lambda each: each.name):
                found[entry.name] = self._value(entry)
        return {f"{self.prefix}{name}": value for name, value in found.items()}

    def _value(self, entry: MetricEntry) -> float:
        predicted, true = (
            np.concatenate(parts) for parts in zip(*(read[entry.reads] for read in self._read), strict=True)
        )
        return float(COMPUTED[entry.name](_Rows(predicted, true, self.target)))


@dataclass(frozen=True)
class _Rows:
    """What a metric is computed from.

    Attributes:
        predicted: labels, label sets or values; or whether the positive label is predicted, or its probability.
        true: the same of the true labels.
        target: task and labels.
    """

    predicted: np.ndarray
    true: np.ndarray
    target: Target

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By label how often it is rightly predicted, predicted, and true, float64 `(labels,)`."""
        if self.target.has_label_sets:
            predicted, true = self.predicted == 1, self.true == 1
            return tuple(each.sum(0, dtype=float) for each in (predicted & true, predicted, true))  # type: ignore[return-value]
        right = self.true[self.predicted == self.true]
        rows = (right, self.predicted, self.true)
        return tuple(np.bincount(each, minlength=self.target.num_outputs).astype(float) for each in rows)  # type: ignore[return-value]

    @cached_property
    def binary(self) -> tuple[float, float, float]:
        """The same of the positive label alone."""
        both = self.predicted & self.true
        return float(both.sum()), float(self.predicted.sum()), float(self.true.sum())

    def macro(self, scores: np.ndarray) -> float:
        """The mean over labels; over those that occur, where a row has one label."""
        _, predicted, true = self.counts
        counted = np.ones(len(scores), bool) if self.target.has_label_sets else predicted + true > 0
        return float(scores[counted].mean())

    @cached_property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and true values, float64."""
        return self.predicted.astype(float), self.true.astype(float)


def _share(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    """A quotient that is 0 where the divisor is."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole != 0))


def _f1(hits: np.ndarray | float, predicted: np.ndarray | float, true: np.ndarray | float) -> np.ndarray:
    return _share(np.multiply(2, hits), np.add(predicted, true))


def _weighted_f1(rows: _Rows) -> float:
    true = rows.counts[2]
    return float((_f1(*rows.counts) * true).sum() / true.sum())


def _mcc(rows: _Rows) -> float:
    """Matthews' correlation coefficient; 0 where all rows or all predictions have one label, as in scikit-learn."""
    hits, predicted, true = rows.binary
    number = len(rows.true)
    spread = predicted * (number - predicted) * true * (number - true)
    return (hits * number - predicted * true) / math.sqrt(spread) if spread else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, of_row, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[of_row])


def _auroc(rows: _Rows) -> float:
    """The area under the ROC curve, from the ranks of the scores; NaN where all rows have one label."""
    positive = int(rows.true.sum())
    negative = len(rows.true) - positive
    if not positive or not negative:
        return math.nan
    above = _ranks(rows.predicted)[rows.true].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r; NaN where all values are equal."""
    first, second = first - first.mean(), second - second.mean()
    spread = math.sqrt((first**2).sum() * (second**2).sum())
    return max(-1.0, min(1.0, float((first * second).sum() / spread))) if spread else math.nan


def _r2(rows: _Rows) -> float:
    """The coefficient of determination; NaN for equal labels."""
    predicted, true = rows.values
    spread = ((true - true.mean()) ** 2).sum()
    return float(1 - ((true - predicted) ** 2).sum() / spread) if spread > 0 else math.nan


COMPUTED: dict[str, Callable[[_Rows], float | np.ndarray]] = {
    "f1_macro": lambda rows: rows.macro(_f1(*rows.counts)),
    "f1_micro": lambda rows: _f1(*(each.sum() for each in rows.counts)),
    "f1_weighted": _weighted_f1,
    "f1": lambda rows: _f1(*rows.binary),
    "precision_macro": lambda rows: rows.macro(_share(rows.counts[0], rows.counts[1])),
    "precision": lambda rows: _share(rows.binary[0], rows.binary[1]),
    "recall_macro": lambda rows: rows.macro(_share(rows.counts[0], rows.counts[2])),
    "recall": lambda rows: _share(rows.binary[0], rows.binary[2]),
    "accuracy": lambda rows: (rows.predicted == rows.true).mean(),
    "exact_match": lambda rows: (rows.predicted == rows.true).all(1).mean(),
    "auroc": _auroc,
    "mcc": _mcc,
    "mse": lambda rows: ((rows.values[0] - rows.values[1]) ** 2).mean(),
    "mae": lambda rows: abs(rows.values[0] - rows.values[1]).mean(),
    "pearson": lambda rows: _correlation(*rows.values),
    "r2": _r2,
    "spearman": lambda rows: _correlation(*map(_ranks, rows.values)),
}
"""How each metric of the table is computed."""
