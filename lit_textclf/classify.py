"""Texts in memory, classified without a Trainer, and what logits say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lit_textclf.batches import Collator, EncodedRows, Template
from lit_textclf.labels import Target
from lit_textclf.long_text import LongText
from lit_textclf.rows import Rows
from lit_textclf.sampling import SortedWindows
from lit_textclf.tokens import tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lit_textclf.classifier import TextClassifier


def batches_of(
    rows: Rows, tokenizer: PreTrainedTokenizerFast, max_length: int, read_as: Mapping[str, Any], batch_size: int
) -> DataLoader[Any]:
    """Batches of rows sorted by length, the longest first.

    Args:
        rows: the rows.
        tokenizer: the tokenizer.
        max_length: the most tokens that are read of a row.
        read_as: `long_text`, `window_stride` and `max_windows`, as far as they are not the defaults.
        batch_size: rows of a batch.
    """
    tokens = tokenize(rows.text, tokenizer)
    pairs = None if rows.text_pair is None else tokenize(rows.text_pair, tokenizer)
    long_text = LongText(
        read_as.get("long_text", "truncate"), read_as.get("window_stride"), read_as.get("max_windows", 8)
    )
    encoded = EncodedRows(tokens, pairs, Template.of(tokenizer), max_length, long_text)
    collator = Collator(tokenizer, windows=long_text.mode == "window")
    order = SortedWindows(encoded.lengths, max(1, len(encoded)))
    return DataLoader(encoded, batch_size=batch_size, sampler=order, collate_fn=collator)


@torch.inference_mode()
def logits_in_order(classifier: TextClassifier, loader: DataLoader[Any]) -> Tensor:
    """The logits of a loader's rows, in the rows' order, float32 `(rows, outputs)`; each module keeps its mode."""
    modes = {module: module.training for module in classifier.modules()}
    classifier.eval()
    try:
        found = [
            classifier.predict_step(classifier.transfer_batch_to_device(batch, classifier.device, 0))
            for batch in loader
        ]
    finally:
        for module, mode in modes.items():
            module.training = mode
    row, logits = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return logits[row.argsort()]


def describe(target: Target, logits: Tensor) -> list[dict[str, Any]]:
    """What logits `(rows, outputs)` say, in words; see :meth:`TextClassifier.classify`."""
    if target.task == "regression":
        return [{"prediction": value} for value in logits.squeeze(-1).tolist()]
    if target.task == "multi_label":
        chances = logits.sigmoid()
        return [
            {"labels": names, "probabilities": dict(zip(target.labels, row, strict=True))}
            for names, row in zip(target.chosen(chances.numpy()), chances.tolist(), strict=True)
        ]
    probabilities = logits.softmax(-1).numpy()
    return [
        {
            "label": target.labels[best],
            "score": float(row[best]),
            "probabilities": dict(zip(target.labels, row.tolist(), strict=True)),
        }
        for row, best in zip(probabilities, np.argmax(probabilities, axis=-1), strict=True)
    ]
