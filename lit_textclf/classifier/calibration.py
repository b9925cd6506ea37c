"""Learns the temperature and the decision thresholds of a :class:`Calibration` from validation rows."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_textclf.classifier.inference.calibration import WANTED, labels_with_thresholds
from lit_textclf.classifier.tasks.table import RULES, rules_of
from lit_textclf.data.labels.table import TASKS, Task
from lit_textclf.data.labels.target import THRESHOLD, Target

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds beyond which probabilities are 0 and 1, or all equal."""
PRIOR_ROWS = 10
"""The weight, in rows, of the assumption that the probabilities need no temperature."""
CHI_SQUARE = 3.84
"""The likelihood ratio that one parameter exceeds by chance in 5 % of samples."""
MIN_ROWS = 10
"""Rows with a label, and without it, that a threshold other than 0.5 needs for F1."""
FOLDS = 5
"""Folds of the rows, as in scikit-learn's `TunedThresholdClassifierCV`."""
_NORMAL = 1.645
"""The standard errors that a difference exceeds by chance in 5 % of samples."""


def fit_temperature(task: Task, logits: Tensor, targets: Tensor) -> float:
    """The temperature with the smallest loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599), shrunk towards 1.

    With few rows the best temperature is often worse than 1 on other rows. So :data:`PRIOR_ROWS` rows are added whose
    labels are the model's own probabilities, for which 1 is best, and 1 is kept unless the likelihood-ratio test
    rejects it at the 5 % level. On simulated rows, 10 to 100 of 2 to 77 labels, the loss on other rows rises by 0.004
    at most if 1 is right, against 0.1 without these guards; half the gain of a wrong temperature of 2 is kept at 20
    rows of two labels, and all of it at 100.

    The loss is convex in the inverse temperature, so Newton's method, bounded by bisection, finds where its slope is
    zero. All labels share one temperature, so it changes no decision without thresholds.

    Logits are raw, `(rows, outputs)`, targets those of :meth:`Target.encode`. 1 if there is nothing to learn from: no
    probabilities, no rows, or a loss that only falls towards one of the bounds.
    """
    if not TASKS[task].has_probabilities or not len(logits):
        return 1.0
    rules, logits = RULES[task], logits.double()
    presence = rules.presence(targets, logits.shape[1]).double()
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if rules.slopes(logits, presence, high)[0] <= 0 or rules.slopes(logits, presence, low)[0] >= 0:
        return 1.0  # the minimum is beyond a bound
    rows = len(logits)
    shrunk = (rows * presence + PRIOR_ROWS * rules.probabilities(logits)) / (rows + PRIOR_ROWS)
    inverse = 1.0
    for _ in range(60):
        first, second = rules.slopes(logits, shrunk, inverse)
        low, high = (inverse, high) if first < 0 else (low, inverse)
        step = inverse - first / second if second > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) < 1e-9:
            break
        inverse = following
    if TASKS[task].has_label_sets:
        targets = targets.double()
    gain = rules.row_losses(logits, targets) - rules.row_losses(inverse * logits, targets)
    decisions = logits.shape[1] if TASKS[task].has_label_sets else 1  # a row's loss is their mean
    return 1 / inverse if 2 * decisions * float(gain.sum()) > CHI_SQUARE else 1.0


# Thresholds -----------------------------------------------------------------------------------------------------------
def best_threshold(scores: Tensor, present: Tensor, wanted: str = "f1") -> float | None:
    """The best decision threshold for a label.

    Args:
        scores: the label's probabilities, `(rows,)`.
        present: whether rows have it, bool `(rows,)`.
        wanted: `f1` for the highest F1; `precision=0.9` for the highest recall among thresholds with at least that
            precision, or the highest precision if no threshold reaches it; `recall=0.9` the other way round.

    Returns:
        The midpoint between the lowest score above the threshold and the next one; None if no row has the label.
    """
    if not bool(present.any()):
        return None
    order = scores.double().argsort(descending=True, stable=True)
    sorted_scores, hits = scores.double()[order], present[order].double().cumsum(0)
    ends = torch.cat([sorted_scores[1:] != sorted_scores[:-1], torch.tensor([True])])  # equal scores are decided alike
    taken = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    precision, recall = hits / taken, hits / hits[-1]
    value = 2 * hits / (taken + hits[-1])
    if match := WANTED.fullmatch(wanted):
        held, raised = (precision, recall) if match[1] == "precision" else (recall, precision)
        reaches = (held >= float(match[2])) & ends
        # The other measure breaks ties.
        value = torch.where(reaches, 2 + raised + 1e-6 * held, held + 1e-6 * raised)
    best = int(torch.where(ends, value, -1.0).argmax())
    below = sorted_scores[best + 1] if best + 1 < len(scores) else torch.zeros(())
    return float((sorted_scores[best] + below) / 2)


def thresholds_of(target: Target, logits: Tensor, targets: Tensor, wanted: str = "f1") -> dict[str, float]:
    """The best threshold of each label that takes one, see :func:`labels_with_thresholds`.

    For F1, 0.5 is kept unless another threshold :func:`is_better_threshold`: with few, imbalanced rows, one or two of
    them would decide the threshold, which would then do worse on other rows.

    Logits are calibrated, `(rows, outputs)`, targets those of :meth:`Target.encode`; see :func:`best_threshold` for
    `wanted`.
    """
    rules, found = rules_of(target), {}
    scores, present = rules.probabilities(logits), rules.presence(targets, target.num_outputs).bool()
    for index in map(target.labels.index, labels_with_thresholds(target)):
        of_label, has_label = scores[:, index], present[:, index]
        best = best_threshold(of_label, has_label, wanted)
        if best is None:
            continue
        if wanted == "f1" and not is_better_threshold(best, of_label, has_label):
            best = THRESHOLD
        found[target.labels[index]] = best
    return found


def is_better_threshold(threshold: float, scores: Tensor, present: Tensor) -> bool:
    """Whether the best threshold's F1 is better than that of 0.5 by more than chance, its selection included.

    The rows are dealt to folds. Each fold is decided by the best threshold of the other rows, so that no row has
    chosen its own. These decisions must beat those of 0.5 and, because scores without any information gain F1 from it,
    the decision that all rows have the label. Scores and presence are those of :func:`best_threshold`.
    """
    everywhere = torch.ones_like(present)
    if min(int(present.sum()), int((~present).sum())) < MIN_ROWS or bool((scores.double() >= threshold).all()):
        return False
    fold = torch.empty(len(present), dtype=torch.long)
    for rows in (present, ~present):
        fold[rows] = torch.arange(int(rows.sum())) % FOLDS
    decided = torch.empty_like(present)
    for held_out in (fold == number for number in range(FOLDS)):
        chosen = best_threshold(scores[~held_out], present[~held_out])
        assert chosen is not None
        decided[held_out] = scores[held_out].double() >= chosen
    at_half = scores.double() >= THRESHOLD
    return all(beats_by_more_than_chance(decided, other, present) for other in (at_half, everywhere))


def beats_by_more_than_chance(decided: Tensor, other: Tensor, present: Tensor) -> bool:
    """Whether the F1 of decisions exceeds that of others, in a one-sided test at the 5 % level.

    The standard error of the difference is the jackknife's, each row left out in turn (Efron and Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 11). All arguments are bool `(rows,)`.
    """

    def f1(predicted: Tensor) -> tuple[Tensor, Tensor]:
        """F1 of all rows, and with each row left out."""
        both, total = (predicted & present).double(), predicted.double() + present.double()
        without = 2 * (both.sum() - both) / (total.sum() - total).clamp(min=1)
        return 2 * both.sum() / total.sum().clamp(min=1), without

    (value, without), (value_of_other, without_of_other) = f1(decided), f1(other)
    differences = without - without_of_other
    rows = len(present)
    error = ((rows - 1) / rows * (differences - differences.mean()).square().sum()).sqrt()
    return bool(value - value_of_other > _NORMAL * error)
