"""Which labels may be wrong: confident learning (Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068).

A model that has not seen a row doubts its label where it is as sure of another one as it usually is of rows that have
that other label. How sure is usual is each label's own threshold, the mean probability of the label over the rows that
are given it: a label that the model is never sure of is then not doubted more than others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelIssues:
    """The labels that are doubted.

    Attributes:
        rank: int64 `(rows,)`, from 1 for the most suspected row; 0 for a row that is not suspected.
        labels: of label sets the labels whose presence or absence is doubted, bool `(rows, labels)`; else None.
    """

    rank: np.ndarray
    labels: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """The suspected rows, the most suspected first."""
        found = np.flatnonzero(self.rank)
        return np.asarray(found[np.argsort(self.rank[found])])


def find_label_issues(probabilities: np.ndarray, given: np.ndarray, predicted: np.ndarray) -> LabelIssues:
    """Finds rows whose label may be wrong, of a task with one label a row.

    They are what lies off the diagonal of the paper's confident joint, without rows whose label the model predicts all
    the same (as cleanlab has it), ranked by their normalised margin.

    Args:
        probabilities: float `(rows, labels)`, of a model that was not trained on these rows.
        given: the rows' labels, int64 `(rows,)`.
        predicted: what the model predicts, int64 `(rows,)`.
    """
    doubted, margin = _doubted(probabilities, given)
    return LabelIssues(_ranked(doubted & (predicted != given), margin))


def find_label_set_issues(probabilities: np.ndarray, given: np.ndarray, predicted: np.ndarray) -> LabelIssues:
    """Finds rows whose label set may be wrong: for each label, whether its presence or its absence is.

    A row's rank is that of its most doubted label.

    Args:
        probabilities: float `(rows, labels)`, of a model that was not trained on these rows.
        given: zeros and ones, int64 `(rows, labels)`.
        predicted: likewise.
    """
    doubted, margins = np.zeros(given.shape, bool), np.full(given.shape, np.inf)
    for label in range(given.shape[1]):
        present = probabilities[:, label]
        found, margin = _doubted(np.stack([1 - present, present], 1), given[:, label])
        doubted[:, label] = found & (predicted[:, label] != given[:, label])
        margins[:, label] = np.where(doubted[:, label], margin, np.inf)
    return LabelIssues(_ranked(np.asarray(doubted.any(1)), margins.min(1)), doubted)


def _doubted(probabilities: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row counts for another label than its own in the confident joint, and its normalised margin.

    The margin is the given label's probability less that of the most probable other one: -1 where the model is sure
    of another label, 1 where it is sure of the given one.
    """
    rows = np.arange(len(given))
    own = probabilities[rows, given].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):  # a label without rows: its threshold is never reached
        threshold = np.bincount(given, own, probabilities.shape[1]) / np.bincount(
            given, minlength=probabilities.shape[1]
        )
    reached = np.where(probabilities >= threshold, probabilities, -1.0)
    counted = reached.argmax(1)
    others = probabilities.astype(np.float64)
    others[rows, given] = -1
    return (reached.max(1) >= 0) & (counted != given), own - others.max(1)


def _ranked(suspected: np.ndarray, margin: np.ndarray) -> np.ndarray:
    rank = np.zeros(len(suspected), np.int64)
    found = np.flatnonzero(suspected)
    rank[found[np.argsort(margin[found], kind="stable")]] = np.arange(1, len(found) + 1)
    return rank
