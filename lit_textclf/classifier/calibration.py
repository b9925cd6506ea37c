"""Calibration: the temperature and decision thresholds, learned from validation rows or typed as `--threshold`.

Logits are raw everywhere: in the model's output, losses, metrics, `predict_step`, outcomes and parts of predictions.
Only :class:`Calibration` turns them into calibrated logits or probabilities.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lit_textclf.classifier.tasks.table import RULES, rules_of
from lit_textclf.data.labels.table import TASKS, Task
from lit_textclf.data.labels.target import THRESHOLD, Target
from lit_textclf.utils.messages import UserError, did_you_mean

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds beyond which probabilities are 0 and 1, or all equal."""
_WANTED = re.compile(r"(precision|recall)=(0?\.\d+|1|1\.0*)")


@dataclass(frozen=True)
class Calibration:
    """Temperature and thresholds learned from validation rows.

    Attributes:
        temperature: raw logits are divided by it before they become probabilities.
        thresholds: decision thresholds by label, used only on request; with two labels, the positive one's.
    """

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def apply(self, logits: Tensor) -> Tensor:
        """Calibrated logits of raw ones, `(rows, outputs)`."""
        return logits / self.temperature

    def undo(self, logits: Tensor) -> Tensor:
        """Raw logits of calibrated ones: for an exported model, whose weights were divided by the temperature."""
        return logits * self.temperature

    def probabilities(self, target: Target, logits: Tensor) -> Tensor:
        """Calibrated probabilities `(rows, labels)` of raw logits; for regression the values, `(rows, 1)`."""
        return rules_of(target).probabilities(self.apply(logits)) if target.has_probabilities else logits

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint that loads with `weights_only=True`."""
        return {"temperature": self.temperature, "thresholds": dict(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Calibration:
        """The inverse of :meth:`to_dict`; None gives a calibration that changes nothing."""
        return cls(values["temperature"], dict(values["thresholds"])) if values else cls()


def fit_temperature(task: Task, logits: Tensor, targets: Tensor) -> float:
    """The temperature with the smallest loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    The loss is convex in the inverse temperature, so Newton's method, bounded by bisection, finds where its slope is
    zero. All labels share one temperature, so it changes no decision without thresholds.

    Logits are raw, `(rows, outputs)`, targets those of :meth:`Target.encode`. 1 if there is nothing to learn from: no
    probabilities, no rows, or a loss that only falls towards one of the bounds.
    """
    if not TASKS[task].has_probabilities or not len(logits):
        return 1.0
    logits = logits.double()
    presence = RULES[task].presence(targets, logits.shape[1]).double()
    slopes = functools.partial(RULES[task].slopes, logits, presence)
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slopes(high)[0] <= 0 or slopes(low)[0] >= 0:  # the minimum is beyond a bound
        return 1.0
    inverse = 1.0
    for _ in range(60):
        first, second = slopes(inverse)
        low, high = (inverse, high) if first < 0 else (low, inverse)
        step = inverse - first / second if second > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) < 1e-9:
            break
        inverse = following
    return 1 / inverse


# Thresholds -----------------------------------------------------------------------------------------------------------
def check_threshold_for(wanted: str) -> None:
    """Refuses a value of `model.threshold_for` that is neither f1 nor a minimum precision or recall."""
    if wanted != "f1" and not _WANTED.fullmatch(wanted):
        raise UserError(f"model.threshold_for {wanted!r}: must be f1, precision=0.9 or recall=0.9")


def best_threshold(scores: Tensor, present: Tensor, wanted: str = "f1") -> float | None:
    """The best decision threshold for a label.

    Args:
        scores: the label's probabilities, `(rows,)`.
        present: whether rows have it, bool `(rows,)`.
        wanted: `f1` for the highest F1; `precision=0.9` for the highest recall among thresholds with at least that
            precision, or the highest precision if no threshold reaches it; `recall=0.9` the other way round.

    Returns:
        The midpoint between the lowest score above the threshold and the next one; None if no row has the label.
    """
    if not bool(present.any()):
        return None
    order = scores.double().argsort(descending=True, stable=True)
    sorted_scores, hits = scores.double()[order], present[order].double().cumsum(0)
    ends = torch.cat([sorted_scores[1:] != sorted_scores[:-1], torch.tensor([True])])  # equal scores are decided alike
    taken = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    precision, recall = hits / taken, hits / hits[-1]
    value = 2 * hits / (taken + hits[-1])
    if match := _WANTED.fullmatch(wanted):
        held, raised = (precision, recall) if match[1] == "precision" else (recall, precision)
        reaches = (held >= float(match[2])) & ends
        # The other measure breaks ties.
        value = torch.where(reaches, 2 + raised + 1e-6 * held, held + 1e-6 * raised)
    best = int(torch.where(ends, value, -1.0).argmax())
    below = sorted_scores[best + 1] if best + 1 < len(scores) else torch.zeros(())
    return float((sorted_scores[best] + below) / 2)


def labels_with_thresholds(target: Target) -> tuple[str, ...]:
    """The labels that take a threshold: all of a label set, the positive one of two, otherwise none."""
    if not target.takes_thresholds:
        return ()
    return target.labels if target.positive_index is None else (target.labels[target.positive_index],)


def thresholds_of(target: Target, logits: Tensor, targets: Tensor, wanted: str = "f1") -> dict[str, float]:
    """The best threshold of each label that takes one, see :func:`labels_with_thresholds`.

    For F1, 0.5 is kept unless another threshold is better by more than chance: with few, imbalanced rows, one or two of
    them would decide the threshold, which would then do worse on other rows.

    Logits are calibrated, `(rows, outputs)`, targets those of :meth:`Target.encode`; see :func:`best_threshold` for
    `wanted`.
    """
    rules, found = rules_of(target), {}
    scores, present = rules.probabilities(logits), rules.presence(targets, target.num_outputs).bool()
    for index in map(target.labels.index, labels_with_thresholds(target)):
        of_label, has_label = scores[:, index], present[:, index]
        best = best_threshold(of_label, has_label, wanted)
        if best is None:
            continue
        if wanted == "f1" and not beats_by_more_than_chance(of_label, has_label, best, THRESHOLD):
            best = THRESHOLD
        found[target.labels[index]] = best
    return found


def beats_by_more_than_chance(scores: Tensor, present: Tensor, threshold: float, other: float) -> bool:
    """Whether a threshold's F1 exceeds another's by more than the standard error of the difference.

    The standard error is the jackknife's, each row left out in turn (Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, chapter 11). Scores and presence are those of :func:`best_threshold`.
    """

    def f1(limit: float) -> tuple[Tensor, Tensor]:
        """F1 of all rows, and with each row left out."""
        predicted = scores.double() >= limit
        both, total = (predicted & present).double(), predicted.double() + present.double()
        without = 2 * (both.sum() - both) / (total.sum() - total).clamp(min=1)
        return 2 * both.sum() / total.sum().clamp(min=1), without

    (value, without), (value_of_other, without_of_other) = f1(threshold), f1(other)
    differences = without - without_of_other
    rows = len(scores)
    error = ((rows - 1) / rows * (differences - differences.mean()).square().sum()).sqrt()
    return bool(value - value_of_other > error)


def resolve_threshold(option: Any, target: Target, learned: Mapping[str, float]) -> dict[str, float] | None:
    """Turns `--threshold` into thresholds by label, or None to take the most probable label.

    Args:
        option: None, `best`, a probability, or probabilities by label.
        target: task and labels.
        learned: the checkpoint's thresholds by label, for `best`.

    Raises:
        UserError: for a task without thresholds, an unknown label, or a value that is not a probability.
    """
    if option is None:
        return None
    names = labels_with_thresholds(target)
    if not names:
        what = f"{len(target.labels)} labels of which one is predicted" if target.has_probabilities else "a regression"
        raise UserError(f"--threshold is for two labels or label sets, but the model has {what}; use --min_score")
    if option == "best":
        if not learned:
            raise UserError(
                "--threshold best: the checkpoint has no thresholds, because it was trained without validation rows"
            )
        return {name: learned.get(name, THRESHOLD) for name in names}
    values = option if isinstance(option, Mapping) else dict.fromkeys(names, option)
    for name, value in values.items():
        if name not in names:
            raise UserError(
                f"--threshold: no label {name!r}{did_you_mean(str(name), names)}; there are {', '.join(names)}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError(
                f"--threshold {value!r}: must be best, a probability from 0 to 1, or {{label: probability}}"
            )
    return {name: float(values.get(name, THRESHOLD)) for name in names}
