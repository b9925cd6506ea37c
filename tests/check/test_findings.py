"""Findings, their order and their examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lit_textclf.check.findings import Examination, Finding, examples
from lit_textclf.data.rows.rows import rows_of_texts
from tests.check.conftest import examination


def finding(severity: str, kind: str) -> Finding:
    return Finding(severity, kind, "train", 1, "wrong", "fix it")  # type: ignore[arg-type]


def test_the_most_severe_come_first_in_the_order_of_the_checks() -> None:
    def first(found: Examination) -> Iterator[Finding]:
        yield from (finding("note", "a"), finding("severe", "b"))

    def second(found: Examination) -> Iterator[Finding]:
        yield from (finding("warning", "c"), finding("severe", "d"))

    found = examination({"train": [("x", "1"), ("y", "2")]})
    found.run([first, second])
    assert [each.kind for each in found.findings] == ["b", "d", "c", "a"]
    assert [each.kind for each in found.severe()] == ["b", "d"]
    assert [each["kind"] for each in found.to_dict()["findings"]] == ["b", "d", "c", "a"]
    assert found.to_dict()["splits"] == {"train": {"rows": 2}}


def test_a_finding_in_one_line() -> None:
    assert finding("note", "a").line() == "train: wrong; fix it"
    shown = Finding("note", "a", "test", 2, "wrong", "fix it", ["f.csv: row 3: 'x'", "f.csv: row 5: 'y'"])
    assert shown.line() == "test: wrong (first: f.csv: row 3: 'x'); fix it"


def test_examples_are_three_and_short() -> None:
    rows = rows_of_texts(["a", "b" * 60, "c" * 61, "d", "e"])
    assert [example.partition("row ")[2] for example in examples(rows, np.arange(5))] == [
        "0: 'a'", f"1: '{'b' * 60}'", f"2: '{'c' * 60}'...",
    ]  # fmt: skip
    assert examples(rows, [4])[0].endswith("row 4: 'e'")
