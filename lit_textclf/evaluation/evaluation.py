"""What a split's outcomes say: what was predicted for each row, what is wrong, each label's figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_confusion_matrix,
    multiclass_stat_scores,
    multilabel_stat_scores,
)

from lit_textclf.classifier.calibration import Calibration
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation.label_errors import LabelIssues, find_label_issues, find_label_set_issues
from lit_textclf.evaluation.outcomes import Outcomes


@dataclass(frozen=True)
class LabelScores:
    """One label's figures.

    Attributes:
        label: its name.
        rows: how many rows have it.
        predicted: for how many rows it is predicted.
        right: how many rows are both.
    """

    label: str
    rows: int
    predicted: int
    right: int

    @property
    def seen(self) -> bool:
        """Whether there is anything to measure; macro averages leave out a label without rows and predictions."""
        return bool(self.rows or self.predicted)

    @property
    def precision(self) -> float:
        """The share of predictions that are right; 0 without any, as in scikit-learn."""
        return self.right / max(1, self.predicted)

    @property
    def recall(self) -> float:
        """The share of rows that are found; 0 without any."""
        return self.right / max(1, self.rows)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.right / max(1, self.rows + self.predicted)


@dataclass(frozen=True)
class Evaluation:
    """A split's outcomes, decided row by row.

    Attributes:
        outcomes: of the split.
        calibration: turned the raw logits into probabilities.
        thresholds: by label the probability from which on it is given; None takes what wins by itself.
        probabilities: of each label, float32 `(rows, labels)`; the values, `(rows, 1)`, for regression.
        decided: label indices int64 `(rows,)`, label sets int64 `(rows, labels)`, or values float32 `(rows,)`.
        losses: of each row, before calibration, float32 `(rows,)`.
    """

    outcomes: Outcomes
    calibration: Calibration
    thresholds: Mapping[str, float] | None
    probabilities: Tensor
    decided: Tensor
    losses: Tensor

    @classmethod
    def from_outcomes(
        cls, outcomes: Outcomes, calibration: Calibration | None = None, thresholds: Mapping[str, float] | None = None
    ) -> Evaluation:
        """Decides each row.

        Args:
            outcomes: of a split.
            calibration: turns raw logits into probabilities; None is one that changes nothing.
            thresholds: by label the probability from which on it is given; None takes the most probable label, or all
                those of 0.5 and more.
        """
        target, calibration = outcomes.target, calibration or Calibration()
        probabilities = calibration.probabilities(target, outcomes.logits)
        decided = rules_of(target).decide(target, calibration.apply(outcomes.logits), thresholds)
        return cls(outcomes, calibration, thresholds, probabilities, decided, outcomes.losses)

    @property
    def temperature(self) -> float:
        """The calibration's temperature."""
        return self.calibration.temperature

    @property
    def decisions(self) -> Outcomes:
        """The outcomes with logits that say what was decided and nothing else, for figures of right and wrong."""
        if not self.target.has_probabilities or self.thresholds is None:
            return self.outcomes
        decided = self.decided
        if self.target.one_label_per_row:
            decided = torch.nn.functional.one_hot(decided, self.target.num_outputs)
        return replace(self.outcomes, logits=2.0 * decided - 1)

    def __len__(self) -> int:
        return len(self.decided)

    @property
    def target(self) -> Target:
        """Task and labels."""
        return self.outcomes.target

    @cached_property
    def given(self) -> list[str]:
        """Each row's label, label set or value, as it is written."""
        return self.target.texts(self.outcomes.targets)

    @cached_property
    def predicted(self) -> list[str]:
        """What is predicted for each row, likewise."""
        return self.target.texts(self.decided)

    @cached_property
    def score(self) -> Tensor | None:
        """How sure the model is of each row, float32 `(rows,)`; None for regression.

        The predicted label's probability; for label sets that of the least sure decision on a label.
        """
        return rules_of(self.target).scores(self.probabilities, self.decided)

    @cached_property
    def wrong(self) -> np.ndarray:
        """Whether each row is predicted wrongly, bool `(rows,)`; a regression has no right and wrong."""
        if not self.target.has_probabilities:
            return np.zeros(len(self), bool)
        different = self.decided != self.outcomes.targets.to(self.decided.dtype)
        return np.asarray((different if different.ndim == 1 else different.any(1)).numpy())

    @cached_property
    def worst(self) -> np.ndarray:
        """The wrong rows (of a regression all), int64, the highest loss first."""
        rows = np.arange(len(self)) if not self.target.has_probabilities else np.flatnonzero(self.wrong)
        return np.asarray(rows[np.argsort(-self.losses.numpy()[rows], kind="stable")])

    @cached_property
    def suspicion(self) -> LabelIssues | None:
        """Which labels may be wrong; None for regression."""
        if not self.target.has_probabilities:
            return None
        find = find_label_issues if self.target.one_label_per_row else find_label_set_issues
        given = self.outcomes.targets.to(self.decided.dtype)
        return find(self.probabilities.numpy(), given.numpy(), self.decided.numpy())

    @cached_property
    def confusion(self) -> np.ndarray | None:
        """Rows by true and by predicted label, int64 `(labels, labels)`; of single-label tasks."""
        if not self.target.one_label_per_row:
            return None
        return np.asarray(multiclass_confusion_matrix(self.decided, self.outcomes.targets, self.target.num_outputs))

    @cached_property
    def label_scores(self) -> list[LabelScores]:
        """Each label's figures, in label order; none for regression."""
        target = self.target
        if not target.has_probabilities:
            return []
        scores = multiclass_stat_scores if target.one_label_per_row else multilabel_stat_scores
        counts = scores(self.decided.long(), self.outcomes.targets.long(), target.num_outputs, average="none").tolist()
        return [
            LabelScores(name, right + missed, right + false, right)
            for name, (right, false, _, missed, _) in zip(target.labels, counts, strict=True)
        ]

    def worst_labels(self, most: int) -> list[LabelScores]:
        """All labels in their order, or of more than so many those with the lowest F1 of all that are seen."""
        figures = self.label_scores
        if len(figures) <= most:
            return figures
        return sorted((label for label in figures if label.seen), key=lambda label: label.f1)[:most]
