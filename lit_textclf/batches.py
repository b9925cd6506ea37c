"""The fourth room: tokens of one row become a sequence the model reads, and rows become padded batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_textclf.errors import UserError, count
from lit_textclf.long_text import LongText
from lit_textclf.tokens import TokenColumn, special_values

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Batch(TypedDict, total=False):
    """What a data loader yields.

    `inputs` holds the model's arguments (`input_ids`, `attention_mask` and, where the tokenizer has them,
    `token_type_ids`), each int64 `(batch, tokens)`; `target` is int64 or float32 `(batch,)`, for multi-label tasks
    float32 `(batch, outputs)`, and missing for rows without labels; `row` is the row's place in the input, int64
    `(batch,)`; `tokens` counts the real tokens. Where long texts are read in windows the inputs are
    `(windows, tokens)`, and `windows`, int64 `(batch,)`, says how many of them each row has. In prediction the first
    batch of each part of the input has it as `part` (see `part_batches.py`).
    """

    inputs: dict[str, Tensor]
    target: Tensor
    row: Tensor
    tokens: int
    windows: Tensor
    part: Any


class Encoded(NamedTuple):
    """One row: its place in the input, its sequences of token ids and segment ids `(tokens,)`, and its target, if any.

    A row has one sequence, or one for each window.
    """

    row: int
    sequences: list[tuple[np.ndarray, np.ndarray]]
    target: np.ndarray | None


@dataclass(frozen=True)
class Template:
    """The special tokens around one text or two, and the segment ids that go with each part.

    Read off the tokenizer by asking it for one text and for a pair, so that BERT's `[CLS] A [SEP] B [SEP]`, RoBERTa's
    `<s> A </s></s> B </s>` and XLNet's `A <sep> B <sep> <cls>` all come out as the tokenizer has them.
    """

    single: tuple[np.ndarray, ...]
    single_types: tuple[np.ndarray, ...]
    pair: tuple[np.ndarray, ...]
    pair_types: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> Template:
        """Asks the tokenizer."""
        single = _parts(tokenizer, pair=False)
        pair = _parts(tokenizer, pair=True)
        return cls(single[0], single[1], pair[0], pair[1])

    def special_tokens(self, *, pair: bool) -> int:
        """How many tokens the template adds."""
        return sum(len(part) for part in (self.pair if pair else self.single))

    def build(self, first: np.ndarray, second: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Puts one text or two into the template.

        Returns:
            Token ids and segment ids, each `(tokens,)`.
        """
        texts = [first] if second is None else [first, second]
        around, types = (self.single, self.single_types) if second is None else (self.pair, self.pair_types)
        ids, type_ids = [around[0]], [types[0]]
        for place, text in enumerate(texts):
            # The text's own segment id is kept as the first element of the part after it.
            ids += [text, around[place + 1]]
            type_ids += [np.full(len(text), types[place + 1][0], np.int64), types[place + 1][1:]]
        return np.concatenate(ids), np.concatenate(type_ids)


def _parts(tokenizer: PreTrainedTokenizerFast, *, pair: bool) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Cuts the template's encoding at the texts; see :meth:`Template.build` for the form of the segment ids."""
    encoding = tokenizer("a", "a") if pair else tokenizer("a")
    backend = encoding.encodings[0]
    sequence, ids, types = backend.sequence_ids, np.array(backend.ids), np.array(backend.type_ids)
    parts, part_types, start = [], [], 0
    own: list[int] = []
    for place in range(2 if pair else 1):
        inside = [index for index, of in enumerate(sequence) if of == place]
        parts.append(ids[start : inside[0]])
        part_types.append(np.concatenate([own, types[start : inside[0]]]).astype(np.int64))
        start, own = inside[-1] + 1, [int(types[inside[0]])]
    parts.append(ids[start:])
    part_types.append(np.concatenate([own, types[start:]]).astype(np.int64))
    return tuple(parts), tuple(part_types)


def truncated_lengths(first: int, second: int, budget: int) -> tuple[int, int]:
    """How many tokens of each text of a pair are kept: the longer text gives first.

    The rule of `tokenizers` for `longest_first`, which is what `truncation=True` means for pairs
    (tokenizers/src/utils/truncation.rs).

    Example:
        >>> truncated_lengths(10, 3, 9), truncated_lengths(10, 10, 9), truncated_lengths(2, 3, 9)
        ((6, 3), (4, 5), (2, 3))
    """
    if first + second <= budget:
        return first, second
    short, long = min(first, second), max(first, second)
    long = short if short > budget else max(short, budget - short)
    if short + long > budget:
        short = budget // 2
        long = short + budget % 2
    return (long, short) if first > second else (short, long)


class EncodedRows(Dataset[Encoded]):
    """Rows ready for the collator.

    Args:
        tokens: the first texts' tokens.
        pair_tokens: the second texts' tokens, or None.
        template: the special tokens.
        max_length: the most tokens a sequence may have, special tokens counted.
        long_text: what is done with longer ones.
        targets: what is to be predicted, `(rows,)` or `(rows, outputs)`, or None.
        indices: the rows of `tokens` that belong to this set, `(rows,)`; None for all.
    """

    def __init__(
        self,
        tokens: TokenColumn,
        pair_tokens: TokenColumn | None,
        template: Template,
        max_length: int,
        long_text: LongText | None = None,
        targets: np.ndarray | None = None,
        indices: np.ndarray | None = None,
    ) -> None:
        self.tokens, self.pair_tokens, self.template = tokens, pair_tokens, template
        self.long_text, self.max_length = long_text or LongText(), max_length
        if self.long_text.mode == "window" and pair_tokens is not None:
            raise UserError("data.long_text window reads single texts; use head_tail or truncate for pairs")
        self.targets = targets
        self.indices = np.arange(len(tokens)) if indices is None else indices
        self.budget = max_length - template.special_tokens(pair=pair_tokens is not None)
        if self.budget < 1 + (pair_tokens is not None):
            raise UserError(f"data.max_length {max_length} leaves no room for text beside the special tokens")
        lengths = tokens.lengths[self.indices]
        if pair_tokens is not None:
            lengths = lengths + pair_tokens.lengths[self.indices]
        self.full_lengths = lengths
        special = max_length - self.budget
        self.lengths = self.long_text.read(lengths, self.budget) + special * self.long_text.windows(
            lengths, self.budget
        )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Encoded:
        index = int(self.indices[position])
        first = self.tokens[index]
        if self.pair_tokens is None:
            sequences = [self.template.build(piece, None) for piece in self.long_text.pieces(first, self.budget)]
        else:
            second = self.pair_tokens[index]
            keep = truncated_lengths(len(first), len(second), self.budget)
            ends = [self.long_text.pieces(text, room)[0] for text, room in zip((first, second), keep, strict=True)]
            sequences = [self.template.build(*ends)]
        return Encoded(index, sequences, None if self.targets is None else self.targets[index])

    @property
    def truncated(self) -> int:
        """How many rows are not read whole."""
        return int((self.long_text.cut_off(self.full_lengths, self.budget) > 0).sum())

    def tally(self) -> dict[str, int]:
        """Counts the rows and what is done with the long ones."""
        return self.long_text.tally(self.full_lengths, self.budget)

    def report(self, tally: Mapping[str, int] | None = None) -> str:
        """Says how many rows there are and what is done with the long ones, of these rows or of a tally."""
        tally = self.tally() if tally is None else tally
        return f"{count(tally['rows'], 'row')}, {self.long_text.report(tally, self.budget, self.max_length)}"


class Collator:
    """Pads each batch to its longest row, or to a fixed length.

    In place of transformers' `DataCollatorWithPadding`, which takes Python lists: rows here are numpy views of a
    memory-mapped file, and are copied once.

    Args:
        tokenizer: gives the padding token, its segment id and side, and which arguments the model takes.
        pad_to: the fixed length in tokens, or None for each batch's longest row.
        windows: whether rows may have several sequences; their numbers are given then.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, pad_to: int | None = None, *, windows: bool = False) -> None:
        self.padding = special_values(tokenizer)
        self.with_type_ids = "token_type_ids" in tokenizer.model_input_names
        self.pad_to, self.windows = pad_to, windows

    def __call__(self, rows: list[Encoded]) -> Batch:
        """Pads rows into a batch."""
        sequences = [sequence for row in rows for sequence in row.sequences]
        lengths = np.array([len(ids) for ids, _ in sequences])
        width = self.pad_to or int(lengths.max())
        ids = np.full((len(sequences), width), self.padding["pad_id"], np.int64)
        mask = np.zeros((len(sequences), width), np.int64)
        types = np.full((len(sequences), width), self.padding["pad_type_id"], np.int64)
        for place, ((of_row, types_of_row), length) in enumerate(zip(sequences, lengths, strict=True)):
            span = slice(width - length, width) if self.padding["left"] else slice(0, length)
            ids[place, span] = of_row
            mask[place, span] = 1
            types[place, span] = types_of_row
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if self.with_type_ids:
            inputs["token_type_ids"] = torch.from_numpy(types)
        batch = Batch(inputs=inputs, row=torch.tensor([row.row for row in rows]), tokens=int(lengths.sum()))
        if self.windows:
            batch["windows"] = torch.tensor([len(row.sequences) for row in rows])
        if rows[0].target is not None:
            batch["target"] = torch.from_numpy(np.array([row.target for row in rows]))
        return batch
