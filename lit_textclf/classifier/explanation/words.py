"""The words of texts, and where their tokens are in the sequences that the model reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lit_textclf.data.batches.dataset import Encoded, Encoder
from lit_textclf.data.batches.padding import ArrayBatch, BatchTokenizer, Padder
from lit_textclf.data.tokens.special_tokens import read_completely

if TYPE_CHECKING:
    from tokenizers import Encoding

TEXT, TEXT_PAIR = "text", "text_pair"
_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese, which do not put spaces between words: each token is one there."""
_NONE = -1
"""The code of a token that belongs to no word, as special tokens and padding."""


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Attributes:
        word: as it is written.
        start: index of its first character in the text.
        end: index after its last character.
        column: `text`, or `text_pair` for the second text of a pair.
    """

    word: str
    start: int
    end: int
    column: str


@dataclass(frozen=True)
class TextWords:
    """A text, or a pair, as words and as sequences.

    Attributes:
        words: in order, those of the second text after those of the first.
        sequences: token ids and segment ids, see :class:`Encoded`.
        positions: for each sequence the index of each token's word, `(tokens,)`; -1 for a special token.
    """

    words: tuple[Word, ...]
    sequences: list[tuple[np.ndarray, np.ndarray]]
    positions: list[np.ndarray]

    @property
    def read(self) -> np.ndarray:
        """The indices of the words of which the model reads at least one token, `(words,)`; others were cut off."""
        found = np.unique(np.concatenate(self.positions))
        return np.asarray(found[found != _NONE])

    @property
    def tokens(self) -> int:
        """The number of tokens in all sequences."""
        return sum(len(ids) for ids, _ in self.sequences)

    def without(self, word: int, replacement: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The sequences with a replacement in place of each token of a word."""
        return [
            (np.where(positions == word, replacement, ids), types)
            for (ids, types), positions in zip(self.sequences, self.positions, strict=True)
        ]

    def without_words(self, replacement: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The sequences with a replacement in place of each token that belongs to a word."""
        return [
            (np.where(positions == _NONE, ids, replacement), types)
            for (ids, types), positions in zip(self.sequences, self.positions, strict=True)
        ]


def replacement_of(tokenizer: BatchTokenizer) -> int:
    """The token in place of words that are left out: the mask, or else the unknown or the padding token."""
    found = [getattr(tokenizer, f"{name}_token_id", None) for name in ("mask", "unk", "pad")]
    return int(next(token for token in found if token is not None))


def words_of(
    texts: Sequence[str], text_pairs: Sequence[str] | None, tokenizer: BatchTokenizer, encoder: Encoder
) -> list[TextWords]:
    """The words of texts or pairs, with the sequences in which a model reads them."""
    read_completely(tokenizer)
    columns = [
        [_split(*each, column) for each in zip(texts_of, _encoded(tokenizer, texts_of), strict=True)]
        for column, texts_of in ((TEXT, texts), (TEXT_PAIR, text_pairs))
        if texts_of is not None
    ]
    return [_text_words(row, encoder) for row in zip(*columns, strict=True)]


def _encoded(tokenizer: BatchTokenizer, texts: Sequence[str]) -> list[Encoding]:
    return tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)


def _split(text: str, found: Encoding, column: str) -> tuple[list[Word], np.ndarray, np.ndarray]:
    """The words of a text, the ids of its tokens, and the index of each token's word, `(tokens,)`."""
    words: list[Word] = []
    index, before = np.full(len(found.ids), _NONE), None
    for token, (of, (start, end)) in enumerate(zip(found.word_ids, found.offsets, strict=True)):
        written = text[start:end]
        if not written.strip():
            continue
        start, end = start + len(written) - len(written.lstrip()), start + len(written.rstrip())
        if words and of is not None and of == before and not _NO_SPACES.search(text, words[-1].start, end):
            start, end = words[-1].start, max(end, words[-1].end)
            words[-1] = Word(text[start:end], start, end, column)
        elif not words or (start, end) != (words[-1].start, words[-1].end):  # tokens of one character's bytes
            words.append(Word(text[start:end], start, end, column))
        index[token], before = len(words) - 1, of
    return words, np.array(found.ids, np.int64), index


def _text_words(columns: Sequence[tuple[list[Word], np.ndarray, np.ndarray]], encoder: Encoder) -> TextWords:
    """Puts tokens into sequences, and the indices of their words in the same way.

    The encoder cuts texts and adds special tokens; it does so with any numbers. Those of words are negative here, to
    tell them from the ids of special tokens.
    """
    codes, before = [], 0
    for words, _, index in columns:
        codes.append(np.where(index == _NONE, _NONE, -2 - before - index))
        before += len(words)
    sequences = encoder.sequences(*(ids for _, ids, _ in columns))
    positions = [np.where(found < _NONE, -2 - found, _NONE) for found, _ in encoder.sequences(*codes)]
    return TextWords(tuple(word for words, _, _ in columns for word in words), sequences, positions)


def sorted_batches(
    sequences: Sequence[list[tuple[np.ndarray, np.ndarray]]], padder: Padder, batch_size: int
) -> Iterator[ArrayBatch]:
    """Batches of rows, given by their sequences, sorted by length, the longest first."""
    order = np.argsort([-sum(len(ids) for ids, _ in row) for row in sequences], kind="stable").tolist()
    for start in range(0, len(order), batch_size):
        yield padder.pad([Encoded(row, sequences[row], None) for row in order[start : start + batch_size]])
