"""One number per row, by hand."""

from __future__ import annotations

import pytest
import torch

from lit_textclf import Target
from lit_textclf.classifier.tasks.table import RULES

RULE = RULES["regression"]
TARGET = Target("regression")
VALUES = torch.tensor([[1.0], [-0.5]])


def test_losses() -> None:
    targets = torch.tensor([3.0, -1.0])
    assert RULE.row_losses(VALUES, targets).tolist() == [4.0, 0.25]
    assert RULE.loss(VALUES, targets).item() == pytest.approx(2.125)


def test_values_pass_through() -> None:
    assert RULE.probabilities(VALUES).tolist() == [[1.0], [-0.5]]
    assert RULE.decide(TARGET, VALUES).tolist() == [1.0, -0.5]
