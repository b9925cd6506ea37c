"""Special tokens around one text or two, and how a pair is truncated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens around one text or two, and the segment ids that go with each part.

    Read off the tokenizer by asking it for one text and for a pair, so that BERT's `[CLS] A [SEP] B [SEP]`, RoBERTa's
    `<s> A </s></s> B </s>` and XLNet's `A <sep> B <sep> <cls>` all come out as the tokenizer has them.
    """

    single: tuple[np.ndarray, ...]
    single_types: tuple[np.ndarray, ...]
    pair: tuple[np.ndarray, ...]
    pair_types: tuple[np.ndarray, ...]

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerFast) -> SpecialTokens:
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
    """Cuts the template's encoding at the texts; see :meth:`SpecialTokens.build` for the form of the segment ids."""
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
