"""The evaluation of a split: predictions, misclassified rows, scores of each label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation.label_errors import LabelIssues, find_label_issues, find_label_set_issues
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.skill import are_related, has_skill


@dataclass(frozen=True)
class LabelScores:
    """One label's scores: how many rows have it, for how many it is predicted, and for how many rightly."""

    label: str
    rows: int
    predicted: int
    right: int

    @property
    def seen(self) -> bool:
        """Whether the label is true or predicted for any row; macro averages leave out the other labels."""
        return bool(self.rows or self.predicted)

    @property
    def precision(self) -> float:
        """The share of correct predictions; 0 without predictions, as in scikit-learn."""
        return self.right / max(1, self.predicted)

    @property
    def recall(self) -> float:
        """The share of the label's rows that are predicted; 0 without rows."""
        return self.right / max(1, self.rows)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.right / max(1, self.rows + self.predicted)


class Decisions(NamedTuple):
    """The score of each decision, float32 `(decisions,)`, and whether it is right, bool `(decisions,)`.

    A decision is a row's label, or in a multi-label task whether a row has a label.
    """

    score: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """A split's outcomes, decided row by row.

    Attributes:
        outcomes: of the split.
        calibration: turns raw logits into probabilities; the default leaves them uncalibrated.
        thresholds: decision thresholds by label; None takes the most probable label, or all labels with a probability
            of at least 0.5.
    """

    outcomes: Outcomes
    calibration: Calibration = field(default_factory=Calibration)
    thresholds: Mapping[str, float] | None = None

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Probabilities of each label, float32 `(rows, labels)`; the values, `(rows, 1)`, for regression."""
        return self.calibration.probabilities(self.target, self.outcomes.logits)

    @cached_property
    def decided(self) -> np.ndarray:
        """Label indices int64 `(rows,)`, label sets int64 `(rows, labels)`, or values float32 `(rows,)`."""
        logits = self.calibration.apply(self.outcomes.logits)
        return decisions_of(self.target).decide(self.target, logits, self.thresholds)

    @cached_property
    def losses(self) -> np.ndarray:
        """The loss of each row before calibration, float32 `(rows,)`; their mean is `val_loss` or `test_loss`."""
        losses = decisions_of(self.target).row_losses(self.outcomes.logits, self.outcomes.targets)
        return losses.astype(np.float32)

    @cached_property
    def uncalibrated(self) -> Evaluation:
        """The same rows without calibration and thresholds."""
        return Evaluation(self.outcomes)

    @cached_property
    def without_thresholds(self) -> Evaluation:
        """The same rows, calibrated, without thresholds; scores and reliability refer to these decisions."""
        return self if self.thresholds is None else Evaluation(self.outcomes, self.calibration)

    @cached_property
    def images(self) -> dict[str, bytes | None]:
        """The figures that have been drawn, as PNG by name; :meth:`FigureKind.image` draws them once."""
        return {}

    def __len__(self) -> int:
        return len(self.outcomes.rows)

    @property
    def split(self) -> str:
        """The name of the split."""
        return self.outcomes.split

    @property
    def target(self) -> Target:
        """Task and labels."""
        return self.outcomes.target

    @cached_property
    def true(self) -> list[str]:
        """Each row's true label, label set or value, as text."""
        return self.target.texts(self.outcomes.targets)

    @cached_property
    def predicted(self) -> list[str]:
        """Each row's predicted label, label set or value, as text."""
        return self.target.texts(self.decided)

    @cached_property
    def decisions(self) -> Decisions | None:
        """Every decision with its probability; None for regression."""
        if self.score is None:
            return None
        right = self.decided == self.outcomes.targets
        if self.target.one_label_per_row:
            return Decisions(self.score, right)
        score = np.where(self.decided == 1, self.probabilities, 1 - self.probabilities)
        return Decisions(score.ravel(), right.ravel())

    @cached_property
    def score(self) -> np.ndarray | None:
        """The model's confidence in each row, float32 `(rows,)`; None for regression.

        This is the probability of the predicted label; for label sets that of the least certain decision.
        """
        return decisions_of(self.target).scores(self.probabilities, self.decided)

    @cached_property
    def wrong(self) -> np.ndarray:
        """Whether each row is misclassified, bool `(rows,)`; all False for regression."""
        if self.decisions is None:
            return np.zeros(len(self), bool)
        return np.asarray(~self.decisions.right.reshape(len(self), -1).all(1))

    @cached_property
    def worst(self) -> np.ndarray:
        """Indices of the misclassified rows (for regression of all rows), int64, highest loss first."""
        rows = np.arange(len(self)) if self.decisions is None else np.flatnonzero(self.wrong)
        return np.asarray(rows[np.argsort(-self.losses[rows], kind="stable")])

    @cached_property
    def has_skill(self) -> bool:
        """Whether the model is better than a constant prediction by more than chance."""
        return has_skill(self.target, self.outcomes.logits, self.outcomes.targets)

    @cached_property
    def can_suspect_labels(self) -> bool:
        """Whether the model has skill and its decisions, which would contradict labels, are related to them at all."""
        if not self.target.has_probabilities or not self.has_skill:
            return False
        labels = (self.decided, self.outcomes.targets)
        return are_related(*(decisions_of(self.target).presence(each, self.target.num_outputs) for each in labels))

    @cached_property
    def label_issues(self) -> LabelIssues | None:
        """The rows that may be mislabelled, none if the model is too weak; None for regression."""
        if not self.target.has_probabilities:
            return None
        if not self.can_suspect_labels:
            return LabelIssues(np.zeros(len(self), np.int64))
        find = find_label_issues if self.target.one_label_per_row else find_label_set_issues
        labels = self.outcomes.targets.astype(self.decided.dtype)
        return find(labels, self.probabilities, self.decided, self.outcomes.fold)

    @cached_property
    def confusion(self) -> np.ndarray | None:
        """Number of rows by true and by predicted label, int64 `(labels, labels)`; None unless single-label."""
        if not self.target.one_label_per_row:
            return None
        counts = np.zeros((self.target.num_outputs, self.target.num_outputs), np.int64)
        np.add.at(counts, (self.outcomes.targets, self.decided), 1)
        return counts

    @cached_property
    def label_scores(self) -> list[LabelScores]:
        """Each label's scores, in label order; empty for regression."""
        target = self.target
        if not target.has_probabilities:
            return []
        presence, outputs = decisions_of(target).presence, target.num_outputs
        true, predicted = (presence(each, outputs) == 1 for each in (self.outcomes.targets, self.decided))
        counts = [each.sum(0).tolist() for each in (true, predicted, true & predicted)]
        return [LabelScores(*of_label) for of_label in zip(target.labels, *counts, strict=True)]

    def worst_labels(self, limit: int) -> list[LabelScores]:
        """All labels in order; of more than `limit` labels, the seen ones with the lowest F1."""
        scores = self.label_scores
        if len(scores) <= limit:
            return scores
        return sorted((label for label in scores if label.seen), key=lambda label: label.f1)[:limit]
