"""What `check` prints."""

from __future__ import annotations

import pytest

from lit_textclf.check import CHECKS
from lit_textclf.check.tables import show
from tests.check.conftest import examination


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│┃|").replace("┃", "│").split("│")]


def test_numbers_findings_and_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    train = [("good film", "pos"), ("good film", "pos"), ("bad film", "neg"), ("a meal", "neg")]
    found = examination({"train": train, "test": [("bad film", "neg"), ("fine", "pos")]})
    found.run(CHECKS)
    show(found, {"data": {"labels": ["neg", "pos"]}})
    out = capsys.readouterr().out
    rows = [cells(line) for line in out.splitlines()]
    for row in (
        ["rows", "4", "2"], ["duplicates", "1", "0"], ["also in train (exact)", "", "1"], ["words, max", "4", "4"],
        ["neg", "2", "1"], ["pos", "2", "1"],
    ):  # fmt: skip
        assert row in rows, out
    assert "train: words of each row" in out
    leak = out[out.index("severe: test: 1 of 2 rows (50.0%) is also in train") :].splitlines()
    assert leak[1] == "    test.csv: row 0: 'bad film'"
    assert leak[2] == "    -> remove them from train, or the metrics of test are too optimistic"
    assert out.rstrip().endswith("suggested options:\n\ndata:\n  labels:\n  - neg\n  - pos")


def test_names_of_labels_cannot_control_the_terminal_and_are_limited(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["\x1b[31mred", *(f"name{number:02}" for number in range(21))]
    found = examination({"train": [(f"text {index} of words", name) for index, name in enumerate(names)]})
    found.run(CHECKS)
    found.findings.clear()
    show(found, {})
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "\\x1b[31mred" in out
    assert "name18" in out
    assert "name19" not in out
    assert "and 2 more labels" in out
    assert "nothing was found" in out
