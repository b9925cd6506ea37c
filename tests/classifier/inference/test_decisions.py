"""Labels, scores and columns, by hand: a logit of ln 3 is a probability of 3/4; and the same as in training."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from lit_textclf import Target
from lit_textclf.classifier.inference.decisions import DECISIONS, decisions_of, sigmoid, softmax
from lit_textclf.classifier.tasks.table import RULES, rules_of

LN3 = math.log(3)
PAIR = Target("single_label", ("ham", "spam"), "spam")
SETS = Target("multi_label", ("joy", "fear"))
VALUES = Target("regression")
ONE = np.array([[LN3, 0.0], [0.0, LN3], [0.0, 0.0]], np.float32)
MANY = np.array([[LN3, -LN3], [0.0, LN3]], np.float32)


def random_logits(rows: int, outputs: int, scale: float) -> np.ndarray:
    return np.random.default_rng(rows).normal(0, scale, (rows, outputs)).astype(np.float32)


def test_one_label() -> None:
    decisions = decisions_of(PAIR)
    probabilities = decisions.probabilities(ONE)
    assert probabilities.dtype == np.float32
    assert probabilities.ravel().tolist() == pytest.approx([0.75, 0.25, 0.25, 0.75, 0.5, 0.5])
    scores = decisions.scores(probabilities, np.array([1, 1, 0]))
    assert scores is not None
    assert scores.tolist() == pytest.approx([0.25, 0.75, 0.5])
    columns = decisions.columns(PAIR, ONE, None, 0.6)
    assert list(columns) == ["label", "score", "abstained", "prob_ham", "prob_spam"]
    assert columns["label"] == ["ham", "spam", ""]
    assert columns["abstained"] == ["false", "false", "true"]
    assert list(decisions.columns(PAIR, ONE[:0], None, None)) == ["label", "score", "prob_ham", "prob_spam"]


def test_logits_decide_where_probabilities_are_rounded_to_the_same() -> None:
    logits, decisions = np.array([[1e-8, 2e-8]], np.float32), decisions_of(PAIR)
    assert len(set(decisions.probabilities(logits)[0].tolist())) == 1
    answer = decisions.answers(PAIR, logits)[0]
    assert answer["label"] == decisions.columns(PAIR, logits, None, None)["label"][0] == "spam"


def test_a_set_of_labels() -> None:
    decisions = decisions_of(SETS)
    answers = decisions.answers(SETS, MANY)
    assert [answer["labels"] for answer in answers] == [["joy"], ["joy", "fear"]]
    assert answers[0]["probabilities"] == pytest.approx({"joy": 0.75, "fear": 0.25})
    scores = decisions.scores(decisions.probabilities(MANY), np.array([[1, 0], [0, 0]]))
    assert scores is not None
    assert scores.tolist() == pytest.approx([0.75, 0.25])
    columns = decisions.columns(SETS, MANY, {"joy": 0.7, "fear": 0.8}, None)
    assert list(columns) == ["labels", "prob_joy", "prob_fear"]
    assert columns["labels"] == ["joy", ""]
    by_threshold = decisions.answers(SETS, MANY, {"joy": 0.7, "fear": 0.8})
    assert [answer["labels"] for answer in by_threshold] == [["joy"], []]


def test_answers_decide_as_columns_do() -> None:
    decisions, logits = decisions_of(PAIR), np.array([[0.0, -1.0], [0.0, 0.1], [0.0, 3.0]], np.float32)
    columns = decisions.columns(PAIR, logits, {"spam": 0.6}, 0.7)
    answers = decisions.answers(PAIR, logits, {"spam": 0.6}, 0.7)
    assert [answer["label"] or "" for answer in answers] == columns["label"] == ["ham", "", "spam"]
    assert [answer["score"] for answer in answers] == columns["score"].tolist()  # type: ignore[union-attr]
    assert (
        [str(answer["abstained"]).lower() for answer in answers] == columns["abstained"] == ["false", "true", "false"]
    )


def test_values() -> None:
    values, decisions = np.array([[1.0], [-0.5]], np.float32), decisions_of(VALUES)
    assert decisions.probabilities(values).tolist() == [[1.0], [-0.5]]
    assert decisions.answers(VALUES, values) == [{"prediction": 1.0}, {"prediction": -0.5}]
    assert list(decisions.columns(VALUES, values[:0], None, None)) == ["prediction"]
    assert decisions.scores(values, values[:, 0]) is None


def test_every_task_has_decisions() -> None:
    assert DECISIONS.keys() == RULES.keys()


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("of_sets", [False, True], ids=["softmax", "sigmoid"])
def test_probabilities_are_the_nearest_float32(scale: float, *, of_sets: bool) -> None:
    """Half a unit in the last place from the quotients of fractions, and a little for the rounding of float64."""
    logits = random_logits(60, 5, scale)
    found = sigmoid(logits) if of_sets else softmax(logits)
    assert found.dtype == np.float32
    for row, probabilities in zip(logits.tolist(), found.astype(float), strict=True):
        if of_sets:
            exact = [float(1 / (1 + Fraction(math.exp(-value)))) for value in row]
        else:
            powers = [Fraction(math.exp(value - max(row))) for value in row]
            exact = [float(power / sum(powers)) for power in powers]
        units = np.spacing(np.array(exact, np.float32)).astype(float)
        assert (abs(probabilities - exact) <= 0.5001 * units).all()


def test_extreme_logits_raise_no_warning() -> None:
    assert softmax(np.array([[1e30, -1e30], [-500.0, 500.0]], np.float32)).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert sigmoid(np.array([[1e30, -1e30, 0.0]], np.float32)).tolist() == [[1.0, 0.0, 0.5]]
    assert np.isnan(softmax(np.array([[np.inf, 0.0]], np.float32))).any()
    infinite = np.array([[np.inf, 0.0], [np.nan, 0.0]], np.float32)
    for task, targets in (("single_label", np.zeros(2, int)), ("multi_label", np.eye(2, dtype=np.float32))):
        assert not np.isfinite(DECISIONS[task].row_losses(infinite, targets)).any()


@pytest.mark.parametrize(
    ("target", "thresholds"),
    [
        (PAIR, None), (PAIR, {"spam": 0.3}), (Target("single_label", ("a", "b", "c")), None),
        (SETS, None), (SETS, {"joy": 0.2, "fear": 0.9}), (VALUES, None),
    ],
    ids=["two labels", "threshold", "three labels", "sets", "sets by threshold", "values"],
)  # fmt: skip
def test_training_decides_and_computes_the_same(target: Target, thresholds: dict[str, float] | None) -> None:
    """torch's probabilities differ in the last digits only, and its decisions do not."""
    logits = random_logits(500, target.num_outputs, 2.0)
    tensors, decisions, rules = torch.from_numpy(logits), decisions_of(target), rules_of(target)
    found = decisions.decide(target, logits, thresholds)
    expected = rules.decide(target, tensors, thresholds).numpy()
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()
    np.testing.assert_allclose(decisions.probabilities(logits), rules.probabilities(tensors), rtol=2e-6)
