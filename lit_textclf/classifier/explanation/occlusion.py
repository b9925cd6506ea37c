"""Occlusion: how much the evidence for a label drops when a word is replaced by the mask token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lit_textclf.classifier.explanation.evidence import Attribution, evidence
from lit_textclf.classifier.explanation.words import TextWords, replacement_of, sorted_batches

if TYPE_CHECKING:
    from lit_textclf.classifier.inference.classify import ClassifiesTexts
    from lit_textclf.data.batches.padding import Padder

_SEQUENCES = 4_096
"""The most variants of texts that are kept at once."""


def occlusion(
    model: ClassifiesTexts, texts: Sequence[TextWords], labels: np.ndarray, padder: Padder, batch_size: int
) -> list[Attribution]:
    """The drop of a label's evidence without each word (Zeiler and Fergus 2014, for words).

    One run of the model for each word and one for each text: exact, without gradients, on any engine.

    Args:
        model: computes logits.
        texts: what is explained.
        labels: the index of the label of each text, `(texts,)`.
        padder: pads rows into batches.
        batch_size: rows in a batch.
    """
    found: list[Attribution] = []
    start = 0
    while start < len(texts):
        end, variants = start, 0
        while end < len(texts) and (end == start or variants + len(texts[end].words) < _SEQUENCES):
            variants, end = variants + len(texts[end].words) + 1, end + 1
        found += _occlusion(model, texts[start:end], labels[start:end], padder, batch_size)
        start = end
    return found


def _occlusion(
    model: ClassifiesTexts, texts: Sequence[TextWords], labels: np.ndarray, padder: Padder, batch_size: int
) -> list[Attribution]:
    replacement = replacement_of(model.tokenizer)
    variants = [
        sequences
        for text in texts
        for sequences in (text.sequences, *(text.without(word, replacement) for word in text.read.tolist()))
    ]
    logits = model.logits_in_order(sorted_batches(variants, padder, batch_size))
    counts = np.array([1 + len(text.read) for text in texts])
    assert model.target is not None
    values = evidence(model.target, model.calibration.apply(logits), np.repeat(labels, counts))
    return [
        Attribution((each[0] - each[1:]).astype(np.float32))
        for each in np.split(values.astype(np.float64), np.cumsum(counts)[:-1])
    ]
