"""`report.html`: an evaluation on one page that needs no network, no script and no other file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from lit_textclf.classifier.metric_table import shown_in
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.csv_files import row_numbers
from lit_textclf.evaluation.report.figure_style import png
from lit_textclf.evaluation.report.figures import figures_of
from lit_textclf.utils.atomic import write_file
from lit_textclf.version import __version__

MOST_ROWS = 50
"""Rows in a table of texts."""
MAX_CHARS = 2000
"""Characters of a text that are shown; all are in the CSV."""
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_FIGURES = {
    "confusion": "Confusion",
    "confusion_normalized": "Confusion, in per cent",
    "per_class_f1": "F1 of each label",
    "precision_recall": "Precision and recall",
    "roc": "ROC",
    "reliability": "Reliability",
    "score_histogram": "Scores",
    "coverage": "Coverage",
    "prediction": "Predictions",
    "residuals": "Residuals",
    "length_histogram": "Lengths",
}


class Row(NamedTuple):
    """A row as it is shown."""

    number: int
    id: str | None
    text: str
    text_pair: str | None
    cut: bool
    given: str
    predicted: str
    score: float | None
    loss: float


class Figure(NamedTuple):
    """A figure as it is shown; `data` is a data URI."""

    name: str
    title: str
    data: str


class Kept(NamedTuple):
    """Rows whose score reaches a threshold: how many, as a share of all, and the share of them that is right."""

    threshold: float
    rows: int
    share: float
    right: float | None


def write_report(evaluation: Evaluation, metrics: Mapping[str, float], folder: Path, model: str) -> Path:
    """Writes `report.html`, whole or not at all.

    Args:
        evaluation: of a split.
        metrics: as in `metrics.json`.
        folder: the run's, with its `config.yaml`.
        model: the checkpoint, or the folder, that was measured.

    Raises:
        UserError: if it cannot be written.
    """
    path = folder / "report.html"
    config = folder / "config.yaml"
    page = _template().render(
        _contents(evaluation, metrics),
        model=model,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        config=config.read_text(encoding="utf-8") if config.is_file() else "",
    )
    write_file(path, page, remedy="change trainer.default_root_dir")
    return path


@cache
def _template() -> Template:
    # Everything is escaped: names of labels and files are the user's data as texts are.
    environment = Environment(
        loader=PackageLoader("lit_textclf.evaluation.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["breakable"] = _breakable
    return environment.get_template("report.html.jinja")


def _breakable(name: str) -> Markup:
    """A name, escaped, which lines may break behind `_`, `/`, `.` and `-`."""
    return Markup(re.sub(r"(?<=[_/.\-])(?=\w)", "<wbr>", str(escape(name))))


def _contents(evaluation: Evaluation, metrics: Mapping[str, float]) -> dict[str, Any]:
    """What the template names."""
    suspicion = evaluation.suspicion
    suspects = [] if suspicion is None else suspicion.rows.tolist()
    worst = evaluation.worst.tolist()
    drawn = figures_of(evaluation)
    return {
        "outcomes": evaluation.outcomes,
        "evaluation": evaluation,
        "files": evaluation.outcomes.rows.sources,
        "head": _head(metrics),
        "metrics": metrics,
        "labels": evaluation.label_scores,
        "figures": [
            Figure(name, title, f"data:image/png;base64,{base64.b64encode(png(drawn[name])).decode()}")
            for name, title in _FIGURES.items()
            if name in drawn
        ],
        "errors": _rows(evaluation, worst[:MOST_ROWS]),
        "number_of_errors": len(worst),
        "suspects": _rows(evaluation, suspects[:MOST_ROWS]),
        "number_of_suspects": len(suspects),
        "coverage": _coverage(evaluation),
        "most_signs": MAX_CHARS,
    }


def _head(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that stand above all, by name without the stage."""
    stripped = {name.partition("_")[2]: value for name, value in metrics.items()}
    return {name: stripped[name] for name in shown_in("head") if name in stripped}


def _rows(evaluation: Evaluation, indices: list[int]) -> list[Row]:
    taken = torch.tensor(indices, dtype=torch.int64)
    rows = evaluation.outcomes.rows.take(taken.numpy())
    ids = [None] * len(indices) if rows.id is None else rows.id.to_pylist()
    pairs = [None] * len(indices) if rows.text_pair is None else rows.text_pair.to_pylist()
    scores = [None] * len(indices) if evaluation.score is None else evaluation.score[taken].tolist()
    shown = []
    for place, (index, number, text) in enumerate(
        zip(indices, row_numbers(rows).tolist(), rows.text.to_pylist(), strict=True)
    ):
        pair = pairs[place]
        row = Row(
            number, ids[place], text[:MAX_CHARS], None if pair is None else pair[:MAX_CHARS],
            max(len(text), len(pair or "")) > MAX_CHARS, evaluation.given[index], evaluation.predicted[index],
            scores[place], float(evaluation.losses[index]),
        )  # fmt: skip
        shown.append(row)
    return shown


def _coverage(evaluation: Evaluation) -> list[Kept]:
    """What is left, and how much of it is right, where only rows of some score are kept."""
    if evaluation.score is None:
        return []
    kept = []
    for threshold in THRESHOLDS:
        above = (evaluation.score >= threshold).numpy()
        rows = int(above.sum())
        right = None if not rows else 1 - float(evaluation.wrong[above].mean())
        kept.append(Kept(threshold, rows, rows / len(evaluation), right))
    return kept
