"""Special tokens around one text or two, and how a pair is truncated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lit_textclf.data.tokens.tokenizer import TextTokenizer


def read_completely(tokenizer: TextTokenizer) -> None:
    """Removes the truncation and padding that many a tokenizer.json sets."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens before, between and after one text or two, and the segment ids of each part.

    They are found by encoding a text or a pair, so that BERT's `[CLS] A [SEP] B [SEP]`, RoBERTa's
    `<s> A </s></s> B </s>` and XLNet's `A <sep> B <sep> <cls>` all come out exactly as the tokenizer makes them.

    Attributes:
        ids: the token ids of each part.
        types: the segment ids of each part; those after a text begin with the segment id of the text itself.
    """

    ids: tuple[np.ndarray, ...]
    types: tuple[np.ndarray, ...]

    @classmethod
    def from_tokenizer(cls, tokenizer: TextTokenizer, *, pair: bool) -> SpecialTokens:
        """Encodes a text, or a pair, to find its special tokens."""
        backend = tokenizer.backend_tokenizer
        read_completely(tokenizer)
        found = backend.encode("a", "a") if pair else backend.encode("a")
        sequence, ids, types = found.sequence_ids, np.array(found.ids), np.array(found.type_ids)
        parts, part_types, start = [], [], 0
        own: list[int] = []
        for text in range(2 if pair else 1):
            inside = [index for index, of in enumerate(sequence) if of == text]
            parts.append(ids[start : inside[0]])
            part_types.append(np.concatenate([own, types[start : inside[0]]]).astype(np.int64))
            start, own = inside[-1] + 1, [int(types[inside[0]])]
        parts.append(ids[start:])
        part_types.append(np.concatenate([own, types[start:]]).astype(np.int64))
        return cls(tuple(parts), tuple(part_types))

    def __len__(self) -> int:
        """How many special tokens are added to a text, or to a pair."""
        return sum(map(len, self.ids))

    def build(self, *texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Puts the special tokens around one text or two.

        Returns:
            Token ids and segment ids, each `(tokens,)`.
        """
        ids, types = [self.ids[0]], [self.types[0]]
        for index, text in enumerate(texts, 1):
            ids += [text, self.ids[index]]
            types += [np.full(len(text), self.types[index][0], np.int64), self.types[index][1:]]
        return np.concatenate(ids), np.concatenate(types)


def truncated_lengths(first: int, second: int, budget: int) -> tuple[int, int]:
    """How many tokens of each text of a pair are kept; the longer text is cut first.

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
