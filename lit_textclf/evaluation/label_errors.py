"""Finds label issues by confident learning (Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068).

A row has a label issue if a model that was not trained on it predicts another label with at least the confidence it
usually has for rows of that label. The usual confidence is a threshold for each label: its mean probability over the
rows labelled with it (self-confidence). Labels that the model is never sure of are thus not flagged more than others.

The names are those of cleanlab, `cleanlab.filter.find_label_issues`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelIssues:
    """Rows with label issues.

    Attributes:
        rank: int64 `(rows,)`, from 1 for the most severe issue; 0 for a row without an issue.
        labels: for label sets, the labels whose presence or absence is the issue, bool `(rows, labels)`; else None.
    """

    rank: np.ndarray
    labels: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """Indices of the rows with an issue, the most severe first."""
        found = np.flatnonzero(self.rank)
        return np.asarray(found[np.argsort(self.rank[found])])


def find_label_issues(
    labels: np.ndarray, pred_probs: np.ndarray, predicted: np.ndarray, fold: np.ndarray | None = None
) -> LabelIssues:
    """Finds rows that may be mislabelled, in a single-label task.

    These are the off-diagonal rows of the confident joint whose label is not the predicted one (as in cleanlab), ranked
    by normalized margin.

    Args:
        labels: the rows' labels, int64 `(rows,)`.
        pred_probs: out-of-sample predicted probabilities, float `(rows, labels)`.
        predicted: the predicted labels, int64 `(rows,)`.
        fold: the index of the model that predicted each row, int64 `(rows,)`; each has its own usual confidence.
    """
    issue, margin = _off_diagonal(labels, pred_probs, fold)
    return LabelIssues(_ranked(issue & (predicted != labels), margin))


def find_label_set_issues(
    labels: np.ndarray, pred_probs: np.ndarray, predicted: np.ndarray, fold: np.ndarray | None = None
) -> LabelIssues:
    """Finds rows whose label set may be wrong: the presence or absence of each label is examined.

    A row ranks by its most severe label. All arguments but the fold, which is that of :func:`find_label_issues`, are
    `(rows, labels)`, labels and predicted zeros and ones.
    """
    issues, margins = np.zeros(labels.shape, bool), np.full(labels.shape, np.inf)
    for label in range(labels.shape[1]):
        present = pred_probs[:, label]
        found, margin = _off_diagonal(labels[:, label], np.stack([1 - present, present], 1), fold)
        issues[:, label] = found & (predicted[:, label] != labels[:, label])
        margins[:, label] = np.where(issues[:, label], margin, np.inf)
    return LabelIssues(_ranked(np.asarray(issues.any(1)), margins.min(1)), issues)


def _off_diagonal(labels: np.ndarray, pred_probs: np.ndarray, fold: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Whether the confident joint counts each row for another label than its own, and the row's normalized margin.

    The normalized margin is the probability of the row's label minus the highest probability of another label: from -1,
    where the model is sure of another label, to 1, where it is sure of the row's label.
    """
    rows = np.arange(len(labels))
    self_confidence = pred_probs[rows, labels].astype(np.float64)
    fold, names = np.zeros_like(labels) if fold is None else fold, pred_probs.shape[1]
    # A threshold for each label of each fold, `(folds * labels,)`.
    label_of_fold, most = fold * names + labels, (int(fold.max(initial=0)) + 1) * names
    sizes = np.bincount(label_of_fold, minlength=most)
    with np.errstate(invalid="ignore", divide="ignore"):  # a label without rows: its threshold is never reached
        by_fold = np.bincount(label_of_fold, self_confidence, most) / sizes
    thresholds = by_fold.reshape(-1, names)[fold]
    confident = np.where(pred_probs >= thresholds, pred_probs, -1.0)
    counted = confident.argmax(1)
    others = pred_probs.astype(np.float64)
    others[rows, labels] = -1
    return (confident.max(1) >= 0) & (counted != labels), self_confidence - others.max(1)


def _ranked(issue: np.ndarray, margin: np.ndarray) -> np.ndarray:
    rank = np.zeros(len(issue), np.int64)
    found = np.flatnonzero(issue)
    rank[found[np.argsort(margin[found], kind="stable")]] = np.arange(1, len(found) + 1)
    return rank
