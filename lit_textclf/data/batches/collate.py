"""Rows padded into a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from lit_textclf.data.batches.dataset import Encoded
from lit_textclf.utils.messages import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Batch(TypedDict, total=False):
    """What a data loader yields.

    `inputs` are the model's arguments (`input_ids`, `attention_mask` and, where the tokenizer has them,
    `token_type_ids`), each int64 `(batch, tokens)`; `target` is int64 or float32 `(batch,)`, for multi-label tasks
    float32 `(batch, outputs)`, and missing for rows without labels; `row` is the row's index in the input, int64
    `(batch,)`; `tokens` counts the real tokens. Where long texts are read in windows the inputs are
    `(windows, tokens)`, and `windows`, int64 `(batch,)`, says how many of them each row has. In prediction the first
    batch of each part of the input has it as `part` (see `predict_dataset.py`).
    """

    inputs: dict[str, Tensor]
    target: Tensor
    row: Tensor
    tokens: int
    windows: Tensor
    part: Any


def as_batch(batch: Mapping[str, Any]) -> Batch:
    """A batch as :class:`Batch` describes it; one of transformers' DataCollatorWithPadding and the like is converted.

    Its `labels` (or `label`) become the target, and its other tensors the inputs. Its rows are numbered from 0.
    """
    if "inputs" in batch:
        return cast(Batch, batch)
    names = [name for name in ("labels", "label") if name in batch]
    inputs = {name: value for name, value in batch.items() if isinstance(value, Tensor) and name not in names}
    if "input_ids" not in inputs:
        raise UserError(f"a batch has {', '.join(batch)}: it must have inputs, as TextDataModule's, or input_ids")
    ids = inputs["input_ids"]
    converted = Batch(inputs=inputs, row=torch.arange(len(ids), device=ids.device))
    if names:
        converted["target"] = batch[names[0]]
    return converted


def as_labelled_batch(batch: Mapping[str, Any]) -> Batch:
    """A batch as :func:`as_batch` converts it, of rows whose labels are known.

    Raises:
        UserError: if it has none; add `labels`, the indices of the labels, to each row.
    """
    converted = as_batch(batch)
    if "target" not in converted:
        raise UserError(
            f"a batch has {', '.join(batch)}, but no labels, which fit, validate and test need: give each row "
            "'labels', the index of its label, or call predict"
        )
    return converted


class Collator:
    """Pads each batch to its longest row, or to a fixed length.

    In place of transformers' `DataCollatorWithPadding`, which takes Python lists: rows here are numpy views of a
    memory-mapped file, and are copied once.

    Args:
        tokenizer: gives the padding token, its segment id and side, and which arguments the model takes.
        pad_to: the fixed length in tokens, or None for each batch's longest row.
        windows: whether rows may have several sequences, which are counted then.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, pad_to: int | None = None, *, windows: bool = False) -> None:
        if tokenizer.pad_token_id is None:
            raise UserError("the tokenizer has no padding token; choose a model whose tokenizer has one")
        self.padding = {"input_ids": tokenizer.pad_token_id, "attention_mask": 0}
        if "token_type_ids" in tokenizer.model_input_names:
            self.padding["token_type_ids"] = tokenizer.pad_token_type_id
        self.pad_left = tokenizer.padding_side == "left"
        self.pad_to, self.windows = pad_to, windows

    def __call__(self, rows: list[Encoded]) -> Batch:
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
        inputs = {name: torch.from_numpy(array) for name, array in padded.items()}
        batch = Batch(inputs=inputs, row=torch.tensor([row.row for row in rows]), tokens=int(lengths.sum()))
        if self.windows:
            batch["windows"] = torch.tensor([len(row.sequences) for row in rows])
        if rows[0].target is not None:
            batch["target"] = torch.from_numpy(np.array([row.target for row in rows]))
        return batch
