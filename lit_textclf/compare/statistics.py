"""Significance of differences between runs: the paired bootstrap and McNemar's test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lit_textclf.classifier.metrics.table import shown_in
from lit_textclf.data.labels.names import split_names
from lit_textclf.data.labels.table import TASKS

LEVEL = 0.95
_CHUNK = 4_000_000
"""Maximum number of drawn rows in memory."""


@dataclass(frozen=True)
class Interval:
    """A value and its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two models on the same rows.

    Attributes:
        only_first: rows that only the first model predicts correctly.
        only_second: rows that only the second model predicts correctly.
        p_value: the probability that chance alone splits these rows at least this unevenly.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """The exact, two-sided test.

    If two models are equally good, the rows that only one of them predicts correctly split like coin tosses
    (McNemar 1947, https://doi.org/10.1007/BF02295996).

    Args:
        first: whether the first model predicts each row correctly, bool `(rows,)`.
        second: the same for the second model.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    together, fewer = only_first + only_second, min(only_first, only_second)
    tail, ways = 0, 1  # integers of any size: exact where factorials overflow floats
    for picked in range(fewer + 1):
        tail += ways
        ways = ways * (together - picked) // (picked + 1)
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**together))


# Metrics of drawn rows ------------------------------------------------------------------------------------------------
class Measure:
    """Metrics on the rows that runs share, and on bootstrap samples of them.

    Args:
        task: a name of `TASKS`.
        true: the rows' labels, label sets or values, as in `outcomes.csv`.
        predicted: those of each run.
        loss: the rows' losses, `(runs, rows)`.
        positive_label: the label that `f1` refers to, in a binary task.

    Attributes:
        rows: the number of rows.
        right: whether each run predicts each row correctly, bool `(runs, rows)`; empty for regression.
    """

    def __init__(
        self, task: str, true: Sequence[str], predicted: Sequence[Sequence[str]], loss: np.ndarray,
        positive_label: str | None = None,
    ) -> None:  # fmt: skip
        self.rows, self._loss = len(true), loss
        label_task = TASKS[task]
        of_labels = _LabelSets if label_task.has_label_sets else _Labels
        self._metrics = (of_labels if label_task.has_probabilities else _Values)(true, predicted, positive_label)
        self.right: np.ndarray = self._metrics.right

    def values(self, drawn: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Each metric of each run.

        Args:
            drawn: indices of rows, int `(draws, rows)`; None takes every row once.

        Returns:
            By name, `(runs, draws)`.
        """
        drawn = np.arange(self.rows)[None] if drawn is None else drawn
        return {"loss": _means(self._loss, drawn), **self._metrics.values(drawn)}


class _Labels:
    """Accuracy, macro F1, and in a binary task F1 of the positive label."""

    def __init__(self, true: Sequence[str], predicted: Sequence[Sequence[str]], positive_label: str | None) -> None:
        self.right = np.array([[a == b for a, b in zip(true, run, strict=True)] for run in predicted])
        names = dict.fromkeys([*true, *(name for run in predicted for name in run)])
        codes = {name: code for code, name in enumerate(names)}
        self.labels = len(codes)
        self.true, *self.predicted = (np.array([codes[name] for name in names]) for names in (true, *predicted))
        self.positive = None if positive_label is None else codes.get(positive_label)

    def values(self, drawn: np.ndarray) -> dict[str, np.ndarray]:
        true = self._counts(self.true[drawn])
        macro, positive = [], []
        for run, right in zip(self.predicted, self.right, strict=True):
            both = self._counts(np.where(right[drawn], self.true[drawn], self.labels))
            total = true + self._counts(run[drawn])
            f1 = _f1(both, total)
            macro.append(f1.sum(1) / (total > 0).sum(1))  # without labels that are neither true nor predicted
            if self.positive is not None:
                positive.append(f1[:, self.positive])
        found = {"accuracy": _means(self.right, drawn), "f1_macro": np.stack(macro)}
        return found | {"f1": np.stack(positive)} if positive else found

    def _counts(self, codes: np.ndarray) -> np.ndarray:
        """How often each label occurs in each draw, `(draws, labels)`."""
        width = self.labels + 1  # the last code marks rows that do not count
        offset = np.arange(len(codes))[:, None] * width
        counts = np.bincount((codes + offset).ravel(), minlength=len(codes) * width)
        return np.asarray(counts.reshape(len(codes), width)[:, :-1], float)


class _LabelSets:
    """Exact matches and micro F1."""

    def __init__(self, true: Sequence[str], predicted: Sequence[Sequence[str]], positive_label: str | None) -> None:
        sets, *runs = [[frozenset(split_names(cell)) for cell in cells] for cells in (true, *predicted)]
        self.right = np.array([[a == b for a, b in zip(sets, run, strict=True)] for run in runs])
        self.true = np.array([len(names) for names in sets], float)
        self.predicted = np.array([[len(names) for names in run] for run in runs], float)
        self.both = np.array([[len(a & b) for a, b in zip(sets, run, strict=True)] for run in runs], float)

    def values(self, drawn: np.ndarray) -> dict[str, np.ndarray]:
        true = self.true[drawn].sum(1)
        pairs = zip(self.predicted, self.both, strict=True)
        micro = [_f1(both[drawn].sum(1), true + predicted[drawn].sum(1)) for predicted, both in pairs]
        return {"exact_match": _means(self.right, drawn), "f1_micro": np.stack(micro)}


class _Values:
    """Errors and Pearson's r of a regression."""

    def __init__(self, true: Sequence[str], predicted: Sequence[Sequence[str]], positive_label: str | None) -> None:
        self.right = np.empty((0, len(true)), bool)
        self.true, *self.predicted = (np.array([float(value) for value in values]) for values in (true, *predicted))

    def values(self, drawn: np.ndarray) -> dict[str, np.ndarray]:
        true = self.true[drawn]
        found: dict[str, list[np.ndarray]] = {"pearson": [], "mse": [], "mae": []}
        for predicted in (run[drawn] for run in self.predicted):
            found["mse"].append(((predicted - true) ** 2).mean(1))
            found["mae"].append(np.abs(predicted - true).mean(1))
            a, b = predicted - predicted.mean(1, keepdims=True), true - true.mean(1, keepdims=True)
            spread = np.sqrt((a**2).sum(1) * (b**2).sum(1))
            found["pearson"].append(np.divide((a * b).sum(1), spread, out=np.full(len(a), np.nan), where=spread > 0))
        return {name: np.stack(values) for name, values in found.items()}


def _means(of_runs: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean over each run's drawn rows, `(runs, draws)`."""
    return np.stack([values[drawn].mean(1) for values in of_runs])


def _f1(both: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The harmonic mean of precision and recall; 0 where nothing is true or predicted, as in scikit-learn."""
    return np.asarray(np.divide(2 * both, total, out=np.zeros_like(both, float), where=total > 0))


# Bootstrap ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of all metrics.

    Attributes:
        of_runs: for each metric the interval of each run.
        differences: for each metric the difference between each other run and the first.
    """

    of_runs: Mapping[str, list[Interval]]
    differences: Mapping[str, list[Interval]]


def bootstrap(measure: Measure, resamples: int, seed: int) -> Intervals:
    """Percentile intervals of the paired bootstrap: each draw takes the same rows from every run.

    The same seed gives the same intervals. Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    exact = measure.values()
    drawn = [measure.values(rows) for rows in _draws(measure.rows, resamples, seed)]
    of_runs, differences = {}, {}
    for name in (name for name in shown_in("interval") if name in exact):
        values, all_drawn = exact[name][:, 0], np.concatenate([part[name] for part in drawn], axis=1)
        of_runs[name] = [_interval(value, run) for value, run in zip(values, all_drawn, strict=True)]
        less = zip(values[1:] - values[0], all_drawn[1:] - all_drawn[0], strict=True)
        differences[name] = [_interval(value, run) for value, run in less]
    return Intervals(of_runs, differences)


def _interval(value: float, drawn: np.ndarray) -> Interval:
    finite = drawn[np.isfinite(drawn)]
    if not len(finite) or not math.isfinite(value):
        return Interval(float(value), math.nan, math.nan)
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def _draws(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Indices of drawn rows, in parts of `(draws, rows)` that fit into memory."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // rows)
    for start in range(0, resamples, at_once):
        yield generator.integers(rows, size=(min(at_once, resamples - start), rows))
