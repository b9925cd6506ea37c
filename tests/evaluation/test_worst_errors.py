"""The worst errors are the wrong rows with the highest losses, and nothing in their texts acts as markup."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.worst_errors import escaped, markdown_table, worst_errors


def outcomes(target: Target, texts: list[str], logits: list[list[float]], targets: list[float]) -> Outcomes:
    encoded = np.array(targets, np.int64 if target.task == "single_label" else np.float32)
    return Outcomes("test", target, rows_of_texts(texts), np.array(logits, np.float32), encoded, np.ones(len(texts)), 8)


def test_by_loss() -> None:
    target = Target("single_label", ("no", "yes"))
    found = outcomes(target, ["right", "wrong", "very wrong"], [[2, 0], [2, 0], [4, 0]], [0, 1, 1])
    worst = worst_errors(Evaluation(found))
    assert [row.text for row in worst] == ["very wrong", "wrong"]
    assert [(row.true, row.predicted) for row in worst] == [("yes", "no")] * 2
    torch.testing.assert_close(torch.tensor([row.score for row in worst]), torch.tensor([4.0, 2.0]).sigmoid())
    torch.testing.assert_close(torch.tensor([row.loss for row in worst]), -torch.tensor([-4.0, -2.0]).sigmoid().log())
    assert [row.text for row in worst_errors(Evaluation(found), limit=1)] == ["very wrong"]


def test_sets_and_numbers() -> None:
    sets = outcomes(Target("multi_label", ("a", "b")), ["one", "two"], [[3, -3], [3, 3]], [[1, 0], [0, 0]])  # type: ignore[list-item]
    assert [(row.text, row.true, row.predicted, row.score) for row in worst_errors(Evaluation(sets))] == [
        ("two", "(none)", "a|b", pytest.approx(1 / (1 + np.exp(-3.0))))
    ]
    numbers = outcomes(Target("regression"), ["near", "far"], [[1.5], [5.0]], [1.0, 1.25])
    assert [(row.text, row.true, row.predicted) for row in worst_errors(Evaluation(numbers))] == [
        ("far", "1.25", "5"), ("near", "1", "1.5"),
    ]  # fmt: skip
    assert worst_errors(Evaluation(numbers))[0].loss == 3.75**2


# TensorBoard's own copy of bleach imports a part of html5lib that warns of itself.
@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated:DeprecationWarning")
def test_nothing_acts_as_markup() -> None:
    from tensorboard.plugin_util import markdown_to_safe_html

    nasty = "a | b <script>alert(1)</script> **bold** _i_ `code` [l](http://x) &amp; \\| # h\n| new | row |\x00 差评"
    target = Target("single_label", ("n|o", "<b>"))
    found = outcomes(target, [nasty], [[1, 0]], [1])
    table = markdown_table(worst_errors(Evaluation(found)))
    assert len(table.splitlines()) == 3
    shown = markdown_to_safe_html(table)
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", shown, re.DOTALL)]
    assert len(cells) == 6
    assert set(re.findall(r"<[^>]*>", re.sub(r"</?t(able|head|body|r|h|d)>", "", shown))) == {"<br>"}
    assert cells[1:3] == ["<b>", "n|o"]
    assert cells[-1].replace("<br>", " ") == " ".join(nasty.replace("\x00", " ").split())


def test_long_texts_are_cut_and_ids_shown() -> None:
    found = outcomes(Target("single_label", ("no", "yes")), ["word " * 100], [[1, 0]], [1])
    assert len(worst_errors(Evaluation(found))[0].text) == 300
    with_id = replace(found, rows=replace(found.rows, id=pa.chunked_array([["r7"]])))
    assert worst_errors(Evaluation(with_id))[0].id == "r7"
    assert "| id |" in markdown_table(worst_errors(Evaluation(with_id)))
    assert escaped("差评 ok") == "差评 ok"


def test_long_names_have_line_breaks() -> None:
    name = "balance_not_updated_after_cheque_or_cash_deposit"
    found = outcomes(Target("single_label", ("a_b", name)), ["text"], [[1, 0]], [1])
    row = html.unescape(markdown_table(worst_errors(Evaluation(found))).splitlines()[2])
    true, predicted = row.split(" | ")[1:3]
    assert predicted == "a_b"
    lines = true.split("<br>")
    assert "".join(lines) == name
    assert max(map(len, lines)) <= 16 < len(name)


def test_what_thresholds_decide() -> None:
    found = outcomes(Target("single_label", ("no", "yes")), ["sure", "unsure"], [[0, 3], [0, 1]], [0, 1])
    assert [(row.text, row.predicted) for row in worst_errors(Evaluation(found))] == [("sure", "yes")]
    strict = worst_errors(Evaluation(found, thresholds={"yes": 0.9}))
    assert [(row.text, row.true, row.predicted) for row in strict] == [("sure", "no", "yes"), ("unsure", "yes", "no")]
