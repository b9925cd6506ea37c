"""A set of labels per row: binary cross entropy, a sigmoid and a threshold for each label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_calibration_error

from lit_textclf.classifier.inference.calibration import BINS
from lit_textclf.classifier.tasks.rules import ITERATIONS, TaskRules
from lit_textclf.data.labels.target import THRESHOLD, Target
from lit_textclf.utils.messages import UserError


class MultiLabelRules(TaskRules):
    """Binary cross entropy for each label."""

    problem_type = "multi_label_classification"
    quality = "micro F1"
    start_share = 1.0  # 200 rows of SemEval 2018, micro F1: 0.588, and 0.514 with 0.03, which predicts no rare label

    def loss(
        self, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Binary cross entropy; a class weight multiplies the loss of a label that is present (`pos_weight`)."""
        smooth = targets * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=class_weights)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross entropy, averaged over labels."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid."""
        return logits.sigmoid()

    def decide(self, target: Target, logits: Tensor, thresholds: Mapping[str, float] | None = None) -> Tensor:
        """The labels whose probability is at least their threshold."""
        if thresholds is None:
            return logits.sigmoid().ge(THRESHOLD).long()
        limits = torch.tensor([thresholds.get(name, THRESHOLD) for name in target.labels])
        return logits.sigmoid().ge(limits.to(logits.device, non_blocking=True)).long()

    def fit_linear(self, outputs: int, features: Any, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """A logistic regression for each label; one that all rows or none have starts with a bias alone."""
        from sklearn.linear_model import LogisticRegression

        weight, bias = torch.zeros(outputs, features.shape[1]), torch.zeros(outputs)
        for index, has_label in enumerate(targets.bool().T):
            if has_label.any() and not has_label.all():
                fitted = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(features, has_label.numpy())
                weight[index] = torch.from_numpy(fitted.coef_[0]).float()
                bias[index] = float(fitted.intercept_[0])
            else:
                bias[index] = 4.0 if has_label.all() else -4.0  # a probability of 0.98 or 0.02
        return weight, bias

    def fit_constant(self, outputs: int, targets: Tensor) -> Tensor:
        """The log odds of each label, of the most frequent one at least 0: no set is empty, whose F1 would be 0."""
        counts = targets.sum(0)
        logits = ((counts + 1) / (len(targets) - counts + 1)).log()
        most = counts.argmax()
        logits[most] = logits[most].clamp(min=0)
        return logits

    def measure_quality(self, logits: Tensor, targets: Tensor) -> float:
        """Micro F1 at a threshold of 0.5."""
        predicted, true = logits > 0, targets.bool()
        both = int((predicted & true).sum())
        return 2 * both / max(1, int(predicted.sum() + true.sum()))

    def balanced_weights(self, target: Target, counts: Mapping[str, int], rows: int) -> list[float]:
        """Rows without the label / rows with the label."""
        if everywhere := [name for name in target.labels if counts[name] == rows]:
            raise UserError(
                f"model.class_weights balanced: every training row has the label {everywhere[0]!r}, so its "
                "weight would be 0; give weights by name"
            )
        return [(rows - counts[name]) / counts[name] for name in target.labels]

    def presence(self, targets: Tensor, outputs: int) -> Tensor:
        """The targets."""
        return targets

    def slopes(self, logits: Tensor, presence: Tensor, inverse: float) -> tuple[float, float]:
        """Of binary cross entropy."""
        chance = torch.sigmoid(inverse * logits)
        first = (logits * (chance - presence)).mean()
        return float(first), float((logits.square() * chance * (1 - chance)).mean())

    def calibration_error(self, logits: Tensor, targets: Tensor) -> float:
        """The error of each label's presence, over all rows and labels."""
        return float(binary_calibration_error(logits.sigmoid().flatten(), targets.long().flatten(), n_bins=BINS))
