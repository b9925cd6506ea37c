"""What a label task is to the classifier: the protocol that each file of a task implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from lit_textclf.data.labels.target import Target

Columns = dict[str, Sequence[Any] | Tensor]


class TaskRules(ABC):
    """How the outputs of one task are trained, read and written.

    `logits` are float32 `(rows, outputs)`, calibrated except in losses; `targets` are those of
    :meth:`~lit_textclf.data.labels.target.Target.encode`. What rows and labels need of a task is
    :class:`~lit_textclf.data.labels.task.LabelTask`.

    Attributes:
        problem_type: transformers' name for the task.
    """

    problem_type: ClassVar[str]

    @abstractmethod
    def loss(
        self, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """The mean loss of a batch, a scalar.

        Args:
            logits: raw.
            targets: class indices int64 `(batch,)`, zeros and ones float32 `(batch, outputs)`, or values float32
                `(batch,)`.
            class_weights: each label's weight, `(outputs,)`.
            label_smoothing: the share of the target that is spread over all classes (Szegedy et al. 2016).
        """

    @abstractmethod
    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Each row's loss, float32 `(rows,)`; unweighted, so that their mean is :meth:`loss`."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Each label's probability, `(rows, labels)`; the values themselves, `(rows, 1)`, for regression."""

    @abstractmethod
    def decide(self, target: Target, logits: Tensor, thresholds: Mapping[str, float] | None = None) -> Tensor:
        """Labels int64 `(rows,)`, label sets int64 `(rows, labels)`, or values float32 `(rows,)`.

        Args:
            target: task and labels.
            logits: calibrated.
            thresholds: by label; None takes the label of the highest logit, or all labels of probability 0.5 and more.
        """

    @abstractmethod
    def answers(self, target: Target, logits: Tensor) -> list[dict[str, Any]]:
        """One dict a row, see :meth:`TextClassifier.classify`."""

    @abstractmethod
    def columns(
        self, target: Target, logits: Tensor, thresholds: Mapping[str, float] | None, min_score: float | None
    ) -> Columns:
        """The columns of predictions by name; numbers are tensors.

        Args:
            target: task and labels.
            logits: calibrated; none, `(0, outputs)`, for the names alone.
            thresholds: see :meth:`decide`.
            min_score: below it a row gets no label.
        """

    def scores(self, probabilities: Tensor, decided: Tensor) -> Tensor | None:
        """How sure each decision is, float32 `(rows,)`; None without probabilities."""
        return None

    def balanced_weights(self, target: Target, counts: Mapping[str, int], rows: int) -> list[float]:
        """`model.class_weights balanced`, in label order.

        Args:
            target: task and labels.
            counts: rows by label, none of them 0.
            rows: all training rows.

        Raises:
            UserError: if no such weights exist.
        """
        raise NotImplementedError

    def presence(self, targets: Tensor, outputs: int) -> Tensor:
        """Zeros and ones `(rows, outputs)`: whether a row has a label."""
        raise NotImplementedError

    def slopes(self, logits: Tensor, presence: Tensor, inverse: float) -> tuple[float, float]:
        """First and second derivative of the mean loss by the inverse temperature.

        Args:
            logits: raw, float64.
            presence: see :meth:`presence`, float64.
            inverse: the inverse temperature.
        """
        raise NotImplementedError

    def calibration_error(self, logits: Tensor, targets: Tensor, bins: int) -> float:
        """The expected calibration error (Guo et al. 2017, equation 3)."""
        raise NotImplementedError
