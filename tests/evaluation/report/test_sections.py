"""A section of the page, and a file beside it, is a function and a line of a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from markupsafe import Markup

from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report import csv_files, html
from lit_textclf.evaluation.report.sections import SECTIONS, Block, Cell, Page, Paragraph, Section, Table
from tests.evaluation.report.test_figures import outcomes


def _longest(page: Page) -> list[Block]:
    longest = int(page.evaluation.outcomes.lengths.max())
    return [Paragraph("in <tokens>", "soft"), Table([Cell("longest", "n")], [[Cell(longest, "n", percent=50)]])]


def _nothing(page: Page) -> list[Block]:
    return []


def test_a_new_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = (Section("longest", "Longest row", _longest), Section("nothing", "Nothing", _nothing))
    monkeypatch.setattr(html, "SECTIONS", (*SECTIONS, *added))
    evaluation = Evaluation(outcomes(Target("regression")))
    page = html.write_report(evaluation, {"val_mae": 0.5}, tmp_path, "model").read_text(encoding="utf-8")
    assert '<a href="#longest">Longest row</a>' in page
    assert '<h2 id="longest">Longest row</h2>' in page
    assert '<p class="soft">in &lt;tokens&gt;</p>' in page
    assert f'<td class="n" style="--share: 50.0%">{int(evaluation.outcomes.lengths.max())}</td>' in page
    assert "Nothing" not in page
    assert "Suspected label errors" not in page  # those of other tasks
    assert Markup(page).striptags().startswith("validation of model")


def test_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lengths(evaluation: Evaluation) -> str:
        return "\n".join(map(str, evaluation.outcomes.lengths.tolist()))

    monkeypatch.setattr(csv_files, "FILES", {**csv_files.FILES, "lengths.txt": lengths, "no.txt": lambda _: None})
    evaluation = Evaluation(outcomes(Target("regression")))
    names = [path.name for path in csv_files.write_evaluation(evaluation, tmp_path)]
    assert names == ["outcomes.csv", "errors.csv", "lengths.txt"]
    assert len((tmp_path / "lengths.txt").read_text().splitlines()) == 200
