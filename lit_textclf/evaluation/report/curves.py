"""The numbers behind figures: what curves are drawn of, and how often a score was right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lit_textclf.classifier.calibration import BINS, Calibration
from lit_textclf.data.labels.target import THRESHOLD
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.figure_style import short_names

MOST_LABELS = 10
WORST_CLASSES = 5
_MOST_POINTS = 2000


class Ranked(NamedTuple):
    """What a curve is drawn of: scores, float32 `(decisions,)`, whether each is right, and the area below."""

    name: str
    scores: Tensor
    true: Tensor
    area: float


def ranked(outcomes: Outcomes, area: Callable[[Tensor, Tensor], Tensor]) -> tuple[list[Ranked], str]:
    """The curves of a task: the positive label's, or that of all labels together and those of the lowest areas.

    Args:
        outcomes: of a task with labels.
        area: what is below a curve, of its scores and what is true.

    Returns:
        The curves, none where all rows have one label, and what a title says of those that are left out.
    """
    target = outcomes.target
    if target.has_label_sets:
        scores, true = outcomes.logits.sigmoid(), outcomes.targets.long()
    else:
        scores = outcomes.logits.softmax(-1)
        true = torch.nn.functional.one_hot(outcomes.targets, target.num_outputs)
    possible = torch.nonzero((true.sum(0) > 0) & (true.sum(0) < len(true))).flatten().tolist()
    if target.positive_index is not None:
        possible = [place for place in possible if place == target.positive_index]
    names = short_names(target.labels)
    each = [
        Ranked(names[place], scores[:, place], true[:, place], float(area(scores[:, place], true[:, place])))
        for place in possible
    ]
    if target.positive_index is not None or not each:
        return each, ""
    most = MOST_LABELS if target.has_label_sets else WORST_CLASSES
    note = ""
    if len(each) > most:
        note = f"\nthe {most} lowest of {target.num_outputs} labels"
        each = sorted(each, key=lambda curve: curve.area)[:most]
    flat, flat_true = scores.flatten(), true.flatten()
    return [Ranked("all labels (micro)", flat, flat_true, float(area(flat, flat_true))), *each], note


def thinned(values: np.ndarray, most: int = _MOST_POINTS) -> np.ndarray:
    """At most so many of the values, evenly spread, with the first and the last one."""
    if len(values) <= most:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, most).round().astype(int)])


@dataclass(frozen=True)
class Decisions:
    """The scores of what was decided, float32 `(decisions,)`, and whether it was right; of each row, or each label."""

    score: Tensor
    right: Tensor
    of: str

    @classmethod
    def of_outcomes(cls, outcomes: Outcomes, calibration: Calibration) -> Decisions:
        """Of the predicted label of each row; in a multi-label task of each label of each row."""
        chance = calibration.probabilities(outcomes.target, outcomes.logits)
        if outcomes.target.has_label_sets:
            right = (chance >= THRESHOLD) == outcomes.targets.bool()
            return cls(torch.maximum(chance, 1 - chance).flatten(), right.flatten(), "labels of rows")
        score, predicted = chance.max(-1)
        return cls(score, predicted == outcomes.targets, "rows")


class Reliability(NamedTuple):
    """Bins of scores that hold any: mean score, share that is right, share of all, float64 `(bins,)`; and the ECE.

    The ECE is the mean distance of the two, over what was scored.
    """

    score: np.ndarray
    right: np.ndarray
    share: np.ndarray
    error: float


def reliability(outcomes: Outcomes, calibration: Calibration | None = None) -> Reliability:
    """How well scores say how often they are right, in bins of equal width; the ECE of Guo et al. 2017.

    For single-label tasks of the predicted label's score; for multi-label tasks of each label's probability.
    """
    calibration = calibration or Calibration()
    if outcomes.target.has_label_sets:
        score = calibration.probabilities(outcomes.target, outcomes.logits).flatten()
        right = outcomes.targets.flatten()
    else:
        decisions = Decisions.of_outcomes(outcomes, calibration)
        score, right = decisions.score, decisions.right
    scores, rights = score.double().numpy(), right.double().numpy()
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    some = rows > 0
    mean = np.bincount(place, scores, BINS)[some] / rows[some]
    share_right = np.bincount(place, rights, BINS)[some] / rows[some]
    share = rows[some] / rows.sum()
    return Reliability(mean, share_right, share, float((share * np.abs(mean - share_right)).sum()))
