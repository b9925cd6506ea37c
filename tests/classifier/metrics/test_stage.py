"""Every metric against scikit-learn and scipy, whatever the batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
)
from torch import Tensor

from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.tasks.table import RULES
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.messages import UserError

ROWS = 61
SETS = Target("multi_label", ("joy", "fear", "trust", "none"))
BATCH_SIZES = [1, 3, 7, ROWS]
BINARY = [Target("single_label", ("no", "yes"), "yes"), Target("single_label", ("no", "yes"), "no")]
FIVE = Target("single_label", ("a", "b", "c", "d", "e"))
REGRESSION = Target("regression")


def computed(target: Target, logits: Tensor, truth: Tensor, batch_size: int, prefix: str = "val_") -> dict[str, float]:
    """The metrics of these rows, taken batch by batch."""
    metrics = StageMetrics(target, prefix)
    for part, of in zip(logits.split(batch_size), truth.split(batch_size), strict=True):
        metrics.update(part, of, RULES[target.task].loss(part, of))
    return metrics.compute()


def rows(classes: int, seed: int, used: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """Random logits that lean towards random classes, `used` ones only."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.tensor(used or range(classes))
    truth = chosen[torch.randint(len(chosen), (ROWS,), generator=generator)]
    logits = torch.randn(ROWS, classes, generator=generator)
    logits[torch.arange(ROWS), truth] += 0.7
    return logits, truth


def by_class(logits: Tensor, truth: Tensor) -> dict[str, float]:
    """What scikit-learn says of the metrics that every classification has."""
    predicted, classes = logits.argmax(-1), list(range(logits.shape[1]))
    macro = {"average": "macro", "zero_division": 0}
    return {
        "val_loss": log_loss(truth, logits.double().softmax(-1), labels=classes),
        "val_accuracy": accuracy_score(truth, predicted),
        "val_precision_macro": precision_score(truth, predicted, **macro),
        "val_recall_macro": recall_score(truth, predicted, **macro),
        "val_f1_macro": f1_score(truth, predicted, **macro),
        "val_f1_micro": f1_score(truth, predicted, average="micro"),
        "val_f1_weighted": f1_score(truth, predicted, average="weighted", zero_division=0),
    }


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("target", BINARY, ids=["positive last", "positive first"])
def test_binary(target: Target, batch_size: int) -> None:
    logits, truth = rows(2, seed=1)
    positive = target.positive_index
    predicted = logits.argmax(-1)
    expected = by_class(logits, truth) | {
        "val_f1": f1_score(truth, predicted, pos_label=positive),
        "val_precision": precision_score(truth, predicted, pos_label=positive),
        "val_recall": recall_score(truth, predicted, pos_label=positive),
        "val_auroc": roc_auc_score(truth == positive, logits.double().softmax(-1)[:, positive]),
        "val_mcc": matthews_corrcoef(truth, predicted),
    }
    assert computed(target, logits, truth, batch_size) == pytest.approx(expected, abs=1e-6)


def test_the_positive_label_matters() -> None:
    logits, truth = rows(2, seed=1)
    last, first = (computed(target, logits, truth, ROWS) for target in BINARY)
    assert all(last[name] != pytest.approx(first[name]) for name in ("val_f1", "val_precision", "val_recall"))
    assert last["val_mcc"] == pytest.approx(first["val_mcc"])


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("predicted_too", [False, True])
def test_five_classes_one_of_which_is_absent(batch_size: int, predicted_too: bool) -> None:
    logits, truth = rows(5, seed=2, used=[0, 1, 2, 4])
    if not predicted_too:
        logits[:, 3] = -30.0
    assert (logits.argmax(-1) == 3).any() == predicted_too
    expected = by_class(logits, truth)
    assert computed(FIVE, logits, truth, batch_size) == pytest.approx(expected, abs=1e-6)


def test_five_classes_by_hand() -> None:
    # Truth a a b b c; predicted a b b b a. F1: a 1/2, b 4/5, c 0; d and e do not occur and do not count.
    predicted, truth = [0, 1, 1, 1, 0], [0, 0, 1, 1, 2]
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), 5) * 9.0
    values = computed(FIVE, logits, torch.tensor(truth), 2, "test_")
    assert values["test_f1_macro"] == pytest.approx((1 / 2 + 4 / 5 + 0) / 3)
    assert values["test_f1_weighted"] == pytest.approx((2 * 1 / 2 + 2 * 4 / 5 + 0) / 5)
    assert values["test_accuracy"] == values["test_f1_micro"] == pytest.approx(3 / 5)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_regression(batch_size: int) -> None:
    generator = torch.Generator().manual_seed(3)
    truth = (torch.randn(ROWS, generator=generator) * 2 + 3).round(decimals=1)  # with ties
    logits = (truth + torch.randn(ROWS, generator=generator))[:, None]
    assert len(set(truth.tolist())) < ROWS
    predicted, true = logits[:, 0].double().numpy(), truth.double().numpy()
    expected = {
        "val_loss": mean_squared_error(true, predicted),
        "val_mse": mean_squared_error(true, predicted),
        "val_mae": mean_absolute_error(true, predicted),
        "val_pearson": pearsonr(true, predicted).statistic,
        "val_r2": r2_score(true, predicted),
        "val_spearman": spearmanr(true, predicted).statistic,
    }
    assert computed(REGRESSION, logits, truth, batch_size) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("truth", "predicted"), [([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])]
)
@pytest.mark.filterwarnings("ignore:The variance of predictions or target")
def test_correlations_of_equal_values_are_undefined(truth: list[float], predicted: list[float]) -> None:
    values = computed(REGRESSION, torch.tensor(predicted)[:, None], torch.tensor(truth), 2)
    assert np.isnan(values["val_spearman"])
    assert np.isnan(values["val_pearson"])


@pytest.mark.parametrize(
    ("target", "positive_names"), [(BINARY[0], {"f1", "precision", "recall", "auroc", "mcc"}), (FIVE, set())]
)
def test_names_are_those_of_the_contract(target: Target, positive_names: set[str]) -> None:
    names = {"loss", "accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_micro", "f1_weighted"}
    for prefix in ("val_", "test_"):
        assert set(StageMetrics(target, prefix).loggable()) == {prefix + name for name in names | positive_names}


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_a_loss_that_is_not_a_number_is_not_passed_over(batch_size: int) -> None:
    logits, truth = rows(5, seed=4)
    logits[10, 2] = math.nan
    with pytest.raises(UserError, match=r"val_loss is NaN.*model\.learning_rate.*trainer\.precision"):
        computed(FIVE, logits, truth, batch_size)


def test_an_infinite_loss_stays_so() -> None:
    logits, truth = rows(5, seed=4)
    metrics = StageMetrics(FIVE, "val_")
    for loss in (1.0, math.inf, 2.0):
        metrics.update(logits, truth, torch.tensor(loss))
    assert metrics.compute()["val_loss"] == math.inf


def test_after_a_reset_nothing_is_left() -> None:
    logits, truth = rows(2, seed=5)
    metrics = StageMetrics(BINARY[0], "val_")
    for seed in (5, 6):
        logits, truth = rows(2, seed)
        for metric in metrics.loggable().values():
            metric.reset()
        metrics.update(logits, truth, RULES["single_label"].loss(logits, truth))
        assert metrics.compute() == pytest.approx(computed(BINARY[0], logits, truth, ROWS))


def test_the_matthews_coefficient_of_rows_that_all_have_one_label_is_none() -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    metrics = StageMetrics(BINARY[0], "val_")
    metrics.update(logits, torch.tensor([1, 1, 1]), torch.tensor(0.0))
    # scikit-learn's value where the denominator is 0.
    assert float(metrics.loggable()["val_mcc"].compute()) == 0.0


@pytest.mark.filterwarnings(
    # torchmetrics 1.9.0 (functional/classification/roc.py) says it in two lines; whoever reads the value sees it too.
    "ignore:No negative samples in targets:UserWarning"
)
def test_the_area_under_a_curve_without_negatives_is_not_zero() -> None:
    metrics = StageMetrics(BINARY[0], "val_")
    metrics.update(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 1]), torch.tensor(0.0))
    assert np.isnan(float(metrics.loggable()["val_auroc"].compute()))


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_label_sets_against_scikit_learn(batch_size: int) -> None:
    generator = torch.Generator().manual_seed(5)
    truth = torch.rand(ROWS, 4, generator=generator).lt(torch.tensor([0.4, 0.2, 0.1, 0.0])).float()
    logits = torch.randn(ROWS, 4, generator=generator) + 2 * truth - 1
    logits[:, 3] = -9  # neither there nor predicted: counts as 0 in the macro average, as in scikit-learn
    logits[0, 0] = 0.0  # a probability of one half is in the set
    sets = logits.ge(0).long().numpy()
    found = computed(SETS, logits, truth, batch_size)
    assert found == pytest.approx(
        {
            "val_loss": log_loss_of_sets(logits, truth),
            "val_f1_micro": f1_score(truth, sets, average="micro"),
            "val_f1_macro": f1_score(truth, sets, average="macro", zero_division=0),
            "val_exact_match": accuracy_score(truth, sets),
        },
        rel=1e-5,
    )


def log_loss_of_sets(logits: Tensor, truth: Tensor) -> float:
    chances = logits.double().sigmoid()
    return float(-(truth * chances.log() + (1 - truth) * (1 - chances).log()).mean())
