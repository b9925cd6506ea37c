"""Metrics in numpy are those of torchmetrics, which are compared with scikit-learn's in `test_stage.py`."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lit_textclf import UserError
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.classifier.metrics.arrays import COMPUTED, ArrayMetrics
from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.metrics.table import METRICS
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target

TWO = Target("single_label", ("no", "yes"), "yes")
MANY = Target("single_label", tuple("abcdefg"))
SETS = Target("multi_label", ("joy", "fear", "trust", "none"))
VALUES = Target("regression")


def rows(target: Target, number: int, *, equal: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Random logits and targets; the last label of three or more is rare, and `equal` targets are all the same."""
    random = np.random.default_rng(number)
    logits = random.normal(0, 2, (number, target.num_outputs)).astype(np.float32)
    logits[number // 2 :] = logits[: number - number // 2]  # equal scores
    if not target.has_probabilities:
        targets = (logits[:, 0] + random.normal(0, 1, number)).round(1).astype(np.float32)
    elif target.has_label_sets:
        targets = (random.random((number, target.num_outputs)) < [0.5, 0.3, 0.4, 0.0]).astype(np.float32)
    else:
        targets = random.integers(0, max(2, target.num_outputs - 2), number)
    return logits, np.full_like(targets, targets.flat[0]) if equal else targets


def both(target: Target, logits: np.ndarray, targets: np.ndarray, thresholds: dict[str, float] | None = None) -> None:
    """Asserts that the two are equal, taken in parts."""
    ours, theirs = ArrayMetrics(target, "val_"), StageMetrics(target, "val_")
    rules = rules_of(target)
    for part in np.array_split(np.arange(len(logits)), 3):
        if not len(part):
            continue
        decided = None if thresholds is None else decisions_of(target).decide(target, logits[part], thresholds)
        ours.update(logits[part], targets[part], decided)
        tensors = torch.from_numpy(logits[part]), torch.from_numpy(targets[part])
        theirs.update(*tensors, rules.loss(*tensors), None if decided is None else torch.from_numpy(decided))
    found, expected = ours.compute(), theirs.compute()
    assert list(found) == list(expected)
    if "val_spearman" in found:  # torchmetrics adds 1e-6 to the divisor
        assert found.pop("val_spearman") == pytest.approx(expected.pop("val_spearman"), abs=5e-6, nan_ok=True)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6, nan_ok=True)


@pytest.mark.filterwarnings("ignore:The variance of predictions or target:UserWarning")
@pytest.mark.parametrize("equal", [False, True], ids=["any labels", "equal labels"])
@pytest.mark.parametrize("number", [1, 2, 7, 400])
@pytest.mark.parametrize("target", [TWO, MANY, SETS, VALUES], ids=["two", "many", "sets", "values"])
def test_as_torchmetrics(target: Target, number: int, *, equal: bool) -> None:
    both(target, *rows(target, number, equal=equal))


@pytest.mark.parametrize(("target", "thresholds"), [(TWO, {"yes": 0.8}), (SETS, {"joy": 0.2, "none": 0.9})])
def test_labels_that_thresholds_decide(target: Target, thresholds: dict[str, float]) -> None:
    both(target, *rows(target, 300), thresholds)


@pytest.mark.parametrize("target", [TWO, MANY], ids=["two", "many"])
def test_one_predicted_label(target: Target) -> None:
    logits, targets = rows(target, 50)
    logits[:, 0] += 99
    both(target, logits, targets)


def test_all_metrics_of_the_table_and_none_without_rows() -> None:
    assert set(COMPUTED) == {entry.name for entry in METRICS if entry.classes}
    assert ArrayMetrics(TWO, "val_").compute() == {}


@pytest.mark.parametrize("target", [TWO, SETS, VALUES], ids=["two", "sets", "values"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_loss_of_nan_is_the_same_error(wrong: float, target: Target) -> None:
    logits, targets = rows(target, 7)
    logits[3] = wrong
    if not target.has_probabilities and wrong == math.inf:
        pytest.skip("an infinite loss")
    tensors = torch.from_numpy(logits), torch.from_numpy(targets)
    with pytest.raises(UserError) as theirs:
        StageMetrics(target, "val_").update(*tensors, rules_of(target).loss(*tensors))
    with pytest.raises(UserError) as ours:
        ArrayMetrics(target, "val_").update(logits, targets)
    assert str(ours.value) == str(theirs.value)


def test_by_hand() -> None:
    """Of the four rows, three are right; one score of the positive rows is above both others, one between them."""
    metrics = ArrayMetrics(TWO, "")
    metrics.update(np.array([[0, 3], [0, -1], [0, -2], [0, 1]], np.float32), np.array([1, 0, 0, 0]))
    found = metrics.compute()
    assert found["accuracy"] == 0.75
    assert (found["precision"], found["recall"], found["auroc"]) == (0.5, 1.0, 1.0)
    assert found["mcc"] == pytest.approx(1 / math.sqrt(3))
