"""The data of precision-recall and ROC curves, and the reliability of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lit_textclf.classifier.inference.calibration import BINS
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.figure_style import short_names

MAX_LABELS = 10
MAX_CLASSES = 5
_MAX_POINTS = 2000


class Curve(NamedTuple):
    """A curve's data: scores, float32 `(decisions,)`, true labels, int64 `(decisions,)`, and the area under it."""

    name: str
    scores: np.ndarray
    true: np.ndarray
    area: float


def _counts(scores: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of the decisions with the highest scores are right and wrong, after each group of equal scores."""
    order = np.argsort(-scores, kind="stable")
    right, sorted_scores = np.cumsum(true[order], dtype=float), scores[order]
    ends = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    return right[ends], ends + 1 - right[ends]


def precision_recall(scores: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each threshold, from the lowest one to none, as scikit-learn has them.

    Args:
        scores: float32 `(decisions,)`.
        true: zeros and ones `(decisions,)`.
    """
    right, wrong = _counts(scores, true)
    recall, precision = right / right[-1], right / (right + wrong)
    return np.append(recall[::-1], 0.0), np.append(precision[::-1], 1.0)


def average_precision(scores: np.ndarray, true: np.ndarray) -> float:
    """The area under the curve of :func:`precision_recall`, summed in steps."""
    recall, precision = precision_recall(scores, true)
    return float(-(np.diff(recall) * precision[:-1]).sum())


def roc(scores: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, from no decision to all; arguments as of :func:`precision_recall`."""
    right, wrong = _counts(scores, true)
    return np.append(0.0, wrong / wrong[-1]), np.append(0.0, right / right[-1])


def roc_area(scores: np.ndarray, true: np.ndarray) -> float:
    """The area under the curve of :func:`roc`."""
    return float(np.trapezoid(*reversed(roc(scores, true))))


def curves(evaluation: Evaluation, area: Callable[[np.ndarray, np.ndarray], float]) -> tuple[list[Curve], str]:
    """The curves of a task, without calibration.

    A binary task has one curve, that of the positive label. Other tasks have a curve of all labels together, and one
    for each of the labels with the smallest areas.

    Returns the curves (none if all rows have the same label), and a note for the title if labels are left out.
    """
    target, scores = evaluation.target, evaluation.uncalibrated.probabilities
    true = decisions_of(target).presence(evaluation.outcomes.targets, target.num_outputs).astype(np.int64)
    # A label has a curve if some rows have it and some do not.
    drawn = np.flatnonzero((true.sum(0) > 0) & (true.sum(0) < len(true))).tolist()
    if target.positive_index is not None:
        drawn = [index for index in drawn if index == target.positive_index]
    names = short_names(target.labels)

    def curve(name: str, scores: np.ndarray, true: np.ndarray) -> Curve:
        return Curve(name, scores, true, area(scores, true))

    each, note = [curve(names[index], scores[:, index], true[:, index]) for index in drawn], ""
    if target.positive_index is not None or not each:
        return each, note
    limit = MAX_LABELS if target.has_label_sets else MAX_CLASSES
    if len(each) > limit:
        note = f"\nthe {limit} lowest of {target.num_outputs} labels"
        each = sorted(each, key=lambda curve: curve.area)[:limit]
    return [curve("all labels (micro)", scores.ravel(), true.ravel()), *each], note


def thinned(values: np.ndarray, limit: int = _MAX_POINTS) -> np.ndarray:
    """At most `limit` of the values, evenly spread, including the first and the last."""
    if len(values) <= limit:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, limit).round().astype(int)])


class Reliability(NamedTuple):
    """Non-empty bins of scores: mean score, share correct, share of all scores, float64 `(bins,)`; and the ECE.

    The expected calibration error is the mean difference between the first two, weighted by the third.
    """

    score: np.ndarray
    right: np.ndarray
    share: np.ndarray
    error: float


def reliability(evaluation: Evaluation) -> Reliability:
    """How often scores are right, in bins of equal width, with the ECE of Guo et al. 2017.

    Single-label tasks use the score of the predicted label, multi-label tasks the probability of each label.
    """
    decisions = evaluation.decisions
    assert decisions is not None
    score, right = decisions
    if evaluation.target.has_label_sets:
        score, right = evaluation.probabilities.ravel(), evaluation.outcomes.targets.ravel()
    scores, rights = score.astype(float), right.astype(float)
    index = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = np.bincount(index, minlength=BINS)
    filled = rows > 0
    mean = np.bincount(index, scores, BINS)[filled] / rows[filled]
    share_right = np.bincount(index, rights, BINS)[filled] / rows[filled]
    share = rows[filled] / rows.sum()
    return Reliability(mean, share_right, share, float((share * np.abs(mean - share_right)).sum()))
