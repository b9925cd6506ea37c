"""Whether a model is better than a constant prediction by more than chance.

Accuracy would not do: of rows that nearly all have one label, a useful model may give that label to all of them. So the
question is whether labels depend on the logits at all. If they do, some temperature and bias give a smaller log loss
than the labels' frequencies.
"""

from __future__ import annotations

import numpy as np

from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.utils.messages import plural

MIN_ROWS = 10
"""Rows below which the normal approximation of the tests is too rough."""
_NORMAL = 2.326
"""The standard errors that chance exceeds in 1 % of samples: one of several epochs was chosen by the same rows."""


def are_related(predicted: np.ndarray, true: np.ndarray) -> bool:
    """Whether rows' predictions fit their own labels better than those of other rows, in a one-sided test.

    It is the permutation test of the sum of products of both, with the moments that Hoeffding (1951, "A Combinatorial
    Central Limit Theorem") gives. For log probabilities it is also the score test of the inverse temperature 0 of a
    model that has the labels' frequencies as its bias.

    Args:
        predicted: logits, or decisions as zeros and ones, `(rows, outputs)`.
        true: zeros and ones, `(rows, outputs)`.
    """
    rows = len(true)
    if rows < MIN_ROWS:
        return False
    predicted, true = (each - each.mean(0) for each in (predicted.astype(float), true.astype(float)))
    variance = ((predicted.T @ predicted) * (true.T @ true)).sum() / (rows - 1)
    return bool((predicted * true).sum() > _NORMAL * np.sqrt(variance))


def has_skill(target: Target, logits: np.ndarray, targets: np.ndarray) -> bool:
    """Whether a model is better than a constant by more than chance, in a one-sided test at the 1 % level.

    The constant is the labels' frequencies in the rows, see :func:`are_related`, or for regression their mean, whose
    squared errors are compared row by row. Logits are raw, `(rows, outputs)`, targets those of :meth:`Target.encode`.
    """
    decisions, rows = decisions_of(target), len(targets)
    if target.has_probabilities:
        return are_related(logits, decisions.presence(targets, target.num_outputs))
    if rows < MIN_ROWS:
        return False
    constant = np.full((rows, 1), targets.mean())
    gain = decisions.row_losses(constant, targets) - decisions.row_losses(logits, targets)
    return bool(gain.mean() > _NORMAL * gain.std(ddof=1) / rows**0.5)


def describe_no_skill(outcomes: Outcomes) -> str:
    """One line about a model without skill: on how many rows, what it does not learn therefore, and what to do."""
    target, targets, rows = outcomes.target, outcomes.targets, plural(len(outcomes.targets), "row")
    constant = decisions_of(target).constant[1]
    if target.one_label_per_row:
        constant = repr(target.labels[int(np.bincount(targets).argmax())])
    constant = f"better than always predicting {constant}"
    consequence = "; no temperature, thresholds or suspected labels" if target.has_probabilities else ""
    if len(targets) < MIN_ROWS or bool((targets == targets[0]).all()):
        enough = f"at least {MIN_ROWS} rows with different {'labels' if target.has_probabilities else 'values'}"
        return f"{rows} cannot show whether the model is {constant}{consequence}; use {enough}"
    remedy = "raise trainer.max_epochs or model.learning_rate, or add training rows"
    return f"the model is not {constant} by more than chance on {rows}{consequence}; {remedy}"
