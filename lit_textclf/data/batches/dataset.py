"""The fourth room: tokens of one row become a sequence the model reads, and rows become padded batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from lit_textclf.data.tokens.long_text import LongText
from lit_textclf.data.tokens.special_tokens import SpecialTokens, truncated_lengths
from lit_textclf.data.tokens.token_cache import TokenColumn
from lit_textclf.utils.messages import UserError, plural


class Encoded(NamedTuple):
    """One row: its place in the input, its sequences of token ids and segment ids `(tokens,)`, and its target, if any.

    A row has one sequence, or one for each window.
    """

    row: int
    sequences: list[tuple[np.ndarray, np.ndarray]]
    target: np.ndarray | None


class TokenizedDataset(Dataset[Encoded]):
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
        template: SpecialTokens,
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
        return f"{plural(tally['rows'], 'row')}, {self.long_text.report(tally, self.budget, self.max_length)}"
