"""What words are weighed by: the evidence of a text for a label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lit_textclf.data.labels.target import Target


@dataclass(frozen=True)
class Attribution:
    """What a method finds out about a text.

    Attributes:
        weights: of the words that the model reads, float32 `(words,)`.
        error: how far the weights' sum is from what all words together add to the evidence, as a share of the sum of
            the absolute weights; None if the method promises no such sum.
        steps: between the text without its words and the text, 0 if the method takes none.
    """

    weights: np.ndarray
    error: float | None = None
    steps: int = 0


def evidence(target: Target, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logarithm of a label's odds, p / (1 - p); for regression the value.

    Unlike the probability it does not saturate: words that make a certain label more certain count, too. Unlike the
    logit of one of several labels it changes with the probability alone.

    Args:
        target: task and labels.
        logits: calibrated, float32 `(rows, outputs)`.
        labels: the index of a label for each row, `(rows,)`.

    Returns:
        float64 `(rows,)`.
    """
    wide = logits.astype(np.float64)
    own = np.take_along_axis(wide, labels[:, None], -1)[:, 0]
    if not target.one_label_per_row or wide.shape[1] == 1:
        return own
    others = wide.copy()
    np.put_along_axis(others, labels[:, None], -np.inf, -1)
    return np.asarray(own - np.logaddexp.reduce(others, -1))
