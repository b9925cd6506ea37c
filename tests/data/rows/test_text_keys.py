"""Which texts count as equal, and their hashes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.rows.text_keys import text_keys


def key_of(text: str, pair: str = "") -> int:
    """The key of a text of plain lower-case words."""
    return int.from_bytes(hashlib.blake2b(f"{text}\x1f{pair}".encode(), digest_size=8).digest(), "little")


@pytest.mark.parametrize(
    "text",
    [
        "good film",
        "Good film!",
        "  GOOD\tfilm ",
        "good, film...",
        "good \u2014 film",
        "(go-od f_ilm)",
        "\u00bbGood\u00ab film\n",
    ],
)
def test_texts_that_differ_in_case_spaces_and_signs_have_one_key(text: str) -> None:
    # printf 'good film\x1f' | b2sum --length 64
    assert key_of("good film") == int.from_bytes(bytes.fromhex("18e89cd891c66021"), "little")
    assert text_keys(rows_of_texts([text])).tolist() == [key_of("good film")]


def test_case_is_folded_beyond_ascii() -> None:
    keys = text_keys(rows_of_texts(["STRASSE", "stra\u00dfe", "\u0391\u03a3", "\u03b1\u03c2"]))
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert keys[0] != keys[2]


def test_other_texts_have_other_keys() -> None:
    texts = [
        "good film",
        "goodfilm",
        "film good",
        "good films",
        "",
        "!",
        "?",
        "!!",
        "good film 2",
        "\U0001f600",
        "\U0001f622",
    ]
    keys = text_keys(rows_of_texts(texts))
    assert keys.dtype == np.uint64
    assert len(set(keys.tolist())) == len(texts)


def test_pairs_have_keys_of_both_texts_in_order() -> None:
    pairs = [("a b", "c"), ("a", "b c"), ("c", "a b"), ("a b c", ""), ("", "a b c")]
    keys = text_keys(rows_of_texts([first for first, _ in pairs], [second for _, second in pairs]))
    assert keys.tolist() == [key_of(first, second) for first, second in pairs]
    assert len(set(keys.tolist())) == len(pairs)
    assert text_keys(rows_of_texts(["A b!"], ["C."])).tolist() == [key_of("a b", "c")]
