"""How far a model's probabilities can be believed: temperature, calibration error, thresholds, from validation rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from lit_textclf.errors import UserError, nearest, say
from lit_textclf.labels import THRESHOLD, Target, Task
from lit_textclf.outcomes import CollectOutcomes

BINS = 15
"""Bins of the expected calibration error, as in Guo et al. 2017."""
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures beyond which nothing is gained: probabilities are 0 and 1, or all alike."""


@dataclass(frozen=True)
class Calibration:
    """What was learned from validation rows.

    Attributes:
        temperature: logits are divided by it before they become probabilities.
        thresholds: by label the probability from which on it is given, where somebody asks for it; for two labels of
            the positive one alone.
    """

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a checkpoint that loads with `weights_only=True` needs them."""
        return {"temperature": self.temperature, "thresholds": dict(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Calibration:
        """The inverse of :meth:`to_dict`; of nothing, a calibration that changes nothing."""
        return cls(values["temperature"], dict(values["thresholds"])) if values else cls()


def fit_temperature(task: Task, logits: Tensor, targets: Tensor) -> float:
    """The temperature whose probabilities have the smallest loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    The loss is convex in the inverse temperature; its slope is brought to zero by Newton's method, kept within bounds
    by bisection. One temperature for all labels, so that none wins that did not before.

    Args:
        task: cross entropy for one label, binary cross entropy for sets; a regression has no probabilities.
        logits: `(rows, outputs)`.
        targets: as in :func:`lit_textclf.losses.task_loss`.

    Returns:
        1 where nothing can be learned: no rows, or all of them right, however sure the model is.
    """
    if task == "regression" or not len(logits):
        return 1.0
    logits = logits.double()
    one_hot = F.one_hot(targets, logits.shape[1]).double() if task == "single_label" else targets.double()

    def slopes(inverse: float) -> tuple[float, float]:
        """First and second derivative of the mean loss by the inverse temperature."""
        if task == "multi_label":
            chance = torch.sigmoid(inverse * logits)
            first = (logits * (chance - one_hot)).mean()
            return float(first), float((logits.square() * chance * (1 - chance)).mean())
        chance = torch.softmax(inverse * logits, -1)
        mean = (chance * logits).sum(-1)
        spread = (chance * logits.square()).sum(-1) - mean.square()
        return float((mean - (one_hot * logits).sum(-1)).mean()), float(spread.mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slopes(high)[0] <= 0 or slopes(low)[0] >= 0:  # the surer the better, or the less sure the better
        return 1.0
    inverse = 1.0
    for _ in range(60):
        first, second = slopes(inverse)
        low, high = (inverse, high) if first < 0 else (low, inverse)
        step = inverse - first / second if second > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) < 1e-9:
            break
        inverse = following
    return 1 / inverse


def expected_calibration_error(target: Target, logits: Tensor, targets: Tensor) -> float:
    """How far probability and frequency are apart on average, in :data:`BINS` bins (Guo et al. 2017, equation 3).

    For label sets that of each label's presence, over all rows and labels.

    Args:
        target: the task; a regression has none.
        logits: `(rows, outputs)`, divided by the temperature if there is one.
        targets: as in :func:`lit_textclf.losses.task_loss`.
    """
    if target.task == "multi_label":
        return float(binary_calibration_error(logits.sigmoid().flatten(), targets.long().flatten(), n_bins=BINS))
    return float(multiclass_calibration_error(logits.softmax(-1), targets, target.num_outputs, n_bins=BINS))


# Thresholds -----------------------------------------------------------------------------------------------------------

_WANTED = re.compile(r"(precision|recall)=(0?\.\d+|1|1\.0*)")


def check_threshold_for(wanted: str) -> None:
    """Refuses a value of `model.threshold_for`.

    Raises:
        UserError: if it is none.
    """
    if wanted != "f1" and not _WANTED.fullmatch(wanted):
        raise UserError(f"model.threshold_for {wanted!r}: f1, or precision=0.9, or recall=0.9")


def best_threshold(scores: Tensor, present: Tensor, wanted: str = "f1") -> float | None:
    """The probability from which on a label is best given.

    Args:
        scores: the label's probabilities, `(rows,)`.
        present: whether rows have it, bool `(rows,)`.
        wanted: `f1` for the highest F1; `precision=0.9` for the highest recall among thresholds of at least that
            precision, or the highest precision where none has it; `recall=0.9` likewise.

    Returns:
        The middle between the lowest score that is taken and the next one; None if no row has the label.
    """
    if not bool(present.any()):
        return None
    order = scores.double().argsort(descending=True, stable=True)
    sorted_scores, hits = scores.double()[order], present[order].double().cumsum(0)
    ends = torch.cat([sorted_scores[1:] != sorted_scores[:-1], torch.tensor([True])])  # equal scores go together
    taken = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    precision, recall = hits / taken, hits / hits[-1]
    value = 2 * hits / (taken + hits[-1])
    if match := _WANTED.fullmatch(wanted):
        held, raised = (precision, recall) if match[1] == "precision" else (recall, precision)
        reaches = (held >= float(match[2])) & ends
        # Where two are alike the other one decides.
        value = torch.where(reaches, 2 + raised + 1e-6 * held, held + 1e-6 * raised)
    best = int(torch.where(ends, value, -1.0).argmax())
    below = sorted_scores[best + 1] if best + 1 < len(scores) else torch.zeros(())
    return float((sorted_scores[best] + below) / 2)


def thresholds_of(target: Target, logits: Tensor, targets: Tensor, wanted: str = "f1") -> dict[str, float]:
    """The best threshold of each label that can have one: of two labels the positive one's, of sets each one's.

    For the highest F1 0.5 stays where the other threshold is no better by more than chance: on an imbalanced set of few
    rows that one would be the peculiarity of a row or two, and worse on others.

    Args:
        target: task and labels.
        logits: `(rows, outputs)`, divided by the temperature.
        targets: as in :func:`lit_textclf.losses.task_loss`.
        wanted: see :func:`best_threshold`.
    """
    if target.task == "multi_label":
        scores, present = logits.sigmoid(), targets.bool()
        indices = range(len(target.labels))
    elif target.positive_index is not None:
        scores, present = logits.softmax(-1), F.one_hot(targets, 2).bool()
        indices = range(target.positive_index, target.positive_index + 1)
    else:
        return {}
    found = {}
    for index in indices:
        of_label, is_there = scores[:, index], present[:, index]
        best = best_threshold(of_label, is_there, wanted)
        if best is None:
            continue
        if wanted == "f1" and not beats_by_more_than_chance(of_label, is_there, best, THRESHOLD):
            best = THRESHOLD
        found[target.labels[index]] = best
    return found


def beats_by_more_than_chance(scores: Tensor, present: Tensor, threshold: float, other: float) -> bool:
    """Whether a threshold's F1 is above another's by more than the difference's standard error.

    That of the jackknife, each row left out in turn (Efron and Tibshirani 1993, An Introduction to the Bootstrap,
    chapter 11).

    Args:
        scores: the label's probabilities, `(rows,)`.
        present: whether rows have it, bool `(rows,)`.
        threshold: a probability.
        other: likewise.
    """

    def f1(limit: float) -> tuple[Tensor, Tensor]:
        """That of all rows, and those without each one."""
        given = scores.double() >= limit
        both, total = (given & present).double(), given.double() + present.double()
        without = 2 * (both.sum() - both) / (total.sum() - total).clamp(min=1)
        return 2 * both.sum() / total.sum().clamp(min=1), without

    (value, without), (value_of_other, without_of_other) = f1(threshold), f1(other)
    differences = without - without_of_other
    rows = len(scores)
    error = ((rows - 1) / rows * (differences - differences.mean()).square().sum()).sqrt()
    return bool(value - value_of_other > error)


def resolve_threshold(option: Any, target: Target, calibration: Calibration) -> dict[str, float] | None:
    """Turns `--threshold` into a threshold by label, or None for what wins by itself.

    Args:
        option: None, `best`, a probability, or probabilities by label.
        target: task and labels.
        calibration: what `best` means.

    Raises:
        UserError: for a task without thresholds, an unknown label, or a value that is no probability.
    """
    if option is None:
        return None
    positive = target.positive_index
    if target.task != "multi_label" and positive is None:
        what = "a regression" if target.task == "regression" else f"{len(target.labels)} labels of which one wins"
        raise UserError(f"--threshold is for two labels or label sets, the model has {what}; use --min_score")
    names = target.labels if target.task == "multi_label" else (target.labels[positive or 0],)
    if option == "best":
        if not calibration.thresholds:
            raise UserError("--threshold best: the checkpoint has none, it was trained without validation rows")
        return {name: calibration.thresholds.get(name, THRESHOLD) for name in names}
    given = option if isinstance(option, Mapping) else dict.fromkeys(names, option)
    for name, value in given.items():
        if name not in names:
            raise UserError(f"--threshold: no label {name!r}{nearest(str(name), names)}; there are {', '.join(names)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError(f"--threshold {value!r}: best, a probability from 0 to 1, or {{label: probability}}")
    return {name: float(given.get(name, THRESHOLD)) for name in names}


def decided(target: Target, probabilities: Tensor, thresholds: Mapping[str, float] | None = None) -> Tensor:
    """What probabilities `(rows, outputs)` say: label indices int64 `(rows,)`, or sets int64 `(rows, outputs)`.

    Args:
        target: task and labels, no regression.
        probabilities: of each label.
        thresholds: by label; None takes the most probable label, or what has 0.5.
    """
    if target.task == "multi_label":
        limits = [(thresholds or {}).get(name, THRESHOLD) for name in target.labels]
        return probabilities.ge(torch.tensor(limits, device=probabilities.device)).long()
    index = target.positive_index
    if thresholds is None or index is None:
        return probabilities.argmax(-1)
    positive = probabilities[:, index].ge(thresholds[target.labels[index]])
    return torch.where(positive, index, 1 - index)


def decided_by_logits(target: Target, logits: Tensor, thresholds: Mapping[str, float] | None = None) -> Tensor:
    """What calibrated logits `(rows, outputs)` say, as :func:`decided` does of their probabilities.

    Without thresholds the highest logit wins: logits that differ may have probabilities that do not.
    """
    if target.task == "multi_label":
        return decided(target, logits.sigmoid(), thresholds)
    return logits.argmax(-1) if thresholds is None else decided(target, logits.softmax(-1), thresholds)


class Calibrate(Callback):
    """Learns temperature and thresholds after each validation of `fit`, before its checkpoint is written.

    In every evaluation the expected calibration error is logged, with the temperature and without it.

    Args:
        collected: has the outcomes; called before this one.
    """

    def __init__(self, collected: CollectOutcomes) -> None:
        self.collected = collected

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Learns, in `fit`, and logs."""
        self._calibrate(trainer, pl_module, "val_")

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs."""
        self._calibrate(trainer, pl_module, "test_")

    def _calibrate(self, trainer: pl.Trainer, pl_module: Any, prefix: str) -> None:
        outcomes = self.collected.outcomes
        if trainer.sanity_checking or outcomes is None or outcomes.target.task == "regression":
            return
        target, logits, targets = outcomes.target, outcomes.logits, outcomes.targets
        if trainer.state.fn == "fit":
            temperature = fit_temperature(target.task, logits, targets) if pl_module.calibrate else 1.0
            thresholds = thresholds_of(target, logits / temperature, targets, pl_module.threshold_for)
            pl_module.calibration = Calibration(temperature, thresholds)
        temperature = pl_module.calibration.temperature
        values = {
            "ece": expected_calibration_error(target, logits / temperature, targets),
            "ece_uncalibrated": expected_calibration_error(target, logits, targets),
        }
        if trainer.state.fn == "fit":
            values["temperature"] = temperature
        for name, value in values.items():
            # The same on all ranks; Lightning wants to hear how they are to be joined.
            pl_module.log(f"{prefix}{name}", value, sync_dist=trainer.world_size > 1)


def say_calibration(best: Mapping[str, float], thresholds: Mapping[str, float], rows: int) -> None:
    """Says what the temperature of the best epoch does to the calibration error, and which thresholds were chosen.

    Args:
        best: the best epoch's metrics.
        thresholds: its thresholds by label.
        rows: the validation rows.
    """
    if best.get("val_temperature", 1.0) != 1:
        say(
            f"calibration: temperature {best['val_temperature']:.3g}; expected calibration error "
            f"{best['val_ece_uncalibrated']:.3f} without it, {best['val_ece']:.3f} with it, on {rows:,} validation rows"
        )
    moved = {name: value for name, value in thresholds.items() if value != THRESHOLD}
    if moved:
        shown = ", ".join(f"{name} {value:.3g}" for name, value in list(moved.items())[:3])
        rest = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        say(f"thresholds from the validation rows, used only with --threshold best: {shown}{rest}")
