"""Label sets, by hand: a logit of ln 3 is a probability of 3/4."""

from __future__ import annotations

import math

import pytest
import torch

from lit_textclf import Target, UserError
from lit_textclf.classifier.tasks.table import RULES

RULE = RULES["multi_label"]
TARGET = Target("multi_label", ("joy", "fear"))
LN3 = math.log(3)
LOGITS = torch.tensor([[LN3, -LN3], [0.0, LN3]])
TRUE = torch.tensor([[1.0, 0.0], [0.0, 0.0]])


def test_losses() -> None:
    """Labels that are right with 3/4, and in the second row wrong with 1/2 and 3/4."""
    expected = [math.log(4 / 3), (math.log(2) + math.log(4)) / 2]
    assert RULE.row_losses(LOGITS, TRUE).tolist() == pytest.approx(expected)
    assert RULE.loss(LOGITS, TRUE).item() == pytest.approx(sum(expected) / 2)


def test_decisions() -> None:
    assert RULE.decide(TARGET, LOGITS).tolist() == [[1, 0], [1, 1]]
    assert RULE.decide(TARGET, LOGITS, {"joy": 0.7}).tolist() == [[1, 0], [0, 1]]
    assert RULE.decide(TARGET, LOGITS, {"joy": 0.8, "fear": 0.2}).tolist() == [[0, 1], [0, 1]]


def test_slopes_are_derivatives_of_the_loss() -> None:
    """Of the inverse temperature, for one label with logit l: slope l (p - 1), curvature l^2 p (1 - p)."""
    first, second = RULE.slopes(LOGITS[:1, :1].double(), TRUE[:1, :1].double(), 1.0)
    assert first == pytest.approx(-LN3 / 4)
    assert second == pytest.approx(LN3**2 * 0.75 * 0.25)


def test_weights_and_calibration_error() -> None:
    assert RULE.balanced_weights(TARGET, {"joy": 1, "fear": 3}, 4) == pytest.approx([3, 1 / 3])
    with pytest.raises(UserError, match="every training row has the label 'fear'"):
        RULE.balanced_weights(TARGET, {"joy": 1, "fear": 4}, 4)
    # Two labels with 3/4, of which one is there, one with 1/4 and one with 1/2, which are not.
    logits = torch.tensor([[LN3, -LN3], [0.0, LN3]])
    assert RULE.calibration_error(logits, TRUE) == pytest.approx((2 * 0.25 + 0.25 + 0.5) / 4)
