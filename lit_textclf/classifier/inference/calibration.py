"""Calibration: the temperature and decision thresholds, learned from validation rows or typed as `--threshold`.

Logits are raw everywhere: in the model's output, losses, metrics, `predict_step`, outcomes and parts of predictions.
Only :class:`Calibration` turns them into calibrated logits or probabilities.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.data.labels.target import THRESHOLD, Target
from lit_textclf.utils.messages import UserError, clean, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

NO_PROBABILITIES = "the model is a regression, which has no probabilities: neither --threshold nor --min_score applies"
BINS = 15
"""Bins of the expected calibration error, as in Guo et al. 2017."""
WANTED = re.compile(r"(precision|recall)=(0?\.\d+|1|1\.0*)")
"""What `model.threshold_for` may be besides f1."""


@dataclass(frozen=True)
class Calibration:
    """Temperature and thresholds learned from validation rows.

    Attributes:
        temperature: raw logits are divided by it before they become probabilities.
        thresholds: decision thresholds by label, used only on request; with two labels, the positive one's.
        by_row: the temperatures of rows of several models, float32 `(rows, 1)`, instead of the one temperature.
    """

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    by_row: Any = None

    def apply(self, logits: Array) -> Array:
        """Calibrated logits of raw ones, `(rows, outputs)`, an array or a tensor."""
        return logits / (self.temperature if self.by_row is None else self.by_row)  # type: ignore[no-any-return]

    def undo(self, logits: Array) -> Array:
        """Raw logits of calibrated ones: for an exported model, whose weights were divided by the temperature."""
        return logits * self.temperature  # type: ignore[no-any-return]

    def probabilities(self, target: Target, logits: Array) -> np.ndarray:
        """Calibrated probabilities `(rows, labels)` of raw logits; for regression the values, `(rows, 1)`."""
        calibrated = self.apply(logits) if target.has_probabilities else logits
        return decisions_of(target).probabilities(np.asarray(calibrated))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint that loads with `weights_only=True`."""
        return {"temperature": self.temperature, "thresholds": dict(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Calibration:
        """The inverse of :meth:`to_dict`; None gives a calibration that changes nothing."""
        return cls(values["temperature"], dict(values["thresholds"])) if values else cls()


def check_threshold_for(wanted: str) -> None:
    """Refuses a value of `model.threshold_for` that is neither f1 nor a minimum precision or recall."""
    if wanted != "f1" and not WANTED.fullmatch(wanted):
        raise UserError(f"model.threshold_for {wanted!r}: must be f1, precision=0.9 or recall=0.9")


def labels_with_thresholds(target: Target) -> tuple[str, ...]:
    """The labels that take a threshold: all of a label set, the positive one of two, otherwise none."""
    if not target.takes_thresholds:
        return ()
    return target.labels if target.positive_index is None else (target.labels[target.positive_index],)


def formatted(thresholds: Mapping[str, float]) -> str:
    """Thresholds for people, as `spam 0.3`."""
    return ", ".join(f"{clean(name)} {value:.3g}" for name, value in thresholds.items())


def _no_threshold(name: Any, target: Target, names: Sequence[str]) -> str:
    if target.one_label_per_row and name in target.labels:
        return f"of two labels, the threshold is that of the positive one: {{{names[0]}: ...}} (data.positive_label)"
    return f"no label {name!r}{did_you_mean(str(name), names)}; there are {', '.join(names)}"


def resolve_threshold(option: Any, target: Target, learned: Mapping[str, float]) -> dict[str, float] | None:
    """Turns `--threshold` into thresholds by label, or None to take the most probable label.

    Args:
        option: None, `best`, a probability, or probabilities by label.
        target: task and labels.
        learned: the checkpoint's thresholds by label, for `best`.

    Raises:
        UserError: for a task without thresholds, an unknown label, or a value that is not a probability.
    """
    if option is None:
        return None
    names = labels_with_thresholds(target)
    if not names:
        if not target.has_probabilities:
            raise UserError(NO_PROBABILITIES)
        what = f"{len(target.labels)} labels of which one is predicted"
        raise UserError(f"--threshold is for two labels or label sets, but the model has {what}; use --min_score")
    if option == "best":
        if not learned:
            raise UserError(
                "--threshold best: the checkpoint has no thresholds, because it was trained without validation rows"
            )
        return {name: learned.get(name, THRESHOLD) for name in names}
    values = option if isinstance(option, Mapping) else dict.fromkeys(names, option)
    for name, value in values.items():
        if name not in names:
            raise UserError(f"--threshold {{{name}: {value}}}: {_no_threshold(name, target, names)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError(
                f"--threshold {value!r}: must be best, a probability from 0 to 1, or {{label: probability}}"
            )
    return {name: float(values.get(name, THRESHOLD)) for name in names}
