"""Texts that occur more than once, compared with plain Python and by hand."""

from __future__ import annotations

import unicodedata
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_textclf.check.duplicates import (
    beyond_first,
    check_conflicts,
    check_duplicates,
    check_leaks,
    text_codes,
)
from lit_textclf.data.rows.rows import rows_of_texts
from tests.check.conftest import examination


def plain(text: str) -> str:
    kept = "".join(char for char in text.casefold() if not unicodedata.category(char).startswith("P"))
    return " ".join(kept.split()) or text.casefold()


texts = st.lists(st.text(st.sampled_from("aB.,-_ \u00df\u4e2d\u3002\u2014\U0001f600\u0130"), max_size=4), min_size=1)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(texts, texts)
def test_equal_and_nearly_equal_texts_against_plain_python(first: list[str], second: list[str]) -> None:
    splits = {"train": rows_of_texts(first), "test": rows_of_texts(second)}
    for near, key in ((False, str), (True, plain)):
        codes = text_codes(splits, near=near)
        by_code: dict[int, set[str]] = defaultdict(set)
        for code, text in zip([*codes["train"], *codes["test"]], [*first, *second], strict=True):
            by_code[int(code)].add(key(text))
        assert all(len(of_code) == 1 for of_code in by_code.values())
        assert len(by_code) == len({key(text) for text in [*first, *second]})
        repeated, earliest = beyond_first(codes["train"])
        assert len(repeated) == len(first) - len({key(text) for text in first})
        assert all(earliest[index] < index for index in repeated)


def test_repeated_rows_name_the_row_that_they_repeat() -> None:
    found = examination({"train": [("Good.", "x"), ("good", "y"), ("good", "x"), ("other", "y")]})
    found.run([check_duplicates])
    exact, near = found.findings
    assert (exact.severity, exact.message) == ("warning", "1 row repeats the text of an earlier row")
    assert exact.examples == ["train.csv: row 2: 'good' is train.csv: row 1"]
    assert near.message == "1 more row repeats an earlier text, except for case and punctuation"
    assert near.examples == ["train.csv: row 1: 'good' is train.csv: row 0"]
    assert found.splits["train"] == {"rows": 4, "duplicates": 1, "conflicts": 0, "near_duplicates": 2}


@pytest.mark.parametrize(("others", "severity"), [(198, "severe"), (199, "warning")])
def test_conflicts_are_severe_from_a_percent_of_the_rows(others: int, severity: str) -> None:
    rows = [(f"text {index}", "x") for index in range(others)]
    found = examination({"train": [("same", "x"), *rows, ("same", "y")]})
    found.run([check_conflicts])
    (conflict,) = found.findings
    assert (conflict.severity, conflict.message) == (severity, "1 text has more than one label")
    assert conflict.examples == ["train.csv: row 0: 'same' has x, y"]


def test_leaks_from_each_earlier_split() -> None:
    found = examination({
        "train": [("a", "x"), ("b", "y")],
        "validation": [("a", "x"), ("B!", "y"), ("c", "x")],
        "test": [("c", "x"), ("a", "x")],
    })  # fmt: skip
    found.run([check_leaks])
    assert found.leaks == {
        "train": {"exact": 0, "near": 0},
        "validation": {"exact": 1, "near": 2, "from_train": {"exact": 1, "near": 2}},
        "test": {
            "exact": 2, "near": 2, "from_train": {"exact": 1, "near": 1}, "from_validation": {"exact": 2, "near": 2},
        },
    }  # fmt: skip
    assert [(finding.severity, finding.kind, finding.split, finding.message) for finding in found.findings] == [
        ("severe", "leak", "validation", "1 of 3 rows (33.3%) is also in train"),
        ("severe", "leak", "test", "1 of 2 rows (50.0%) is also in train"),
        ("severe", "leak", "test", "2 of 2 rows (100.0%) are also in validation"),
        ("warning", "near_leak", "validation", "1 more row is also in train, except for case and punctuation"),
    ]


def test_near_leaks_alone_are_severe() -> None:
    found = examination({"train": [("a b", "x"), ("c", "y")], "validation": [("A, b", "x")]})
    found.run([check_leaks])
    assert [(finding.severity, finding.kind) for finding in found.findings] == [("severe", "near_leak")]
