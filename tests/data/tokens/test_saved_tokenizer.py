"""A saved tokenizer, read without transformers, is the one that transformers reads."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AlbertTokenizer, BertTokenizer, GPT2Tokenizer, RobertaTokenizer, XLNetTokenizer

from lit_textclf.data.tokens.saved_tokenizer import SavedTokenizer
from lit_textclf.data.tokens.tokenizer import tokenizer_from_files, tokenizer_to_files

PIECES = [(name, 0.0) for name in ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "[CLS]", "[SEP]", "[MASK]")]
MADE: dict[str, Any] = {
    "BERT": lambda: BertTokenizer(vocab={name: row for row, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])}),
    "RoBERTa": lambda: RobertaTokenizer(
        vocab={name: row for row, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a"])}, merges=[],
        model_max_length=512,
    ),
    "ALBERT": lambda: AlbertTokenizer(vocab=[*PIECES, ("\u2581a", -1.0)]),
    "XLNet": lambda: XLNetTokenizer(vocab=[*PIECES, ("\u2581a", -1.0)]),
    "GPT-2": lambda: GPT2Tokenizer(vocab={"a": 0, "<|endoftext|>": 1}, merges=[]),
    "left": lambda: BertTokenizer(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}, padding_side="left"),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_is_the_one_of_transformers(name: str) -> None:
    files = tokenizer_to_files(MADE[name]())
    expected = tokenizer_from_files(files)
    found = SavedTokenizer.from_files(files, expected.model_input_names)
    assert found.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    for attribute in ("model_max_length", "pad_token_id", "pad_token_type_id", "padding_side", "unk_token_id"):
        assert getattr(found, attribute) == getattr(expected, attribute), attribute
    assert (found.pad_token_id is None) == (name == "GPT-2")


def test_damaged() -> None:
    files = tokenizer_to_files(MADE["BERT"]())
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        SavedTokenizer.from_files({**files, "tokenizer.json": files["tokenizer.json"][:100]}, [])
    with pytest.raises(KeyError, match=r"tokenizer\.json"):
        SavedTokenizer.from_files({"tokenizer_config.json": "{}"}, [])
