"""Probabilities, decisions and output columns of each task, in numpy: every engine writes the same bytes.

A new task is a `Decisions` here and a line of :data:`DECISIONS`. Its loss is in `classifier/tasks/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from lit_textclf.data.labels.multi_label import names_in_sets
from lit_textclf.data.labels.target import THRESHOLD, Target

Columns = dict[str, Sequence[Any] | np.ndarray]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of classes, float32, rounded once from float64: the same whatever computed them.

    Logits are float32 `(rows, labels)`, as the result.
    """
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinite logits give NaN
        powers = np.exp(wide - wide.max(-1, keepdims=True))
        return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The probability of each label by itself, float32 `(rows, labels)`, rounded once from float64."""
    with np.errstate(over="ignore"):  # the probability is then 0
        return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))), np.float32)


class Decisions(ABC):
    """What the calibrated logits of a task mean, float32 `(rows, outputs)`; thresholds are by label.

    Attributes:
        constant: the name of the prediction that is the same for all rows, in names of metrics and for people.
    """

    constant: ClassVar[tuple[str, str]] = ("most_frequent", "the most frequent label")

    @abstractmethod
    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Each label's probability, `(rows, labels)`; the values themselves, `(rows, 1)`, for regression."""

    @abstractmethod
    def decide(self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None) -> np.ndarray:
        """Labels int64 `(rows,)`, label sets int64 `(rows, labels)`, or values float32 `(rows,)`.

        Without thresholds a row gets the label of the highest logit, or all labels with a probability of at least 0.5.
        """

    @abstractmethod
    def row_losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Each row's loss, float64 `(rows,)`, of raw logits; targets are those of :meth:`Target.encode`."""

    @abstractmethod
    def answers(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None,
        min_score: float | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """One dict per row, see :meth:`TextClassifier.classify`."""

    @abstractmethod
    def columns(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None, min_score: float | None
    ) -> Columns:
        """Columns of predictions by name; numbers are arrays.

        Logits `(0, outputs)` give the names alone. A row whose score is below `min_score` gets no label.
        """

    def scores(self, probabilities: np.ndarray, decided: np.ndarray) -> np.ndarray | None:
        """The probability of each decision, float32 `(rows,)`; None without probabilities."""
        return None

    def presence(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """Zeros and ones `(rows, outputs)`: which labels each row has; for tasks with probabilities."""
        raise NotImplementedError

    @staticmethod
    def probability_columns(target: Target, probabilities: np.ndarray) -> Columns:
        """A column `prob_NAME` per label of probabilities `(rows, labels)`."""
        return {f"prob_{name}": probabilities[:, index] for index, name in enumerate(target.labels)}


class SingleLabel(Decisions):
    """Softmax and the most probable label."""

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Softmax."""
        return softmax(logits)

    def decide(self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None) -> np.ndarray:
        """The label of the highest logit (different logits may round to equal probabilities), or by threshold."""
        index = target.positive_index
        if thresholds is None or index is None:
            return np.asarray(logits.argmax(-1))
        positive = softmax(logits)[:, index] >= np.float32(thresholds[target.labels[index]])
        return np.where(positive, index, 1 - index)

    def scores(self, probabilities: np.ndarray, decided: np.ndarray) -> np.ndarray:
        """The probability of the predicted label."""
        return np.asarray(np.take_along_axis(probabilities, decided[:, None], 1)[:, 0])

    def presence(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """One-hot."""
        return np.asarray(np.eye(outputs, dtype=np.int64)[targets])

    def row_losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Cross entropy."""
        wide = logits.astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinite logits give NaN
            wide -= wide.max(-1, keepdims=True)
            return np.asarray(np.log(np.exp(wide).sum(-1)) - wide[np.arange(len(wide)), targets])

    def answers(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None,
        min_score: float | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """`label`, `score`, `probabilities`, and `abstained` if there is a minimum score."""
        names, decided = target.labels, self.decide(target, logits, thresholds).tolist()
        answers: list[dict[str, Any]] = [
            {"label": names[index], "score": row[index], "probabilities": dict(zip(names, row, strict=True))}
            for index, row in zip(decided, softmax(logits).tolist(), strict=True)
        ]
        if min_score is not None:
            for answer in answers:
                answer["abstained"] = answer["score"] < float(np.float32(min_score))
                answer["label"] = None if answer["abstained"] else answer["label"]
        return answers

    def columns(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None, min_score: float | None
    ) -> Columns:
        """`label`, `score`, `abstained` if there is a minimum score, and each label's probability."""
        probabilities, decided = softmax(logits), self.decide(target, logits, thresholds)
        scores, labels = self.scores(probabilities, decided), target.texts(decided)
        abstained: Columns = {}
        if min_score is not None:
            below = (scores < np.float32(min_score)).tolist()
            labels = ["" if out else label for label, out in zip(labels, below, strict=True)]
            abstained["abstained"] = [str(out).lower() for out in below]
        return {"label": labels, "score": scores, **abstained, **self.probability_columns(target, probabilities)}


class MultiLabel(Decisions):
    """A sigmoid and a threshold for each label."""

    constant = ("most_frequent", "the set of the most frequent labels")

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Sigmoid."""
        return sigmoid(logits)

    def decide(self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None) -> np.ndarray:
        """The labels whose probability is at least their threshold."""
        limits = [(thresholds or {}).get(name, THRESHOLD) for name in target.labels]
        return np.asarray(sigmoid(logits) >= np.array(limits, np.float32), np.int64)

    def scores(self, probabilities: np.ndarray, decided: np.ndarray) -> np.ndarray:
        """The probability of the least certain decision of the set."""
        return np.asarray(np.where(decided == 1, probabilities, 1 - probabilities).min(-1))

    def presence(self, targets: np.ndarray, outputs: int) -> np.ndarray:
        """The targets."""
        return targets

    def row_losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Binary cross entropy, averaged over labels."""
        wide = logits.astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinite logits give NaN
            return np.asarray((np.logaddexp(0, wide) - targets * wide).mean(-1))

    def answers(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None,
        min_score: float | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """`labels` and `probabilities`."""
        sets = names_in_sets(self.decide(target, logits, thresholds), target.labels)
        return [
            {"labels": names, "probabilities": dict(zip(target.labels, row, strict=True))}
            for names, row in zip(sets, sigmoid(logits).tolist(), strict=True)
        ]

    def columns(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None, min_score: float | None
    ) -> Columns:
        """`labels` and each label's probability."""
        labels = target.texts(self.decide(target, logits, thresholds))
        return {"labels": labels, **self.probability_columns(target, sigmoid(logits))}


class Regression(Decisions):
    """The values."""

    constant = ("mean", "the mean")

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The values, `(rows, 1)`."""
        return logits

    def decide(self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None) -> np.ndarray:
        """The values."""
        return np.asarray(logits[:, 0])

    def row_losses(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Squared errors."""
        return np.asarray((logits[:, 0].astype(np.float64) - targets) ** 2)

    def answers(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None = None,
        min_score: float | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """`prediction`."""
        return [{"prediction": value} for value in logits[:, 0].tolist()]

    def columns(
        self, target: Target, logits: np.ndarray, thresholds: Mapping[str, float] | None, min_score: float | None
    ) -> Columns:
        """`prediction`."""
        return {"prediction": logits[:, 0]}


DECISIONS: dict[str, Decisions] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
    "regression": Regression(),
}


def decisions_of(target: Target) -> Decisions:
    """The decisions of the target's task."""
    return DECISIONS[target.task]
