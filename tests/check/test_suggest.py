"""Options that fit the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lit_textclf.check import CHECKS
from lit_textclf.check.suggest import suggested
from tests.check.conftest import examination
from tests.conftest import sentences


@pytest.mark.parametrize(
    ("p50", "p99", "most_tokens", "expected"),
    [
        (10, 32, None, {"max_length": 32, "batch_size": 32}),
        (10, 33, None, {"max_length": 64, "batch_size": 32}),
        (10, 257, None, {"max_length": 512, "batch_size": 16}),
        (512, 9999, None, {"max_length": 512, "batch_size": 16}),
        (513, 9999, None, {"max_length": 512, "batch_size": 16, "long_text": "head_tail"}),
        (10, 40, 48, {"max_length": 48, "batch_size": 32}),
        (49, 90, 48, {"max_length": 48, "batch_size": 32, "long_text": "head_tail"}),
    ],
)
def test_options_for_lengths(p50: int, p99: int, most_tokens: int | None, expected: dict[str, Any]) -> None:
    found = examination({"train": sentences(4), "validation": sentences(2)})
    found.lengths["train"] = np.array([p50, p99])
    found.splits["train"]["tokens"] = {"p50": p50, "p99": p99}
    assert suggested(found, most_tokens) == {
        "data": {"task": "single_label", "labels": ["negative", "positive"], **expected}
    }


def test_the_smallest_share_that_holds_out_a_row() -> None:
    shares = {}
    for rows in (2, 4, 6, 60):  # half of them of each label; a share rounds to the nearest row of a label
        found = examination({"train": sentences(rows)})
        shares[rows] = suggested(found, None)["data"]["validation_split"]
    assert shares == {2: None, 4: 0.3, 6: 0.2, 60: 0.1}


@pytest.mark.parametrize(("rare", "expected"), [(10, {"class_weights": "balanced"}), (11, None)])
def test_class_weights_for_three_times_as_many_rows(rare: int, expected: dict[str, str] | None) -> None:
    labels = ["common"] * 30 + ["rare"] * rare
    found = examination({"train": [(f"text {index} of words", label) for index, label in enumerate(labels)]})
    found.run(CHECKS)
    assert suggested(found, None).get("model") == expected


def test_no_class_weights_for_label_sets_and_numbers() -> None:
    for task, labels in (("multi_label", ["a"] * 30 + ["a|b"] * 5), ("regression", ["1"] * 30 + ["2"] * 5)):
        rows = [(f"text {index} of words", label) for index, label in enumerate(labels)]
        found = examination({"train": rows}, task=task)
        found.run(CHECKS)
        assert "model" not in suggested(found, None)


def test_nothing_is_suggested_that_a_finding_advises_against() -> None:
    found = examination({"train": [(f"text {index}", label) for index, label in enumerate(["a|b", "a", "a|c"] * 9)]})
    found.run(CHECKS)
    data = suggested(found, None)["data"]
    assert data["task"] == "multi_label"
    assert "labels" not in data
    found = examination({"train": [(f"text {index}", label) for index, label in enumerate("123456789x" * 9)]})
    found.run(CHECKS)
    assert not {"task", "labels"} & set(suggested(found, None)["data"])
    assert "model" not in suggested(found, None)


@pytest.mark.parametrize("labels", [["3,5", "4", "2,75"], [*["0", "1"] * 4, "NA"]])
def test_no_task_that_a_finding_doubts(labels: list[str]) -> None:
    found = examination({"train": [(f"text {index} of words", label) for index, label in enumerate(labels)]})
    found.run(CHECKS)
    assert "task" not in suggested(found, None)["data"]
