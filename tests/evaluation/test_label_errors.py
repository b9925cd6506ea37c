"""Confident learning, by hand and on made probabilities whose wrong labels are known."""

from __future__ import annotations

import numpy as np
import pytest

from lit_textclf.evaluation.label_errors import find_label_issues, find_label_set_issues


def test_by_hand() -> None:
    first = np.array([0.9, 0.7, 0.2, 0.49, 0.4, 0.1, 0.9])
    given = np.array([0, 0, 0, 0, 1, 1, 1])
    probabilities = np.stack([first, 1 - first], 1)
    # Thresholds: label 0 (0.9 + 0.7 + 0.2 + 0.49) / 4 = 0.5725, label 1 (0.6 + 0.9 + 0.1) / 3 = 0.533.
    # Row 2 has 0.8 of label 1, margin 0.2 - 0.8; row 6 has 0.9 of label 0, margin 0.1 - 0.9; row 3 is predicted
    # wrongly too, but 0.51 is less than the model has for label 1 on average.
    found = find_label_issues(given, probabilities, probabilities.argmax(1))
    assert found.rank.tolist() == [0, 0, 2, 0, 0, 0, 1]
    assert found.rows.tolist() == [6, 2]
    assert found.labels is None


def test_a_row_whose_label_is_predicted_has_no_issue() -> None:
    first = np.array([0.9, 0.95, 0.58, 0.6, 0.56])
    given = np.array([0, 0, 0, 1, 1])
    probabilities = np.stack([first, 1 - first], 1)
    # Row 2 has 0.42 of label 1, which is its threshold, (0.4 + 0.44) / 2, and less than its own label's, 0.81. Rows 3
    # and 4 are predicted as label 0, of which the model is not sure.
    assert find_label_issues(given, probabilities, probabilities.argmax(1)).rows.tolist() == []


def test_a_label_without_rows() -> None:
    probabilities = np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.9, 0.0]])
    assert find_label_issues(np.array([0, 0, 1]), probabilities, probabilities.argmax(1)).rows.tolist() == []


def made(generator: np.random.Generator, true: np.ndarray, labels: int, sure: float) -> np.ndarray:
    """Probabilities of a model that is mostly right."""
    logits = generator.normal(size=(len(true), labels))
    logits[np.arange(len(true)), true] += sure
    chances = np.exp(logits)
    return np.asarray(chances / chances.sum(1, keepdims=True))


@pytest.mark.parametrize("labels", [2, 6, 40])
def test_labels_that_were_changed_are_found_first(labels: int) -> None:
    generator = np.random.default_rng(labels)
    true = generator.integers(labels, size=2000)
    probabilities = made(generator, true, labels, 10.0)
    given, flipped = true.copy(), generator.choice(2000, 100, replace=False)
    given[flipped] = (given[flipped] + generator.integers(1, labels, size=100)) % labels
    found = find_label_issues(given, probabilities, probabilities.argmax(1))
    assert len(set(found.rows[:100]) & set(flipped)) >= 95
    assert sorted(found.rank[found.rank > 0]) == list(range(1, len(found.rows) + 1))
    wrong = probabilities.argmax(1) != given
    assert wrong[found.rows].all()


def test_label_sets() -> None:
    generator = np.random.default_rng(0)
    true = generator.random((1000, 4)) < [0.5, 0.3, 0.1, 0.05]
    logits = generator.normal(size=true.shape) + 6.0 * np.where(true, 1, -1)
    probabilities = 1 / (1 + np.exp(-logits))
    given = true.astype(np.int64)
    flipped = generator.choice(1000, 50, replace=False)
    which = generator.integers(4, size=50)
    given[flipped, which] = 1 - given[flipped, which]
    found = find_label_set_issues(given, probabilities, (probabilities >= 0.5).astype(np.int64))
    assert len(set(found.rows[:50]) & set(flipped)) >= 48
    assert found.labels is not None
    named = found.labels[flipped, which]
    assert named.sum() >= 45
    assert (found.labels.any(1) == (found.rank > 0)).all()


@pytest.mark.parametrize("labels", [2, 3, 7])
def test_cleanlab_agrees(labels: int) -> None:
    """The same rows in the same order as the method's reference implementation, on random probabilities."""
    cleanlab_filter = pytest.importorskip("cleanlab.filter", reason="make install installs cleanlab")
    generator = np.random.default_rng(labels)
    given = generator.integers(labels, size=500)
    given[:labels] = np.arange(labels)  # every label has a row, as cleanlab needs
    probabilities = made(generator, given, labels, 1.0)
    expected = cleanlab_filter.find_label_issues(
        given, probabilities, filter_by="confident_learning", return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    found = find_label_issues(given, probabilities, probabilities.argmax(1))
    assert len(expected) >= 20
    assert found.rows.tolist() == expected.tolist()


def test_each_fold_has_its_own_usual_confidence() -> None:
    """The second model is never as sure as the first one: against the confidence of both it would suspect nothing."""
    sure, unsure = [[0.99, 0.01]] * 9 + [[0.01, 0.99]] * 9, [[0.6, 0.4]] * 9 + [[0.4, 0.6]] * 9
    probabilities = np.array([*sure, *unsure, [0.3, 0.7]])
    labels = np.array(([0] * 9 + [1] * 9) * 2 + [0])
    fold = np.array([0] * 18 + [1] * 19)
    predicted = probabilities.argmax(1)
    assert find_label_issues(labels, probabilities, predicted).rows.tolist() == []
    assert find_label_issues(labels, probabilities, predicted, fold).rows.tolist() == [36]
