"""One label per row, by hand: logits of ln 3 and 0 are probabilities of 3/4 and 1/4."""

from __future__ import annotations

import math

import pytest
import torch

from lit_textclf import Target
from lit_textclf.classifier.tasks.table import RULES

RULE = RULES["single_label"]
TARGET = Target("single_label", ("ham", "spam"), "spam")
LN3 = math.log(3)
LOGITS = torch.tensor([[LN3, 0.0], [0.0, LN3], [0.0, 0.0]])


def test_losses() -> None:
    targets = torch.tensor([0, 0, 1])
    expected = [math.log(4 / 3), math.log(4), math.log(2)]
    assert RULE.row_losses(LOGITS, targets).tolist() == pytest.approx(expected)
    assert RULE.loss(LOGITS, targets).item() == pytest.approx(sum(expected) / 3)


def test_decisions() -> None:
    probabilities = RULE.probabilities(LOGITS)
    assert probabilities.flatten().tolist() == pytest.approx([0.75, 0.25, 0.25, 0.75, 0.5, 0.5])
    assert RULE.decide(TARGET, LOGITS).tolist() == [0, 1, 0]
    assert RULE.decide(TARGET, LOGITS, {"spam": 0.5}).tolist() == [0, 1, 1]
    assert RULE.decide(TARGET, LOGITS, {"spam": 0.2}).tolist() == [1, 1, 1]


def test_logits_decide_where_probabilities_are_rounded_to_the_same() -> None:
    logits = torch.tensor([[1e-8, 2e-8]])
    assert logits[0, 0] < logits[0, 1]
    assert len(set(RULE.probabilities(logits)[0].tolist())) == 1
    assert RULE.decide(TARGET, logits).tolist() == [1]


def test_slopes_are_derivatives_of_the_loss() -> None:
    """Of the inverse temperature b: loss ln(1 + 3^-b), slope -ln 3 / (1 + 3^b), curvature ln^2 3 * p * (1 - p)."""
    presence = RULE.presence(torch.tensor([0]), 2).double()
    first, second = RULE.slopes(LOGITS[:1].double(), presence, 1.0)
    assert first == pytest.approx(-LN3 / 4)
    assert second == pytest.approx(LN3**2 * 0.75 * 0.25)


def test_weights_and_calibration_error() -> None:
    assert RULE.balanced_weights(TARGET, {"ham": 3, "spam": 1}, 4) == pytest.approx([2 / 3, 2])
    # Both rows have a highest probability of 0.75, and one of them is right.
    assert RULE.calibration_error(LOGITS[:2], torch.tensor([0, 0])) == pytest.approx(0.25)
