"""The sixth room: what is measured, by task, with torchmetrics."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAUROC,
    BinaryF1Score,
    BinaryMatthewsCorrCoef,
    BinaryPrecision,
    BinaryRecall,
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
    MultilabelExactMatch,
    MultilabelF1Score,
)
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError, PearsonCorrCoef, SpearmanCorrCoef
from torchmetrics.utilities import dim_zero_cat

from lit_textclf.data.rows.labels import THRESHOLD, Target
from lit_textclf.utils.messages import UserError


class StageMetrics(nn.Module):
    """All metrics of one stage, correct whatever the batch size: states are summed, never batch values averaged.

    Args:
        target: the task and its labels.
        prefix: goes before each name, as `val_`.
    """

    def __init__(self, target: Target, prefix: str) -> None:
        super().__init__()
        self.target = target
        # Not "warn", which drops NaNs, nor "disable", which ignores the weights (torchmetrics 1.9.0, aggregation.py).
        self.loss = MeanMetric(nan_strategy="error")
        self.prefix = prefix
        with warnings.catch_warnings():
            # AUROC and Spearman's rho keep all scores until the epoch ends; that is what exact values take.
            warnings.filterwarnings("ignore", message=".*will save all (targets and predictions|.*predictions).*")
            self._build(target, prefix)
        # Sums of a thousand errors in float32 differ in the sixth digit with their order, that is with the ranks.
        self._wide = torch.float32 if torch.backends.mps.is_available() else torch.float64  # which MPS has not
        for metric in self.loggable().values():
            metric.set_dtype(self._wide)

    def _build(self, target: Target, prefix: str) -> None:
        self.outputs = MetricCollection(_output_metrics(target), prefix=prefix, compute_groups=False)
        binary = target.positive_index is not None
        self.positive = MetricCollection(_positive_metrics(), prefix=prefix, compute_groups=False) if binary else None
        self.ranking = MetricCollection({"auroc": _AUROC()}, prefix=prefix) if binary else None

    def update(self, logits: Tensor, target: Tensor, loss: Tensor, predicted: Tensor | None = None) -> None:
        """Takes one batch.

        Args:
            logits: float32 `(batch, outputs)`.
            target: see :meth:`Target.encode`.
            loss: the batch's mean loss.
            predicted: the labels that are given, where other thresholds decide: int64 `(batch,)`, or sets
                `(batch, outputs)`.

        Raises:
            UserError: if the loss is not a number.
        """
        try:
            self.loss.update(loss.detach(), weight=len(target))
        except RuntimeError:
            raise UserError(
                f"{self.prefix}loss is NaN: the model's outputs are; train with a lower model.learning_rate, or set "
                "trainer.precision to 32-true"
            ) from None
        if self.target.task == "regression":
            self.outputs.update(logits.squeeze(-1).to(self._wide), target.to(self._wide))
            return
        if self.target.task == "multi_label":
            given = logits.sigmoid().ge(THRESHOLD).long() if predicted is None else predicted
            self.outputs.update(given, target.long())
            return
        predicted = logits.argmax(-1) if predicted is None else predicted
        self.outputs.update(predicted, target)
        if self.positive is not None and self.ranking is not None:
            index = self.target.positive_index or 0
            is_positive = target.eq(index).long()
            self.positive.update(predicted.eq(index).long(), is_positive)
            self.ranking.update(logits.softmax(-1)[:, index], is_positive)

    def loggable(self) -> dict[str, Metric]:
        """The metric objects by name, for `self.log`: Lightning computes and resets them once an epoch.

        Logging the objects is exact; logging what `collection(preds, target)` returns would average the batches.
        """
        collections = [self.outputs, self.positive, self.ranking]
        named = {name: metric for part in collections if part is not None for name, metric in part.items()}
        return {f"{self.prefix}loss": self.loss, **named}

    def compute(self, *, alone: bool = False) -> dict[str, float]:
        """All values so far.

        Args:
            alone: of this process's rows only, without waiting for other processes.
        """
        metrics = self.loggable()
        if alone:
            for metric in metrics.values():
                metric.distributed_available_fn = _no_others
        return {name: float(metric.compute()) for name, metric in metrics.items()}

    def reset(self) -> None:
        """Forgets all rows, before the next epoch of a loop of one's own; Lightning does it by itself."""
        for metric in self.loggable().values():
            metric.reset()


def _no_others() -> bool:
    """What a metric hears that is not to look for other processes."""
    return False


def _output_metrics(target: Target) -> dict[str, Metric | MetricCollection]:
    if target.task == "regression":
        return {
            "mse": MeanSquaredError(),
            "mae": MeanAbsoluteError(),
            "pearson": PearsonCorrCoef(),
            "spearman": SpearmanCorrCoef(),
        }
    classes = target.num_outputs
    if target.task == "multi_label":
        return {
            "f1_micro": MultilabelF1Score(classes, average="micro"),
            "f1_macro": MultilabelF1Score(classes, average="macro"),
            "exact_match": MultilabelExactMatch(classes),
        }
    return {
        "accuracy": MulticlassAccuracy(classes, average="micro"),
        "precision_macro": MulticlassPrecision(classes, average="macro"),
        "recall_macro": MulticlassRecall(classes, average="macro"),
        "f1_macro": MulticlassF1Score(classes, average="macro"),
        "f1_micro": MulticlassF1Score(classes, average="micro"),
        "f1_weighted": MulticlassF1Score(classes, average="weighted"),
    }


class _MatthewsCorrCoef(BinaryMatthewsCorrCoef):
    """0 where all rows or all predictions have one label, as scikit-learn has it; torchmetrics 1.9.0 gives others."""

    def compute(self) -> Tensor:
        """The coefficient, a scalar."""
        confusion = self.confmat
        if (confusion.sum(0) == 0).any() or (confusion.sum(1) == 0).any():
            return torch.zeros(())
        return super().compute()


class _AUROC(BinaryAUROC):
    """NaN where all rows have one label, as scikit-learn has it: torchmetrics' 0 would read as all wrong."""

    def compute(self) -> Tensor:  # type: ignore[override]
        """The area, a scalar."""
        target = dim_zero_cat(self.target)
        return super().compute() if target.min() != target.max() else torch.tensor(torch.nan)


def _positive_metrics() -> dict[str, Metric | MetricCollection]:
    return {
        "f1": BinaryF1Score(),
        "precision": BinaryPrecision(),
        "recall": BinaryRecall(),
        "mcc": _MatthewsCorrCoef(),
    }
