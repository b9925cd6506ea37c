"""Calibration: the temperature and thresholds learned from validation rows, and the calibration error.

Logits are raw everywhere: in the model's output, losses, metrics, `predict_step`, outcomes and parts of predictions.
Only :class:`Calibration` turns them into calibrated logits or probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lit_textclf.classifier.tasks.table import RULES, rules_of
from lit_textclf.data.labels.table import TASKS, Task
from lit_textclf.data.labels.target import Target

BINS = 15
"""Bins of the expected calibration error, as in Guo et al. 2017."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds beyond which probabilities are 0 and 1, or all equal."""


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

    Args:
        task: the task; a regression has no probabilities.
        logits: raw, `(rows, outputs)`.
        targets: as :meth:`Target.encode` gives them.

    Returns:
        1 if there is nothing to learn from: no rows, or a loss that only falls towards one of the bounds.
    """
    if not TASKS[task].has_probabilities or not len(logits):
        return 1.0
    logits = logits.double()
    presence = RULES[task].presence(targets, logits.shape[1]).double()

    def slopes(inverse: float) -> tuple[float, float]:
        return RULES[task].slopes(logits, presence, inverse)

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


def expected_calibration_error(target: Target, logits: Tensor, targets: Tensor) -> float:
    """The mean gap between probability and frequency, in :data:`BINS` bins (Guo et al. 2017, equation 3).

    Args:
        target: the task; not a regression.
        logits: `(rows, outputs)`; calibrated ones give the error after calibration.
        targets: as :meth:`Target.encode` gives them.
    """
    return rules_of(target).calibration_error(logits, targets, BINS)
