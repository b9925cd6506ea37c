"""Whether a model has skill: at its level on noise, and found where rows are few or nearly all have one label."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.skill import are_related, describe_no_skill, has_skill
from tests.evaluation.report.test_figures import outcomes

THREE = Target("single_label", ("a", "b", "c"))


def found(rows: int, share: float, apart: float, draws: int = 200) -> float:
    """How often a model has skill: a share of the rows has label b, whose logit is so much higher."""
    generator = torch.Generator().manual_seed(rows)
    count = 0
    for _ in range(draws):
        targets = (torch.rand(rows, generator=generator) < share).long()
        logits = torch.randn(rows, 3, generator=generator) + torch.tensor([6.0, 0.0, 0.0])  # always predicts a
        logits[:, 1] += apart * targets
        count += has_skill(THREE, logits.numpy(), targets.numpy())
    return count / draws


@pytest.mark.parametrize(("rows", "share"), [(10, 0.5), (30, 0.2), (120, 0.03), (500, 0.3)])
def test_noise_has_none(rows: int, share: float) -> None:
    assert found(rows, share, 0.0) < 0.05


@pytest.mark.parametrize(("rows", "share"), [(30, 0.5), (120, 0.13), (500, 0.05)])
def test_a_model_that_ranks_rows_has_it_though_its_accuracy_is_that_of_the_most_frequent_label(
    rows: int, share: float
) -> None:
    assert found(rows, share, 2.5) > 0.9


def test_all_permutations_have_these_moments() -> None:
    """By hand: the sum of products over all orders of four labels; too few rows for a verdict."""
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(4, 2, generator=generator).double(), torch.eye(2).double()[[0, 1, 1, 0]]
    sums = torch.stack([(logits * labels[list(order)]).sum() for order in itertools.permutations(range(4))])
    first, second = logits - logits.mean(0), labels - labels.mean(0)
    expected = ((first.T @ first) * (second.T @ second)).sum() / 3
    assert float(sums.var(correction=0)) == pytest.approx(float(expected))
    assert not are_related(labels.numpy(), labels.numpy())


def test_values_are_compared_with_their_mean() -> None:
    target, generator = Target("regression"), torch.Generator().manual_seed(0)
    values = torch.randn(50, generator=generator).numpy()
    near = values[:, None] + 0.3 * torch.randn(50, 1, generator=generator).numpy()
    assert has_skill(target, near, values)
    assert not has_skill(target, near + 5, values)  # ranks rows, but the mean is nearer
    assert not has_skill(target, near[:5], values[:5])


def test_a_model_without_skill_suspects_no_labels() -> None:
    """Issue A12: one label for all rows, most of which have others."""
    given = outcomes(Target("single_label", ("a", "b", "c")), better=0.0)
    evaluation = Evaluation(given)
    assert not evaluation.has_skill
    assert evaluation.label_issues is not None
    assert not len(evaluation.label_issues.rows)
    one = outcomes(Target("single_label", ("a", "b", "c")))
    one.logits[:, 0] += 20
    evaluation = Evaluation(one)
    assert evaluation.has_skill
    assert not evaluation.can_suspect_labels
    assert Evaluation(outcomes(Target("multi_label", ("joy", "fear")))).can_suspect_labels


def test_the_line_says_what_follows() -> None:
    given = outcomes(THREE, better=0.0)
    name = THREE.labels[int(np.bincount(given.targets).argmax())]
    line = describe_no_skill(given)
    assert line.startswith(f"the model is not better than always predicting {name!r} by more than chance on 200 rows")
    assert "; no temperature, thresholds or suspected labels; raise trainer.max_epochs" in line
    few = describe_no_skill(outcomes(THREE, rows=4))
    assert few.startswith("4 rows cannot show whether the model is better than always predicting ")
    assert "the mean by more than chance on 200 rows; raise" in describe_no_skill(outcomes(Target("regression")))
