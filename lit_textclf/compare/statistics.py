"""Whether a difference is more than chance: the paired bootstrap and McNemar's test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lit_textclf.classifier.metric_table import shown_in
from lit_textclf.data.rows.labels import split_names

LEVEL = 0.95
_CHUNK = 4_000_000
"""Drawn rows that are held at a time."""


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
        only_first: rows that only the first one has right.
        only_second: rows that only the second one has right.
        p_value: how probable it is that chance alone splits them so unevenly, or more.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """The exact, two-sided test.

    The rows that one of two equally good models has right and the other has not are split like throws of a coin
    (McNemar 1947, https://doi.org/10.1007/BF02295996).

    Args:
        first: whether each row is right, bool `(rows,)`.
        second: likewise, of the other model.
    """
    ours, theirs = int((first & ~second).sum()), int((second & ~first).sum())
    together, fewer = ours + theirs, min(ours, theirs)
    tail, ways = 0, 1  # whole numbers of any length: exact where factorials leave the range of floats
    for picked in range(fewer + 1):
        tail += ways
        ways = ways * (together - picked) // (picked + 1)
    return McNemar(ours, theirs, min(1.0, 2 * tail / 2**together))


class Measure:
    """What can be measured on the rows that runs have in common, and on rows drawn from them.

    Args:
        task: `single_label`, `multi_label` or `regression`.
        given: the rows' labels, label sets or values, as `outcomes.csv` has them.
        predicted: those of each run.
        loss: of each run's rows, `(runs, rows)`.
        positive_label: the label that `f1` speaks of, in a binary task.
    """

    def __init__(
        self, task: str, given: Sequence[str], predicted: Sequence[Sequence[str]], loss: np.ndarray,
        positive_label: str | None = None,
    ) -> None:  # fmt: skip
        self.task, self.loss, self.rows, self.runs = task, loss, len(given), len(predicted)
        self.positive: int | None = None
        if task == "regression":
            self.true = np.array([float(value) for value in given])
            self.said = np.array([[float(value) for value in run] for run in predicted])
            return
        if task == "multi_label":
            true, *said = [[frozenset(split_names(cell)) for cell in cells] for cells in (given, *predicted)]
            self.right = np.array([[a == b for a, b in zip(true, run, strict=True)] for run in said])
            self.true = np.array([len(names) for names in true], float)
            self.said = np.array([[len(names) for names in run] for run in said], float)
            self.both = np.array([[len(a & b) for a, b in zip(true, run, strict=True)] for run in said], float)
            return
        self.right = np.array([[a == b for a, b in zip(given, run, strict=True)] for run in predicted])
        names = {
            name: place for place, name in enumerate(dict.fromkeys([*given, *(n for run in predicted for n in run)]))
        }
        self.labels = len(names)
        self.true = np.array([names[name] for name in given])
        self.said = np.array([[names[name] for name in run] for run in predicted])
        self.positive = None if positive_label is None else names.get(positive_label)

    def values(self, drawn: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Each metric of each run.

        Args:
            drawn: places of rows, int `(draws, rows)`; None takes every row once.

        Returns:
            By name `(runs, draws)`.
        """
        drawn = np.arange(self.rows)[None] if drawn is None else drawn
        values = {"loss": np.stack([loss[drawn].mean(1) for loss in self.loss])}
        if self.task == "regression":
            return values | self._of_values(drawn)
        values["accuracy" if self.task == "single_label" else "exact_match"] = np.stack(
            [right[drawn].mean(1) for right in self.right]
        )
        if self.task == "multi_label":
            true = self.true[drawn].sum(1)
            pairs = zip(self.said, self.both, strict=True)
            values["f1_micro"] = np.stack([_f1(both[drawn].sum(1), true + said[drawn].sum(1)) for said, both in pairs])
            return values
        return values | self._of_labels(drawn)

    def _of_values(self, drawn: np.ndarray) -> dict[str, np.ndarray]:
        true = self.true[drawn]
        found: dict[str, list[np.ndarray]] = {"pearson": [], "mse": [], "mae": []}
        for run in self.said:
            said = run[drawn]
            found["mse"].append(((said - true) ** 2).mean(1))
            found["mae"].append(np.abs(said - true).mean(1))
            a, b = said - said.mean(1, keepdims=True), true - true.mean(1, keepdims=True)
            spread = np.sqrt((a**2).sum(1) * (b**2).sum(1))
            found["pearson"].append(np.divide((a * b).sum(1), spread, out=np.full(len(a), np.nan), where=spread > 0))
        return {name: np.stack(values) for name, values in found.items()}

    def _of_labels(self, drawn: np.ndarray) -> dict[str, np.ndarray]:
        true = self._counted(self.true[drawn])
        macro, positive = [], []
        for run, right in zip(self.said, self.right, strict=True):
            both = self._counted(np.where(right[drawn], self.true[drawn], self.labels))
            total = true + self._counted(run[drawn])
            f1 = _f1(both, total)
            macro.append(f1.sum(1) / (total > 0).sum(1))  # labels that no row has or is given are no part of the mean
            if self.positive is not None:
                positive.append(f1[:, self.positive])
        found = {"f1_macro": np.stack(macro)}
        return found | {"f1": np.stack(positive)} if positive else found

    def _counted(self, labels: np.ndarray) -> np.ndarray:
        """How often each label is there in each draw, `(draws, labels)`."""
        width = self.labels + 1  # the last one is that of rows that do not count
        offset = np.arange(len(labels))[:, None] * width
        counts = np.bincount((labels + offset).ravel(), minlength=len(labels) * width)
        return np.asarray(counts.reshape(len(labels), width)[:, :-1], float)


def _f1(both: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The harmonic mean of precision and recall; 0 without any true or predicted one, as in scikit-learn."""
    return np.asarray(np.divide(2 * both, total, out=np.zeros_like(both, float), where=total > 0))


@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of all metrics.

    Attributes:
        of_runs: for each metric that of each run.
        differences: for each metric that of each run but the first, less the first one's.
    """

    of_runs: Mapping[str, list[Interval]]
    differences: Mapping[str, list[Interval]]


def bootstrap(measure: Measure, resamples: int, seed: int) -> Intervals:
    """Percentile intervals of the paired bootstrap: each draw takes the same rows of every run.

    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.

    Args:
        measure: has the rows.
        resamples: draws.
        seed: of the generator; the same one gives the same intervals.
    """
    exact = measure.values()
    drawn = [measure.values(rows) for rows in _draws(measure.rows, resamples, seed)]
    shown = [name for name in shown_in("interval") if name in exact]
    of_runs, differences = {}, {}
    for name in shown:
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
    generator = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // rows)
    for start in range(0, resamples, at_once):
        yield generator.integers(rows, size=(min(at_once, resamples - start), rows))
