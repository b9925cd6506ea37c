"""Metrics of torchmetrics that are computed otherwise here: what is undefined, and updates that do not wait.

On a GPU the kernels of a step run behind the Python code. Whatever reads a value, as `torch.bincount` reads the largest
number, waits for them. Updates here read none; values are read once, when an epoch's metric is computed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAUROC,
    BinaryMatthewsCorrCoef,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
    MulticlassStatScores,
)
from torchmetrics.regression import R2Score as TorchR2Score
from torchmetrics.regression import SpearmanCorrCoef as TorchSpearmanCorrCoef
from torchmetrics.utilities import dim_zero_cat

from lit_textclf.classifier.metrics.table import loss_is_nan


class MeanLoss(Metric):
    """The mean loss of all rows.

    Args:
        prefix: of the names of its stage, for messages.
    """

    full_state_update = False
    total: Tensor
    rows: Tensor

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, loss: Tensor, rows: int) -> None:
        """Adds a batch.

        Args:
            loss: the mean loss of its rows, a scalar.
            rows: their number.

        Raises:
            UserError: if the loss is NaN, on a CPU; :meth:`compute` finds it elsewhere.
        """
        if loss.device.type == "cpu" and torch.isnan(loss):
            raise loss_is_nan(self.prefix)
        self.total += loss.to(self.total.dtype) * rows
        self.rows += rows

    def compute(self) -> Tensor:
        """The mean, a scalar.

        Raises:
            UserError: if the loss of a row is NaN.
        """
        if torch.isnan(self.total):
            raise loss_is_nan(self.prefix)
        return self.total / self.rows


class _ByClass(MulticlassStatScores):
    """Counts each class by comparisons, where torchmetrics 1.9.0 calls `torch.bincount`."""

    tp: Tensor
    fp: Tensor
    tn: Tensor
    fn: Tensor

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch of classes, int64 `(batch,)`."""
        if self.average == "micro":  # one count of all classes, by comparison
            super().update(preds, target)
            return
        classes = torch.arange(self.num_classes or 1, device=target.device)
        true, predicted = target[:, None].eq(classes), preds[:, None].eq(classes)
        both, of_true, of_predicted = (true & predicted).sum(0), true.sum(0), predicted.sum(0)
        self.tp += both
        self.fp += of_predicted - both
        self.fn += of_true - both
        self.tn += len(target) - of_true - of_predicted + both


class F1Score(_ByClass, MulticlassF1Score):
    """The F1 score of classes."""


class Precision(_ByClass, MulticlassPrecision):
    """The precision of classes."""


class Recall(_ByClass, MulticlassRecall):
    """The recall of classes."""


class MatthewsCorrCoef(BinaryMatthewsCorrCoef):
    """0 where all rows or all predictions have one label, as in scikit-learn; torchmetrics 1.9.0 differs."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch of zeros and ones, int64 `(batch,)`."""
        cells = torch.arange(4, device=target.device)
        self.confmat += (2 * target + preds)[:, None].eq(cells).sum(0).view(2, 2)

    def compute(self) -> Tensor:
        """The coefficient, a scalar."""
        confusion = self.confmat
        if (confusion.sum(0) == 0).any() or (confusion.sum(1) == 0).any():
            return torch.zeros(())
        return super().compute()


class AUROC(BinaryAUROC):
    """NaN where all rows have one label, as in scikit-learn: torchmetrics' 0 would read as all wrong."""

    def compute(self) -> Tensor:  # type: ignore[override]
        """The area, a scalar."""
        target = dim_zero_cat(self.target)
        return super().compute() if target.min() != target.max() else torch.tensor(torch.nan)


class SpearmanCorrCoef(TorchSpearmanCorrCoef):
    """NaN where all values or all predictions are equal, as in SciPy: torchmetrics' 0 would read as unrelated."""

    def compute(self) -> Tensor:
        """The coefficient, a scalar."""
        values = [dim_zero_cat(each) for each in (self.preds, self.target)]
        return super().compute() if all(each.min() != each.max() for each in values) else torch.tensor(torch.nan)


class R2Score(TorchR2Score):
    """NaN for fewer than two rows, where torchmetrics raises an error, and for equal labels."""

    def compute(self) -> Tensor:
        """The coefficient of determination, a scalar."""
        spread = self.sum_squared_error - self.sum_error * self.sum_error / self.total
        return super().compute() if self.total > 1 and (spread > 0).all() else torch.tensor(torch.nan)
