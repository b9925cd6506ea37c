"""Words and the positions of their tokens, with BERT's tokenizer of a few words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lit_textclf.classifier.explanation.words import TextWords, words_of
from lit_textclf.data.batches.dataset import Encoder
from lit_textclf.data.tokens.long_text import LongText
from lit_textclf.data.tokens.tokenizer import load_tokenizer


@pytest.fixture
def words(tiny_bert: Path):
    tokenizer = load_tokenizer(str(tiny_bert), "test")

    def found(
        text: str, pair: str | None = None, *, max_length: int = 48, long_text: LongText | None = None
    ) -> TextWords:
        encoder = Encoder(tokenizer, max_length, long_text or LongText(), pair=pair is not None)
        return words_of([text], None if pair is None else [pair], tokenizer, encoder)[0]

    found.tokenizer = tokenizer
    return found


def test_words_are_whole_and_where_they_stand(words) -> None:
    found = words("  Films, good\nfilms.")
    assert [(word.word, word.start, word.end) for word in found.words] == [
        ("Films", 2, 7), (",", 7, 8), ("good", 9, 13), ("films", 14, 19), (".", 19, 20),
    ]  # fmt: skip
    [positions] = found.positions
    tokens = words.tokenizer.convert_ids_to_tokens(found.sequences[0][0])
    assert tokens == ["[CLS]", "film", "##s", "[UNK]", "good", "film", "##s", ".", "[SEP]"]
    assert positions.tolist() == [-1, 0, 0, 1, 2, 3, 3, 4, -1]


def test_sequences_are_those_that_the_model_reads(words) -> None:
    text, pair = "good film was very bad", "a book"
    for first, second in ((text, None), (text, pair)):
        expected = words.tokenizer(first, second)
        [(ids, types)] = words(first, second).sequences
        assert (ids.tolist(), types.tolist()) == (expected["input_ids"], expected["token_type_ids"])


def test_pairs_and_truncation(words) -> None:
    found = words("good film was very bad", "a book", max_length=8)
    assert [word.column for word in found.words] == ["text"] * 5 + ["text_pair"] * 2
    assert found.positions[0].tolist() == [-1, 0, 1, 2, -1, 5, 6, -1]
    assert found.read.tolist() == [0, 1, 2, 5, 6]


@pytest.mark.parametrize(
    ("long_text", "positions"),
    [
        (LongText("head_tail"), [[-1, 0, 1, 5, 6, -1]]),
        (LongText("window", 2), [[-1, 0, 1, 2, 3, -1], [-1, 2, 3, 4, 5, -1], [-1, 3, 4, 5, 6, -1]]),
        (LongText("window", 2, 2), [[-1, 0, 1, 2, 3, -1], [-1, 2, 3, 4, 5, -1]]),
    ],
    ids=["head_tail", "windows", "too_few_windows"],
)
def test_long_texts(words, long_text: LongText, positions: list[list[int]]) -> None:
    found = words("good film was very bad a book", max_length=6, long_text=long_text)
    assert [each.tolist() for each in found.positions] == positions
    assert found.read.tolist() == sorted({index for each in positions for index in each if index >= 0})


def test_without_a_word(words) -> None:
    found, mask = words("films was good"), words.tokenizer.mask_token_id
    ids = found.sequences[0][0]
    [(without, _)] = found.without(0, mask)
    assert without.tolist() == [ids[0], mask, mask, *ids[3:]]
    [(bare, _)] = found.without_words(mask)
    assert np.flatnonzero(bare != mask).tolist() == [0, 5]


def test_characters_are_words_where_nothing_separates_words(words) -> None:
    """BERT's tokenizer separates Chinese characters; Thai is one word to it, whose tokens count here."""
    assert [word.word for word in words("很好 film").words] == ["很", "好", "film"]


def test_a_blank_text_has_no_words(words) -> None:
    found = words(" ")
    assert found.words == ()
    assert found.read.tolist() == []
