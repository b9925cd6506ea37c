"""The classifier's half of a label task: the base class of the task files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from lit_textclf.data.labels.target import Target

ITERATIONS = 100
"""Steps of a solver at most: a start need not be the optimum."""


class TaskRules(ABC):
    """Loss, probabilities, decisions and output columns of one task.

    Logits are float32 `(rows, outputs)`, raw in losses and calibrated elsewhere; targets are those of
    :meth:`Target.encode`; thresholds and counts are by label. The rows' half of a task is
    :class:`~lit_textclf.data.labels.task.LabelTask`. Only tasks with probabilities need the methods from
    :meth:`balanced_weights` on.

    Attributes:
        problem_type: transformers' name for the task.
        quality: the name of one metric for people, see :meth:`measure_quality`.
        linear: the name of :meth:`fit_linear` for people.
        start_share: the inverse penalty that a head starts with, as a share of the one that predicts held-out rows
            best. A head that fits the frozen encoder as well as it can leaves no errors from which the encoder would
            learn (Ren et al. 2023, "How to Prepare Your Task Head for Finetuning", section 4).
    """

    problem_type: ClassVar[str]
    quality: ClassVar[str]
    linear: ClassVar[str] = "logistic regression"
    # MiniLM-L6, one seed, test rows, with 1 and with 0.03: accuracy on Banking77 0.828 and 0.825 (616 rows), 0.899 and
    # 0.909 (2,500 rows; 0.901 with 0.003), on TREC-6 0.910 and 0.908 (200), 0.932 and 0.952 (1,000), on SST-2 0.806 and
    # 0.812 (200); Pearson on STS-B 0.782 and 0.810 (1,000). To scale the weights by 0.3 gave 0.902 (Banking77, 2,500).
    start_share: ClassVar[float] = 0.03

    @abstractmethod
    def loss(
        self, logits: Tensor, targets: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """The mean loss of a batch, a scalar.

        Class weights are `(outputs,)`; label smoothing is the share of a target that is spread over all classes
        (Szegedy et al. 2016).
        """

    @abstractmethod
    def row_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Each row's unweighted loss, float32 `(rows,)`; the mean is :meth:`loss`."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Each label's probability, `(rows, labels)`; the values themselves, `(rows, 1)`, for regression."""

    @abstractmethod
    def decide(self, target: Target, logits: Tensor, thresholds: Mapping[str, float] | None = None) -> Tensor:
        """Labels int64 `(rows,)`, label sets int64 `(rows, labels)`, or values float32 `(rows,)`.

        Without thresholds a row gets the label of the highest logit, or all labels with a probability of at least 0.5.
        """

    @abstractmethod
    def fit_linear(self, outputs: int, features: Any, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """Fits a linear model with an L2 penalty.

        Args:
            outputs: the number of logits.
            features: float32 `(rows, hidden)`, an array or a SciPy matrix.
            targets: see the class; values are standardized.
            strength: the inverse of the penalty, scikit-learn's `C`.

        Returns:
            Weights `(outputs, hidden)` and biases `(outputs,)`, float32.
        """

    @abstractmethod
    def fit_constant(self, outputs: int, targets: Tensor) -> Tensor:
        """The logits of a model that knows no features, float32 `(outputs,)`; targets as in :meth:`fit_linear`.

        Each label is counted once more than it occurs, so that a label without rows has a finite logit.
        """

    @abstractmethod
    def measure_quality(self, logits: Tensor, targets: Tensor) -> float:
        """The metric called :attr:`quality`; higher is better."""

    def balanced_weights(self, target: Target, counts: Mapping[str, int], rows: int) -> list[float]:
        """Weights of `model.class_weights balanced`, in label order; all counts are above 0.

        Raises:
            UserError: if no such weights exist; give weights by name.
        """
        raise NotImplementedError

    def presence(self, targets: Tensor, outputs: int) -> Tensor:
        """Zeros and ones `(rows, outputs)`: which labels each row has."""
        raise NotImplementedError

    def slopes(self, logits: Tensor, presence: Tensor, inverse: float) -> tuple[float, float]:
        """First and second derivative of the mean loss with respect to the inverse temperature.

        Logits are raw; they and :meth:`presence` are float64.
        """
        raise NotImplementedError

    def calibration_error(self, logits: Tensor, targets: Tensor) -> float:
        """The expected calibration error: the mean gap between probability and frequency in 15 bins.

        Guo et al. 2017, equation 3. Calibrated logits give the error after calibration, raw ones that before it.
        """
        raise NotImplementedError
