"""Texts in memory become the batches that a data set of rows and a data loader make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lit_textclf.data.batches.collate import Batch, Collator, as_tensors
from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.data.batches.samplers import SortedWindowSampler
from lit_textclf.data.batches.texts import batches_of_texts, checked_texts
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.tokens.long_text import LongText
from lit_textclf.data.tokens.tokenizer import load_tokenizer
from lit_textclf.utils.messages import UserError

MIXED = ["the film was good .", "", " \t ", "a " * 40, "bad", "caf\u00e9 goods", "the very very bad meal " * 9, "film"]
SECOND = ["bad", "good " * 30, "", "", "the book", "a film", "was not very good " * 7, " "]
CASES = {
    "one": (MIXED[:1], None, {}),
    "one blank": (["  "], None, {}),
    "mixed": (MIXED, None, {}),
    "both ends": (MIXED, None, {"long_text": "head_tail"}),
    "windows": (MIXED, None, {"long_text": "window", "window_stride": 3, "max_windows": 4}),
    "one in windows": (MIXED[3:4], None, {"long_text": "window"}),
    "pairs": (MIXED, SECOND, {}),
    "one pair": (MIXED[6:7], SECOND[6:7], {}),
    "both ends of pairs": (MIXED, SECOND, {"long_text": "head_tail"}),
    "many": (MIXED * 30, None, {}),
}


def with_a_loader(
    texts: list[str], pairs: list[str] | None, tokenizer: Any, max_length: int, read_as: dict[str, Any], size: int
) -> list[Batch]:
    long_text = LongText(
        read_as.get("long_text", "truncate"), read_as.get("window_stride"), read_as.get("max_windows", 8)
    )
    rows = TokenizedDataset(rows_of_texts(texts, pairs), tokenizer, max_length, long_text)
    collate = Collator(tokenizer, windows=long_text.mode == "window")
    order = SortedWindowSampler(rows.lengths, len(rows))
    return list(DataLoader(rows, batch_size=size, sampler=order, collate_fn=collate))


@pytest.mark.parametrize("case", CASES)
def test_batches_are_those_of_a_data_loader(case: str, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_textclf.data.batches.texts.CHUNK_TEXTS", 7)
    tokenizer = load_tokenizer(str(tiny_bert), "tokenizer")
    texts, pairs, read_as = CASES[case]
    found = [as_tensors(batch) for batch in batches_of_texts(texts, pairs, tokenizer, 12, read_as, 5)]
    expected = with_a_loader(texts, pairs, tokenizer, 12, read_as, 5)
    assert len(found) == len(expected) == -(-len(texts) // 5)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        tensors = {**theirs["inputs"], **{name: theirs[name] for name in ("row", "windows") if name in theirs}}
        for name, tensor in tensors.items():
            of_texts = ours["inputs"].get(name, ours.get(name))
            assert of_texts.dtype == tensor.dtype == torch.int64
            assert torch.equal(of_texts, tensor), name
        assert ours["tokens"] == theirs["tokens"]


def test_a_data_loader_refuses_the_same_options(tiny_bert: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_bert), "tokenizer")
    for pairs, max_length, read_as in [
        (None, 2, {}), (["bad"], 4, {}), (["bad"], 12, {"long_text": "window"}), (None, 12, {"long_text": "middle"}),
        (None, 12, {"long_text": "window", "window_stride": 11}),
    ]:  # fmt: skip
        with pytest.raises(UserError) as expected:
            with_a_loader(["good"], pairs, tokenizer, max_length, read_as, 5)
        with pytest.raises(UserError) as found:
            list(batches_of_texts(["good"], pairs, tokenizer, max_length, read_as, 5))
        assert str(found.value) == str(expected.value)


def test_any_sequence_of_texts_becomes_a_list() -> None:
    assert checked_texts(np.array(["good", "bad"]), ("a", "b"), "classify") == (["good", "bad"], ["a", "b"])
    assert checked_texts((text for text in ["good"]), None, "classify") == (["good"], None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^classify: text_pairs\[1\] is 3: must be a string$"):
        checked_texts(["good", "bad"], ["film", 3], "classify")  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"^classify: 2 texts need as many text_pairs; give a list of them$"):
        checked_texts(["good", "bad"], "ab", "classify")
    with pytest.raises(UnicodeEncodeError):
        checked_texts(["\ud800"], None, "classify")
