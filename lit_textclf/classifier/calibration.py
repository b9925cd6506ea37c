"""Calibration: the temperature and thresholds learned from validation rows, and how far probabilities are off.

Logits are raw everywhere: what the model computes, what losses and metrics take, what `predict_step` returns and what
outcomes and parts of predictions keep. :class:`Calibration` alone turns them into calibrated logits or probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from lit_textclf.data.rows.labels import Target, Task

BINS = 15
"""Bins of the expected calibration error, as in Guo et al. 2017."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Temperatures beyond which nothing is gained: probabilities are 0 and 1, or all alike."""


@dataclass(frozen=True)
class Calibration:
    """What was learned from validation rows.

    Attributes:
        temperature: raw logits are divided by it before they become probabilities.
        thresholds: decision thresholds by label, used only on request; with two labels, that of the positive one.
    """

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def apply(self, logits: Tensor) -> Tensor:
        """Calibrated logits of raw ones, `(rows, outputs)`; the only place that divides by the temperature."""
        return logits / self.temperature

    def undo(self, logits: Tensor) -> Tensor:
        """Raw logits of calibrated ones: for an exported model, whose weights were divided by the temperature."""
        return logits * self.temperature

    def probabilities(self, target: Target, logits: Tensor) -> Tensor:
        """Calibrated probabilities `(rows, labels)` of raw logits; for regression the values, `(rows, 1)`."""
        if target.task == "regression":
            return logits
        calibrated = self.apply(logits)
        return calibrated.sigmoid() if target.task == "multi_label" else calibrated.softmax(-1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a checkpoint that loads with `weights_only=True` needs them."""
        return {"temperature": self.temperature, "thresholds": dict(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Calibration:
        """The inverse of :meth:`to_dict`; None gives a calibration that changes nothing."""
        return cls(values["temperature"], dict(values["thresholds"])) if values else cls()


def fit_temperature(task: Task, logits: Tensor, targets: Tensor) -> float:
    """The temperature whose probabilities have the smallest loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    The loss is convex in the inverse temperature; its slope is brought to zero by Newton's method, kept within bounds
    by bisection. One temperature for all labels, so that none wins that did not before.

    Args:
        task: cross entropy for one label, binary cross entropy for sets; a regression has no probabilities.
        logits: `(rows, outputs)`.
        targets: as in :func:`lit_textclf.losses.task_loss`.

    Returns:
        1 where nothing can be learned: no rows, or all of them right, however sure the model is.
    """
    if task == "regression" or not len(logits):
        return 1.0
    logits = logits.double()
    one_hot = F.one_hot(targets, logits.shape[1]).double() if task == "single_label" else targets.double()

    def slopes(inverse: float) -> tuple[float, float]:
        """First and second derivative of the mean loss by the inverse temperature."""
        if task == "multi_label":
            chance = torch.sigmoid(inverse * logits)
            first = (logits * (chance - one_hot)).mean()
            return float(first), float((logits.square() * chance * (1 - chance)).mean())
        chance = torch.softmax(inverse * logits, -1)
        mean = (chance * logits).sum(-1)
        spread = (chance * logits.square()).sum(-1) - mean.square()
        return float((mean - (one_hot * logits).sum(-1)).mean()), float(spread.mean())

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slopes(high)[0] <= 0 or slopes(low)[0] >= 0:  # the surer the better, or the less sure the better
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
    """How far probability and frequency are apart on average, in :data:`BINS` bins (Guo et al. 2017, equation 3).

    For label sets that of each label's presence, over all rows and labels.

    Args:
        target: the task; a regression has none.
        logits: `(rows, outputs)`; calibrated ones give the error after calibration.
        targets: as in :func:`lit_textclf.losses.task_loss`.
    """
    if target.task == "multi_label":
        return float(binary_calibration_error(logits.sigmoid().flatten(), targets.long().flatten(), n_bins=BINS))
    return float(multiclass_calibration_error(logits.softmax(-1), targets, target.num_outputs, n_bins=BINS))
