"""Losses by task, against scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.utils.class_weight import compute_class_weight

from lit_textclf import Target, UserError
from lit_textclf.classifier.losses import FiniteLosses, class_weights_of
from lit_textclf.classifier.tasks.table import RULES


@pytest.mark.parametrize("classes", [2, 5])
def test_cross_entropy(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(40, classes, generator=generator) * 3
    target = torch.randint(classes, (40,), generator=generator)
    expected = log_loss(target, logits.double().softmax(-1), labels=list(range(classes)))
    assert RULES["single_label"].loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_by_hand() -> None:
    # Probabilities 3/4 and 1/4, of which the second is the target's.
    loss = RULES["single_label"].loss(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_mean_squared_error(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    logits, target = torch.randn(rows, 1, generator=generator), torch.randn(rows, generator=generator)
    loss = RULES["regression"].loss(logits, target)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(mean_squared_error(target, logits[:, 0]), rel=1e-5)


def test_what_is_not_finite_stays_so() -> None:
    assert RULES["single_label"].loss(torch.tensor([[math.nan, 0.0]]), torch.tensor([0])).isnan()
    assert RULES["regression"].loss(torch.tensor([[math.inf], [0.0]]), torch.tensor([0.0, 0.0])).isinf()


TARGET = Target("single_label", ("ham", "maybe", "spam"))
NUMBERED, YES_NO = Target("single_label", ("0", "1")), Target("single_label", ("no", "yes"))


def weights(*arguments: Any) -> list[float]:
    found = class_weights_of(*arguments)
    assert found is not None
    return found.tolist()


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    counts = {"spam": 5, "ham": 80, "maybe": 15}
    rows = [name for name, number in counts.items() for _ in range(number)]
    expected = compute_class_weight("balanced", classes=np.array(TARGET.labels), y=rows)
    assert weights("balanced", TARGET, counts, 100) == pytest.approx(expected.tolist())
    assert weights("balanced", TARGET, counts) == pytest.approx(expected.tolist())
    assert weights({"spam": 3, "ham": 1, "maybe": 0}, TARGET) == [1.0, 0.0, 3.0]
    assert class_weights_of(None, TARGET, counts, 100) is None


def test_balanced_weights_of_label_sets() -> None:
    target = Target("multi_label", ("joy", "fear"))
    assert weights("balanced", target, {"joy": 20, "fear": 50}, 100) == [4.0, 1.0]
    assert weights({"joy": 2, "fear": 1}, target) == [2.0, 1.0]


def test_balanced_weights_of_a_label_that_every_row_has() -> None:
    with pytest.raises(UserError, match="every training row has the label 'joy'"):
        class_weights_of("balanced", Target("multi_label", ("joy", "fear")), {"joy": 9, "fear": 3}, 9)


def test_label_sets_by_hand() -> None:
    logits, target = torch.tensor([[1.0, -2.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    weights = torch.tensor([2.0, 5.0])

    def loss(logit: float, truth: float, weight: float = 1.0) -> float:
        chance = 1 / (1 + math.exp(-logit))
        return -(weight * truth * math.log(chance) + (1 - truth) * math.log(1 - chance))

    plain = [loss(1, 1), loss(-2, 0), loss(0, 0), loss(3, 0)]
    assert RULES["multi_label"].loss(logits, target).item() == pytest.approx(sum(plain) / 4, rel=1e-6)
    weighted = [loss(1, 1, 2), loss(-2, 0, 5), loss(0, 0, 2), loss(3, 0, 5)]
    assert RULES["multi_label"].loss(logits, target, weights).item() == pytest.approx(sum(weighted) / 4, rel=1e-6)
    smooth = [loss(1, 0.9), loss(-2, 0.1), loss(0, 0.1), loss(3, 0.1)]
    assert RULES["multi_label"].loss(logits, target, None, 0.2).item() == pytest.approx(sum(smooth) / 4, rel=1e-6)
    model = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)  # what transformers computes
    assert RULES["multi_label"].loss(logits, target).item() == pytest.approx(model.item(), rel=1e-6)


def test_weights_and_smoothing_by_hand() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
    target, weights = torch.tensor([2, 0]), torch.tensor([1.0, 2.0, 4.0])
    log = logits.double().log_softmax(-1)
    weighted = -(4 * log[0, 2] + 1 * log[1, 0]) / 5
    assert RULES["single_label"].loss(logits, target, weights).item() == pytest.approx(weighted.item(), rel=1e-6)
    smooth = -(0.7 * (log[0, 2] + log[1, 0]) / 2 + 0.3 * log.mean(-1).mean())
    assert RULES["single_label"].loss(logits, target, None, 0.3).item() == pytest.approx(smooth.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("option", "target", "expected"),
    [
        ("even", TARGET, "model.class_weights 'even': use balanced"),
        ({"ham": 1, "maybe": 1, "spm": 2}, TARGET, "no label is called 'spm'"),
        ({"ham": 1, "maybe": 1, "spm": 2}, TARGET, "did you mean 'spam'?"),
        ({0: 1, 1: 5}, NUMBERED, "YAML reads 0 as a number; write the names in quotes: {'0': 1, '1': 5}"),
        ({False: 1, True: 6.5}, YES_NO, "YAML reads no, off and false as False; write the names in quotes: {'no': 1, "),
        ({False: 1, True: 6.5}, YES_NO, "'yes': 6.5}"),
        ({"ham": 1, "spam": 1}, TARGET, "the label 'maybe' has no weight"),
        ({"ham": 1, "maybe": -1, "spam": 1}, TARGET, "'maybe' has the weight -1"),
        ("balanced", TARGET, "no training row has the label 'maybe'"),
        ("balanced", Target("regression"), "regression has no classes"),
    ],
)
def test_weights_that_do_not_fit(option: str | dict[Any, float], target: Target, expected: str) -> None:
    with pytest.raises(UserError) as raised:
        class_weights_of(option, target, {"ham": 3, "spam": 1}, 4)
    assert expected in str(raised.value)


@pytest.mark.parametrize(("wrong", "shown"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_a_loss_that_is_not_finite(wrong: float, shown: str) -> None:
    losses = FiniteLosses()
    losses.add(torch.tensor(1.0), 0)
    with pytest.raises(UserError, match=f"the loss of step 1 is {shown}; lower model.learning_rate"):
        losses.add(torch.tensor(wrong), 1)


def test_losses_are_looked_at_together() -> None:
    losses = FiniteLosses(every=3)
    for step, loss in enumerate([1.0, 1.0, 1.0, 1.0, math.nan]):
        losses.add(torch.tensor(loss), step)
    with pytest.raises(UserError, match="the loss of step 4 is nan"):
        losses.add(torch.tensor(math.inf), 5)
    losses.look()  # the error is raised once
