"""Rows padded into a batch of numpy arrays, which need no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

import numpy as np

from lit_textclf.data.batches.dataset import Encoded
from lit_textclf.data.tokens.long_text import Pooling
from lit_textclf.data.tokens.tokenizer import TextTokenizer
from lit_textclf.utils.messages import UserError


class BatchTokenizer(TextTokenizer, Protocol):
    """What batches need of a tokenizer: one of transformers, or a :class:`SavedTokenizer`."""

    @property
    def model_input_names(self) -> Sequence[str]:
        """The model's arguments."""

    @property
    def pad_token_id(self) -> int | None:
        """The padding token; None if there is none."""

    @property
    def pad_token_type_id(self) -> int:
        """The segment id of padding."""

    @property
    def padding_side(self) -> str:
        """Right or left."""


class ArrayBatch(TypedDict, total=False):
    """A batch as :class:`~lit_textclf.data.batches.collate.Batch` describes it, of arrays in place of tensors."""

    inputs: dict[str, np.ndarray]
    target: np.ndarray
    row: np.ndarray
    tokens: int
    windows: np.ndarray
    part: Any


class Padder:
    """Pads each batch to its longest row, or to a fixed length.

    In place of transformers' `DataCollatorWithPadding`, which takes Python lists: rows here are numpy views of a
    memory-mapped file, and are copied once.

    Args:
        tokenizer: gives the padding token, its segment id and side, and which arguments the model takes.
        pad_to: the fixed length in tokens, or None for each batch's longest row.
        windows: whether rows may have several sequences, which are counted then.
    """

    def __init__(self, tokenizer: BatchTokenizer, pad_to: int | None = None, *, windows: bool = False) -> None:
        if tokenizer.pad_token_id is None:
            raise UserError("the tokenizer has no padding token; choose a model whose tokenizer has one")
        self.padding = {"input_ids": tokenizer.pad_token_id, "attention_mask": 0}
        if "token_type_ids" in tokenizer.model_input_names:
            self.padding["token_type_ids"] = tokenizer.pad_token_type_id
        self.pad_left = tokenizer.padding_side == "left"
        self.pad_to, self.windows = pad_to, windows

    def pad(self, rows: list[Encoded]) -> ArrayBatch:
        """Pads rows into a batch."""
        sequences = [sequence for row in rows for sequence in row.sequences]
        lengths = np.array([len(ids) for ids, _ in sequences])
        width = self.pad_to or max(1, int(lengths.max()))  # GPT-2's tokenizer reads nothing in a blank text
        padded = {name: np.full((len(sequences), width), value, np.int64) for name, value in self.padding.items()}
        for index, ((ids, types), length) in enumerate(zip(sequences, lengths, strict=True)):
            span = slice(width - length, width) if self.pad_left else slice(0, length)
            padded["input_ids"][index, span] = ids
            padded["attention_mask"][index, span] = 1
            if "token_type_ids" in padded:
                padded["token_type_ids"][index, span] = types
        batch = ArrayBatch(inputs=padded, row=np.array([row.row for row in rows]), tokens=int(lengths.sum()))
        if self.windows:
            batch["windows"] = np.array([len(row.sequences) for row in rows])
        if rows[0].target is not None:
            batch["target"] = np.array([row.target for row in rows])
        return batch


def pool(logits: np.ndarray, windows: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Pools the logits of windows as :func:`lit_textclf.data.batches.collate.pool` does, to the same numbers.

    Args:
        logits: float32 `(windows, outputs)`, those of a document next to each other.
        windows: how many each document has, int64 `(batch,)`.
        pooling: `mean` or `max`, of each output by itself.

    Returns:
        float32 `(batch, outputs)`.
    """
    if pooling == "max":
        return np.asarray(np.maximum.reduceat(logits, np.cumsum(windows) - windows))
    pooled = np.zeros((len(windows), logits.shape[1]), np.float32)
    np.add.at(pooled, np.repeat(np.arange(len(windows)), windows), logits)  # row after row, as torch adds
    return np.asarray(pooled / windows[:, None].astype(np.float32))
