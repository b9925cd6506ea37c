"""Texts longer than the model reads at once."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, BertTokenizer

from lit_textclf import TextClassifier, UserError, main
from lit_textclf.data.tokens.long_text import LongText
from tests.conftest import sentences, write_csv

TOKENS = np.arange(20, dtype=np.int32)


def test_by_hand() -> None:
    assert [piece.tolist() for piece in LongText().pieces(TOKENS, 6)] == [[0, 1, 2, 3, 4, 5]]
    assert [piece.tolist() for piece in LongText("head_tail").pieces(TOKENS, 6)] == [[0, 1, 2, 17, 18, 19]]
    assert [piece.tolist() for piece in LongText("head_tail").pieces(TOKENS, 5)] == [[0, 1, 2, 18, 19]]
    windows = [piece.tolist() for piece in LongText("window", 4).pieces(TOKENS[:13], 6)]
    assert windows == [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9], [7, 8, 9, 10, 11, 12]]
    windows = [piece.tolist() for piece in LongText("window", 6, max_windows=2).pieces(TOKENS, 6)]
    assert windows == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert LongText("window", None).stride_for(7) == 3
    for mode in ("truncate", "head_tail", "window"):
        assert LongText(mode).pieces(TOKENS[:6], 6)[0].tolist() == list(range(6))  # type: ignore[arg-type]
        assert LongText(mode).pieces(TOKENS[:0], 6)[0].tolist() == []  # type: ignore[arg-type]


@given(
    st.integers(0, 90), st.integers(1, 20), st.integers(1, 20), st.integers(1, 9),
    st.sampled_from(["truncate", "head_tail", "window"]),
)  # fmt: skip
def test_numbers_agree_with_the_pieces(length: int, room: int, stride: int, most: int, mode: str) -> None:
    long_text = LongText(mode, min(stride, room) if mode == "window" else None, most)  # type: ignore[arg-type]
    pieces = long_text.pieces(np.arange(length), room)
    lengths = np.array([length])
    assert len(pieces) == long_text.windows(lengths, room)[0] <= most
    assert sum(map(len, pieces)) == long_text.read(lengths, room)[0]
    assert max(map(len, pieces)) <= room
    read = {token for piece in pieces for token in piece.tolist()}
    assert length - len(read) == long_text.cut_off(lengths, room)[0]
    if mode == "window":  # nothing between two windows is left out, and none holds less than the others
        assert read == set(range(len(read)))
        assert {len(piece) for piece in pieces} == {min(length, room)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("windows",), "data.long_text 'windows': must be one of truncate, head_tail, window"),
        (("window", 0), "data.window_stride 0"),
        (("truncate", 4), "data.window_stride has no meaning with data.long_text truncate"),
        (("window", 4, 0), "data.max_windows 0"),
    ],
)
def test_refused(arguments: tuple[str, ...], expected: str) -> None:
    with pytest.raises(UserError, match=expected.replace(".", r"\.")):
        LongText(*arguments)  # type: ignore[arg-type]


def test_a_stride_that_would_leave_gaps() -> None:
    with pytest.raises(UserError, match=r"data\.window_stride 7: a window has only 6 tokens"):
        LongText("window", 7).pieces(TOKENS, 6)


def documents(number: int) -> list[tuple[str, str]]:
    """Texts of 3 to 60 words, whose label the last word tells."""
    rows = []
    for index in range(number):
        filler = " ".join(["the film was a meal"] * (index % 12))
        rows.append(
            (f"{filler} very {'good' if index % 2 else 'bad'}".strip(), "positive" if index % 2 else "negative")
        )
    return rows


def predicted(path: str, *options: str) -> list[list[float]]:
    main(["predict", "--ckpt_path", path, "--data.predict_file", "d.csv", "--output", "p.csv", "--overwrite", *options])
    with open("p.csv", encoding="utf-8", newline="") as file:
        return [[float(row["prob_negative"]), float(row["prob_positive"])] for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_windows_are_exact_under_any_batch_size(
    pooling: str, fit_args: list[str], tiny_bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_csv(Path("d.csv"), ["text", "label"], documents(40))
    place = fit_args.index("--data.train_file")
    args = [*fit_args[:place], *fit_args[place + 4 :], "--data.train_file", "d.csv", "--data.validation_split", "0.2"]
    main([*args, "--data.long_text", "window", "--data.window_stride", "5", "--data.max_windows", "4",
          "--model.window_pooling", pooling])  # fmt: skip
    err = capfd.readouterr().err
    assert "windows of 16 tokens (stride 5)" in err
    assert "cut off after 4 windows" in err
    path = "lightning_logs/version_0/checkpoints/best.ckpt"
    exact = ["--trainer.precision", "32-true", "--data.eval_batch_size"]
    found = [predicted(path, *exact, size) for size in ("1", "7", "64")]
    for other in found[1:]:
        assert np.array(other) == pytest.approx(np.array(found[0]), abs=1e-6)
    classifier = TextClassifier.load_from_checkpoint(path)
    texts = [text for text, _ in documents(40)]
    direct = np.array([list(row["probabilities"].values()) for row in classifier.classify(texts)])
    assert direct == pytest.approx(np.array(found[0]), abs=1e-6)
    # Each document by hand, window by window, with transformers alone.
    classifier.model.save_pretrained("hf")  # type: ignore[operator,union-attr]
    model = AutoModelForSequenceClassification.from_pretrained("hf").eval()
    tokenizer = BertTokenizer.from_pretrained(tiny_bert)
    for text, expected in zip(texts, found[0], strict=True):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        last = max(len(ids) - 14, 0)
        starts = [*range(0, last, 5), last][:4]
        pieces = [[tokenizer.cls_token_id, *ids[start : start + 14], tokenizer.sep_token_id] for start in starts]
        with torch.inference_mode():
            logits = torch.cat([model(torch.tensor([piece])).logits for piece in pieces])
        pooled = logits.mean(0) if pooling == "mean" else logits.amax(0)
        assert pooled.softmax(-1).tolist() == pytest.approx(expected, abs=1e-5), text


@pytest.mark.slow
def test_head_and_tail_see_the_end(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    write_csv(Path("d.csv"), ["text", "label"], documents(40))
    place = fit_args.index("--data.train_file")
    args = [*fit_args[:place], *fit_args[place + 4 :], "--data.train_file", "d.csv", "--data.validation_split", "0.2"]
    args += ["--trainer.max_epochs", "25", "--model.learning_rate", "5e-3"]
    found = {mode: main([*args, "--data.long_text", mode])["val_accuracy"] for mode in ("truncate", "head_tail")}
    assert found["head_tail"] == 1.0 > found["truncate"]
    assert "cut in the middle, to head and tail of 16 tokens together" in capfd.readouterr().err


def test_windows_read_single_texts(fit_args: list[str], fails: Callable[[list[str]], str]) -> None:
    write_csv(Path("p.csv"), ["text_a", "text_b", "label"], [(a, a, label) for a, label in sentences(8)])
    args = [*fit_args, "--data.train_file", "p.csv", "--data.validation_file", "p.csv", "--data.long_text", "window"]
    assert "data.long_text window reads single texts" in fails(args)
