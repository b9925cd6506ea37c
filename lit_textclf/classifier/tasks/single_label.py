"""One label per row: cross entropy, softmax, the most probable label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from lit_textclf.classifier.inference.calibration import BINS
from lit_textclf.classifier.tasks.rules import ITERATIONS, TaskRules
from lit_textclf.data.labels.target import Target


class SingleLabelRules(TaskRules):
    """Cross entropy over classes."""

    problem_type = "single_label_classification"
    quality = "accuracy"

    def loss(
        self, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Cross entropy; class weights make it torch's weighted mean."""
        return F.cross_entropy(logits, targets, weight=class_weights, label_smoothing=label_smoothing)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy."""
        return F.cross_entropy(logits, targets, reduction="none")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax."""
        return logits.softmax(-1)

    def decide(self, target: Target, logits: Tensor, thresholds: Mapping[str, float] | None = None) -> Tensor:
        """The label of the highest logit (different logits may round to equal probabilities), or by threshold."""
        index = target.positive_index
        if thresholds is None or index is None:
            return logits.argmax(-1)
        positive = logits.softmax(-1)[:, index].ge(thresholds[target.labels[index]])
        return torch.where(positive, index, 1 - index)

    def fit_linear(self, outputs: int, features: Any, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """Logistic regression over the classes that have rows; the others start with the lowest bias."""
        from sklearn.linear_model import LogisticRegression

        weight, bias = torch.zeros(outputs, features.shape[1]), torch.zeros(outputs)
        classes = torch.unique(targets)
        if len(classes) > 1:
            fitted = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(features, targets.numpy())
            found, constant = (torch.from_numpy(each).float() for each in (fitted.coef_, fitted.intercept_))
            if len(found) == 1:  # two classes: the difference of their logits
                found, constant = torch.cat([-found, found]) / 2, torch.cat([-constant, constant]) / 2
            bias += constant.min()
            weight[classes], bias[classes] = found, constant
        return weight, bias

    def fit_constant(self, outputs: int, targets: Tensor) -> Tensor:
        """The logarithm of each label's share."""
        counts = torch.bincount(targets, minlength=outputs) + 1.0
        return (counts / counts.sum()).log()

    def measure_quality(self, logits: Tensor, targets: Tensor) -> float:
        """Accuracy."""
        return float(logits.argmax(-1).eq(targets).float().mean())

    def balanced_weights(self, target: Target, counts: Mapping[str, int], rows: int) -> list[float]:
        """Rows / (classes * the class's rows), as in scikit-learn."""
        return [rows / (len(target.labels) * counts[name]) for name in target.labels]

    def presence(self, targets: Tensor, outputs: int) -> Tensor:
        """One-hot."""
        return F.one_hot(targets, outputs)

    def slopes(self, logits: Tensor, presence: Tensor, inverse: float) -> tuple[float, float]:
        """Of cross entropy: expected logit minus the true label's logit, and the variance of the logits."""
        chance = torch.softmax(inverse * logits, -1)
        mean = (chance * logits).sum(-1)
        spread = (chance * logits.square()).sum(-1) - mean.square()
        return float((mean - (presence * logits).sum(-1)).mean()), float(spread.mean())

    def calibration_error(self, logits: Tensor, targets: Tensor) -> float:
        """The error of the most probable label."""
        return float(multiclass_calibration_error(logits.softmax(-1), targets, logits.shape[1], n_bins=BINS))
