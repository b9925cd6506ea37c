"""Metrics that are computed otherwise than torchmetrics does, against torchmetrics."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.classification import (
    BinaryMatthewsCorrCoef,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
    MulticlassStatScores,
)

from lit_textclf.classifier.metrics.classes import F1Score, MatthewsCorrCoef, MeanLoss, Precision, Recall
from lit_textclf.utils.messages import UserError

SAME = {F1Score: MulticlassF1Score, Precision: MulticlassPrecision, Recall: MulticlassRecall}


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("ours", SAME, ids=lambda kind: kind.__name__)
def test_classes(ours: type[MulticlassStatScores], average: str) -> None:
    """The counts, and what is computed of them; of seven classes one is never true and one never predicted."""
    metrics = [kind(num_classes=7, average=average, validate_args=False) for kind in (ours, SAME[ours])]
    generator = torch.Generator().manual_seed(0)
    for rows in (1, 5, 40):
        predicted, true = torch.randint(6, (rows,), generator=generator), torch.randint(6, (rows,), generator=generator)
        for metric in metrics:
            metric.update(predicted, true + 1)
    one, other = metrics
    for name in ("tp", "fp", "tn", "fn"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert one.compute() == other.compute()


def test_matthews_corr_coef() -> None:
    metrics = [kind(validate_args=False) for kind in (MatthewsCorrCoef, BinaryMatthewsCorrCoef)]
    generator = torch.Generator().manual_seed(0)
    for rows in (1, 5, 40):
        predicted, true = (torch.randint(2, (rows,), generator=generator) for _ in range(2))
        for metric in metrics:
            metric.update(predicted, true)
    assert torch.equal(*(metric.confmat for metric in metrics))
    assert metrics[0].compute() == metrics[1].compute() != 0


def test_mean_loss() -> None:
    metric = MeanLoss("val_")
    metric.update(torch.tensor(1.0), 1)
    metric.update(torch.tensor(5.0), 3)
    assert metric.compute() == 4
    metric.reset()
    with pytest.raises(UserError, match="val_loss is NaN"):
        metric.update(torch.tensor(math.nan), 1)


def test_mean_loss_finds_nan_at_the_end() -> None:
    """As on a GPU, whose batches are not looked at."""
    metric = MeanLoss("test_")
    metric.update(torch.tensor(math.inf), 2)
    metric.update(torch.tensor(-math.inf), 2)
    with pytest.raises(UserError, match="test_loss is NaN"):
        metric.compute()
