"""Rows padded into a batch of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from lit_textclf.data.batches.dataset import Encoded
from lit_textclf.data.batches.padding import ArrayBatch, Padder
from lit_textclf.data.tokens.long_text import Pooling
from lit_textclf.utils.messages import UserError


class Batch(TypedDict, total=False):
    """What a data loader yields.

    `inputs` are the model's arguments (`input_ids`, `attention_mask` and, where the tokenizer has them,
    `token_type_ids`), each int64 `(batch, tokens)`; `target` is int64 or float32 `(batch,)`, for multi-label tasks
    float32 `(batch, outputs)`, and missing for rows without labels; `row` is the row's index in the input, int64
    `(batch,)`; `tokens` counts the real tokens. Where long texts are read in windows the inputs are
    `(windows, tokens)`, and `windows`, int64 `(batch,)`, says how many of them each row has. In prediction the first
    batch of each part of the input has it as `part` (see `parts.py`).
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


def as_tensors(batch: ArrayBatch) -> Batch:
    """A batch of arrays as one of tensors, which share their memory."""
    values: dict[str, Any] = {name: _tensor(value) for name, value in batch.items()}
    return cast(Batch, {**values, "inputs": {name: _tensor(array) for name, array in batch["inputs"].items()}})


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


class Collator(Padder):
    """Pads rows into batches of tensors, for a data loader."""

    def __call__(self, rows: list[Encoded]) -> Batch:
        """Pads rows into a batch."""
        return as_tensors(self.pad(rows))


def pool(logits: Tensor, windows: Tensor, pooling: Pooling) -> Tensor:
    """Pools the logits of windows into those of their documents.

    Args:
        logits: float32 `(windows, outputs)`, those of a document next to each other.
        windows: how many each document has, int64 `(batch,)`.
        pooling: `mean` or `max`, of each output by itself.

    Returns:
        float32 `(batch, outputs)`.
    """
    index = torch.arange(len(windows), device=logits.device)
    document = torch.repeat_interleave(index, windows, output_size=len(logits))  # a GPU would wait to add them up
    pooled = logits.new_zeros(len(windows), logits.shape[1])
    if pooling == "max":
        index = document[:, None].expand_as(logits)
        return pooled.scatter_reduce(0, index, logits, "amax", include_self=False)
    return pooled.index_add(0, document, logits) / windows[:, None]
