"""One number per row: mean squared error, no probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_textclf.classifier.tasks.rules import TaskRules
from lit_textclf.data.labels.target import Target


class RegressionRules(TaskRules):
    """Mean squared error of values."""

    problem_type = "regression"
    quality = "R2"
    linear = "ridge regression"

    def loss(
        self, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Mean squared error; class weights and smoothing are refused earlier."""
        return F.mse_loss(logits.squeeze(-1), targets)

    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Squared errors."""
        return F.mse_loss(logits.squeeze(-1), targets, reduction="none")

    def probabilities(self, logits: Tensor) -> Tensor:
        """The values, `(rows, 1)`."""
        return logits

    def decide(self, target: Target, logits: Tensor, thresholds: Mapping[str, float] | None = None) -> Tensor:
        """The values."""
        return logits[:, 0]

    def fit_linear(self, outputs: int, features: Any, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """Ridge regression; zeros, the mean of standardized values, without rows."""
        if not len(targets):  # the only row is held out
            return torch.zeros(1, features.shape[1]), torch.zeros(1)
        from sklearn.linear_model import Ridge

        fitted = Ridge(alpha=1 / strength).fit(features, targets.numpy())
        return torch.from_numpy(fitted.coef_).float()[None], torch.tensor([float(fitted.intercept_)])

    def fit_constant(self, outputs: int, targets: Tensor) -> Tensor:
        """The mean."""
        return targets.mean()[None]

    def measure_quality(self, logits: Tensor, targets: Tensor) -> float:
        """The share of the variance that is explained."""
        errors, spread = F.mse_loss(logits[:, 0], targets), targets.var(correction=0)
        return 1 - float(errors / spread) if spread > 0 else 0.0
