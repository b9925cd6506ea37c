"""What is made of outcomes agrees with scikit-learn and with the metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation.evaluation import Evaluation
from tests.evaluation.report.test_figures import outcomes

NAMES = tuple(f"name {number}" for number in range(25))


@pytest.mark.parametrize(
    "target", [Target("single_label", NAMES[:2]), Target("single_label", NAMES), Target("multi_label", NAMES[:4])]
)
def test_figures_of_labels(target: Target) -> None:
    evaluation = Evaluation(outcomes(target), Calibration(1.7))
    true = evaluation.outcomes.targets.astype(int)
    logits = evaluation.outcomes.logits
    predicted = logits.argmax(1) if target.task == "single_label" else (logits >= 0).astype(int)
    precision, recall, f1, rows = precision_recall_fscore_support(
        true, predicted, labels=range(len(target.labels)), zero_division=0
    )
    figures = evaluation.label_scores
    assert [label.label for label in figures] == list(target.labels)
    assert [label.rows for label in figures] == rows.tolist()
    assert [label.precision for label in figures] == pytest.approx(precision.tolist())
    assert [label.recall for label in figures] == pytest.approx(recall.tolist())
    assert [label.f1 for label in figures] == pytest.approx(f1.tolist())
    assert 1 - evaluation.wrong.mean() == pytest.approx(accuracy_score(true, predicted))
    if target.task == "single_label":
        assert evaluation.confusion is not None
        assert (evaluation.confusion == confusion_matrix(true, predicted, labels=range(len(target.labels)))).all()
        expected = (logits - logits.max(1, keepdims=True)) / 1.7
        chances = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
        assert evaluation.score is not None
        np.testing.assert_allclose(evaluation.score, chances.max(1), rtol=1e-5)


def test_the_worst_labels_and_those_that_are_not_there() -> None:
    given = outcomes(Target("single_label", NAMES))
    given.targets[np.isin(given.targets, [7, 9])] = 3
    given.logits[:, [7]] = -100.0  # neither given nor predicted
    evaluation = Evaluation(given)
    unseen = evaluation.label_scores[7]
    assert (unseen.rows, unseen.predicted, unseen.seen) == (0, 0, False)
    worst = evaluation.worst_labels(5)
    assert "name 7" not in [label.label for label in worst]
    seen = [label.f1 for label in evaluation.label_scores if label.seen]
    assert [label.f1 for label in worst] == sorted(seen)[:5]
    # The macro average of torchmetrics leaves out the same labels.
    metrics = StageMetrics(given.target, "val_")
    metrics.update(torch.from_numpy(given.logits), torch.from_numpy(given.targets), torch.zeros(()))
    assert metrics.compute()["val_f1_macro"] == pytest.approx(np.mean(seen), abs=1e-6)


def test_wrong_rows_by_their_loss() -> None:
    evaluation = Evaluation(outcomes(Target("single_label", NAMES[:3]), better=0.5))
    losses = evaluation.losses[evaluation.worst].tolist()
    assert losses == sorted(losses, reverse=True)
    assert sorted(evaluation.worst) == np.flatnonzero(evaluation.wrong).tolist()
    numbers = Evaluation(outcomes(Target("regression")))
    assert sorted(numbers.worst) == list(range(200))
    assert not numbers.wrong.any()
    assert numbers.score is numbers.label_issues is numbers.confusion is None


def test_thresholds_decide() -> None:
    given = outcomes(Target("single_label", ("no", "yes"), "yes"))
    chances = softmax(given.logits, -1)[:, 1]
    evaluation = Evaluation(given, thresholds={"yes": 0.2})
    assert evaluation.predicted == ["yes" if chance >= 0.2 else "no" for chance in chances.tolist()]
    sure = np.where(chances >= 0.2, chances, 1 - chances)
    assert evaluation.score == pytest.approx(sure)
    assert (confusion_matrix(given.targets, chances >= 0.2) == evaluation.confusion).all()
    assert evaluation.without_thresholds.predicted == Evaluation(given).predicted != evaluation.predicted
    assert (confusion_matrix(given.targets, given.logits.argmax(1)) != evaluation.confusion).any()
    sets = outcomes(Target("multi_label", ("joy", "fear")))
    decided = Evaluation(sets, thresholds={"joy": 0.9}).decided
    assert (decided[:, 0] == (expit(sets.logits[:, 0]) >= 0.9)).all()
    assert (decided[:, 1] == (sets.logits[:, 1] >= 0)).all()


def test_sets_are_as_sure_as_their_least_sure_label() -> None:
    given = outcomes(Target("multi_label", ("a|b", "c")))
    evaluation = Evaluation(given)
    chances = expit(given.logits)
    assert evaluation.score == pytest.approx(np.maximum(chances, 1 - chances).min(1))
    row = int(np.flatnonzero((chances > 0.5).all(1))[0])
    assert evaluation.predicted[row] == r"a\|b|c"
