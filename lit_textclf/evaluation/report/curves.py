"""The data of precision-recall and ROC curves, and the reliability of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from lit_textclf.classifier.tasks.rules import BINS
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.figure_style import short_names

MAX_LABELS = 10
MAX_CLASSES = 5
_MAX_POINTS = 2000


class Curve(NamedTuple):
    """A curve's data: scores, float32 `(decisions,)`, true labels, int64 `(decisions,)`, and the area under it."""

    name: str
    scores: Tensor
    true: Tensor
    area: float


def curves(evaluation: Evaluation, area: Callable[[Tensor, Tensor], Tensor]) -> tuple[list[Curve], str]:
    """The curves of a task, without calibration.

    A binary task has one curve, that of the positive label. Other tasks have a curve of all labels together, and one
    for each of the labels with the smallest areas.

    Returns the curves (none if all rows have the same label), and a note for the title if labels are left out.
    """
    target, scores = evaluation.target, evaluation.uncalibrated.probabilities
    true = rules_of(target).presence(evaluation.outcomes.targets, target.num_outputs).long()
    # A label has a curve if some rows have it and some do not.
    drawn = ((true.sum(0) > 0) & (true.sum(0) < len(true))).nonzero().flatten().tolist()
    if target.positive_index is not None:
        drawn = [index for index in drawn if index == target.positive_index]
    names = short_names(target.labels)

    def curve(name: str, scores: Tensor, true: Tensor) -> Curve:
        return Curve(name, scores, true, float(area(scores, true)))

    each, note = [curve(names[index], scores[:, index], true[:, index]) for index in drawn], ""
    if target.positive_index is not None or not each:
        return each, note
    limit = MAX_LABELS if target.has_label_sets else MAX_CLASSES
    if len(each) > limit:
        note = f"\nthe {limit} lowest of {target.num_outputs} labels"
        each = sorted(each, key=lambda curve: curve.area)[:limit]
    return [curve("all labels (micro)", scores.flatten(), true.flatten()), *each], note


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
        score, right = evaluation.probabilities.flatten(), evaluation.outcomes.targets.flatten()
    scores, rights = score.double().numpy(), right.double().numpy()
    index = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = np.bincount(index, minlength=BINS)
    filled = rows > 0
    mean = np.bincount(index, scores, BINS)[filled] / rows[filled]
    share_right = np.bincount(index, rights, BINS)[filled] / rows[filled]
    share = rows[filled] / rows.sum()
    return Reliability(mean, share_right, share, float((share * np.abs(mean - share_right)).sum()))
