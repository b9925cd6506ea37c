"""Lengths in tokens, truncated texts and unknown tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lit_textclf.check.lengths import Unknown, check_lengths, histogram, lengths_of, sample_of, unknown_tokens
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.tokens.tokenizer import load_tokenizer
from tests.check.conftest import examination


def test_lengths_of_a_sample_are_scaled_up(tiny_bert: Path) -> None:
    rows = rows_of_texts(["good film"] * 300 + ["a very very bad film"] * 100)
    tokenizer = load_tokenizer(str(tiny_bert), "x")
    whole, part = lengths_of(rows, tokenizer, 5, None), lengths_of(rows, tokenizer, 5, None, sample=200)
    assert (whole.truncated, whole.sampled) == (100, None)
    assert part.sampled == len(part.lengths) == 200
    assert part.truncated == pytest.approx(100, abs=25)
    assert part.to_dict()["tokens"]["sampled_rows"] == 200


def test_the_histogram_holds_every_row() -> None:
    for lengths in (np.array([5]), np.arange(1, 300), np.array([1] * 50 + [9999]), np.array([3, 3, 4])):
        bins = histogram(lengths)
        assert sum(rows for *_, rows in bins) == len(lengths)
        assert [end + 1 for _, end, _ in bins[:-1]] == [start for start, _, _ in bins[1:]]


@pytest.mark.parametrize(
    ("options", "severity", "message"),
    [
        ({}, "warning", "1 of 2 texts (50.0%) has more than 5 tokens and is truncated"),
        (
            {"long_text": "head_tail"}, "note",
            "1 of 2 texts (50.0%) has more than 5 tokens and is read as data.long_text head_tail",
        ),
    ],
)  # fmt: skip
def test_texts_that_are_too_long(options: dict[str, str], severity: str, message: str) -> None:
    found = examination({"train": [("a b c d", "x"), ("a  b", "y")]}, max_length=5, **options)
    found.run([check_lengths])
    assert found.unit == "words"
    assert found.lengths["train"].tolist() == [6, 4]  # with [CLS] and [SEP]
    (truncated,) = found.findings
    assert (truncated.severity, truncated.message) == (severity, message)
    assert truncated.examples == ["train.csv: row 0: 'a b c d'"]


def test_several_texts_of_pairs_that_are_too_long() -> None:
    rows = [("a b", "c d", "x"), ("a", "b c d", "y"), ("a", "b", "x")]
    found = examination({"train": rows}, ("text_a", "text_b", "label"), max_length=6)
    found.run([check_lengths])
    assert found.lengths["train"].tolist() == [7, 7, 5]
    assert found.findings[0].message == "2 of 3 texts (66.7%) have more than 6 tokens and are truncated"


@pytest.mark.parametrize(
    ("share", "rows", "expected"),
    [
        (0.0099, 3, []),
        (0.01, 1, [("warning", "1 row has tokens that are unknown to the tokenizer: 1.0 % of all tokens")]),
        (0.2, 3, [("severe", "3 rows have tokens that are unknown to the tokenizer: 20.0 % of all tokens")]),
    ],
)
def test_the_share_of_unknown_tokens(share: float, rows: int, expected: list[tuple[str, str]]) -> None:
    found = unknown_tokens("train", Unknown(share, rows))
    assert [(finding.severity, finding.message) for finding in found] == expected


def test_a_sample_keeps_order_and_is_the_same_each_time() -> None:
    rows = rows_of_texts([str(number) for number in range(50)])
    assert sample_of(rows, 50) is rows
    first, second = (sample_of(rows, 20).text.to_pylist() for _ in range(2))
    assert first == second == sorted(set(first), key=int)
    assert len(first) == 20
