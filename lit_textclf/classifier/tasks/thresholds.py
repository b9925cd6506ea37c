"""Decision thresholds: learned from validation rows, or typed as `--threshold`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import THRESHOLD, Target
from lit_textclf.utils.messages import UserError, did_you_mean

_WANTED = re.compile(r"(precision|recall)=(0?\.\d+|1|1\.0*)")


def check_threshold_for(wanted: str) -> None:
    """Refuses a value of `model.threshold_for`.

    Raises:
        UserError: if it is none.
    """
    if wanted != "f1" and not _WANTED.fullmatch(wanted):
        raise UserError(f"model.threshold_for {wanted!r}: f1, or precision=0.9, or recall=0.9")


def best_threshold(scores: Tensor, present: Tensor, wanted: str = "f1") -> float | None:
    """The best decision threshold for a label.

    Args:
        scores: the label's probabilities, `(rows,)`.
        present: whether rows have it, bool `(rows,)`.
        wanted: `f1` for the highest F1; `precision=0.9` for the highest recall among thresholds of at least that
            precision, or the highest precision where none has it; `recall=0.9` the same with both exchanged.

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


def labels_with_thresholds(target: Target) -> tuple[str, ...]:
    """The labels whose threshold may be set: all of label sets, the positive one of two, else none."""
    if not target.takes_thresholds:
        return ()
    return target.labels if target.positive_index is None else (target.labels[target.positive_index],)


def thresholds_of(target: Target, logits: Tensor, targets: Tensor, wanted: str = "f1") -> dict[str, float]:
    """The best threshold of each label that can have one: of two labels the positive one's, of sets each one's.

    For the highest F1, 0.5 stays unless the other threshold is better by more than chance: on an imbalanced set of few
    rows that one would be the peculiarity of a row or two, and worse on others.

    Args:
        target: task and labels.
        logits: calibrated, `(rows, outputs)`.
        targets: as in :func:`lit_textclf.losses.task_loss`.
        wanted: see :func:`best_threshold`.
    """
    rules, found = rules_of(target), {}
    scores, present = rules.probabilities(logits), rules.presence(targets, target.num_outputs).bool()
    for index in map(target.labels.index, labels_with_thresholds(target)):
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
        other: the probability to compare it with.
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


def resolve_threshold(option: Any, target: Target, learned: Mapping[str, float]) -> dict[str, float] | None:
    """Turns `--threshold` into a threshold by label, or None for what wins by itself.

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
        what = f"{len(target.labels)} labels of which one wins" if target.has_probabilities else "a regression"
        raise UserError(f"--threshold is for two labels or label sets, the model has {what}; use --min_score")
    if option == "best":
        if not learned:
            raise UserError("--threshold best: the checkpoint has none, it was trained without validation rows")
        return {name: learned.get(name, THRESHOLD) for name in names}
    given = option if isinstance(option, Mapping) else dict.fromkeys(names, option)
    for name, value in given.items():
        if name not in names:
            raise UserError(
                f"--threshold: no label {name!r}{did_you_mean(str(name), names)}; there are {', '.join(names)}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UserError(f"--threshold {value!r}: best, a probability from 0 to 1, or {{label: probability}}")
    return {name: float(given.get(name, THRESHOLD)) for name in names}
