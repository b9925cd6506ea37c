"""Losses by task, against scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from lit_textclf.losses import task_loss


@pytest.mark.parametrize("classes", [2, 5])
def test_cross_entropy(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(40, classes, generator=generator) * 3
    target = torch.randint(classes, (40,), generator=generator)
    expected = log_loss(target, logits.double().softmax(-1), labels=list(range(classes)))
    assert task_loss("single_label", logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_by_hand() -> None:
    # Probabilities 3/4 and 1/4, of which the second is the target's.
    loss = task_loss("single_label", torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_mean_squared_error(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    logits, target = torch.randn(rows, 1, generator=generator), torch.randn(rows, generator=generator)
    loss = task_loss("regression", logits, target)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(mean_squared_error(target, logits[:, 0]), rel=1e-5)


def test_what_is_not_finite_stays_so() -> None:
    assert task_loss("single_label", torch.tensor([[math.nan, 0.0]]), torch.tensor([0])).isnan()
    assert task_loss("regression", torch.tensor([[math.inf], [0.0]]), torch.tensor([0.0, 0.0])).isinf()
