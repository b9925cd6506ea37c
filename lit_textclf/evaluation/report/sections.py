"""The sections of report.html. A new section is a function and a line of :data:`SECTIONS`.

A section's function returns blocks, which the template draws: :class:`Paragraph`, :class:`Table`, :class:`Figures` and
:class:`Details`. All text is escaped; only :class:`markupsafe.Markup` is not.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape

from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.figures import FIGURES

MAX_ROWS = 50
"""Rows in a table of texts."""
MAX_CHARS = 2000
"""Characters shown of a text; the CSV files have all of them."""
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_MAX_FILES = 10


class Compared(NamedTuple):
    """A baseline beside a model, as texts: its description, the metric and both its values, and the difference."""

    baseline: str
    metric: str
    value: str
    of_model: str
    verdict: str


class Page(NamedTuple):
    """What a report shows.

    Attributes:
        evaluation: of a split.
        metrics: as in `metrics.json`.
        model: the checkpoint or ONNX model.
        config: the text of `config.yaml`.
        baselines: beside the model, after `fit`.
    """

    evaluation: Evaluation
    metrics: Mapping[str, float]
    model: str
    config: str
    baselines: Sequence[Compared] = ()


# Blocks ---------------------------------------------------------------------------------------------------------------
class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: its content.
        css: its class; `n` for numbers, `text` for texts, `name` for names.
        name: the title of its column, shown on narrow screens in tables of rows.
        percent: the length of a bar behind the text.
    """

    text: Any
    css: str = ""
    name: str = ""
    percent: float | None = None


class Paragraph(NamedTuple):
    """A paragraph, with an optional class."""

    text: str
    css: str = ""


class Table(NamedTuple):
    """A table; `css` is its class, `frame` that of the box in which it scrolls."""

    header: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    css: str = "narrow"
    frame: str = "scroll fit"


class Figures(NamedTuple):
    """Figures as pairs of a title and a data URI."""

    figures: Sequence[tuple[str, str]]


class Details(NamedTuple):
    """Text that opens on a click."""

    summary: str
    text: str


Block = Paragraph | Table | Figures | Details


def breakable(name: str) -> Markup:
    """A name, escaped, in which lines may break after `_`, `/`, `.` and `-`."""
    return Markup(re.sub(r"(?<=[_/.\-])(?=\w)", "<wbr>", str(escape(name))))


# Sections -------------------------------------------------------------------------------------------------------------
def _metrics(page: Page) -> list[Block]:
    rows = [[Cell(name), Cell(f"{value:.4f}", "n")] for name, value in page.metrics.items()]
    return [Table([Cell("metric"), Cell("value", "n")], rows, frame="scroll fit free")]


def _baselines(page: Page) -> list[Block]:
    if not page.baselines:
        return []
    rows = [
        [Cell(each.baseline, "text"), Cell(each.value, "n"), Cell(each.of_model, "n"), Cell(each.verdict, "text")]
        for each in page.baselines
    ]
    metric = page.baselines[0].metric
    titles = [Cell("baseline"), Cell(metric, "n"), Cell("this model", "n"), Cell("this model is")]
    return [Table(titles, rows, frame="scroll fit free")]


def _labels(page: Page) -> list[Block]:
    evaluation = page.evaluation
    if not evaluation.label_scores:
        return []
    rows = []
    for label in evaluation.label_scores:
        f1 = Cell(f"{label.f1:.3f}", "n bar", percent=100 * label.f1)
        shares = [f1, Cell(f"{label.precision:.3f}", "n"), Cell(f"{label.recall:.3f}", "n")]
        counts = [Cell(f"{label.rows:,}", "n"), Cell(f"{label.predicted:,}", "n")]
        rows.append([Cell(breakable(label.label), "name"), *(shares if label.seen else [Cell("")] * 3), *counts])
    titles = [Cell("label"), *(Cell(title, "n") for title in ("F1", "precision", "recall", "rows", "predicted"))]
    files = "per_class.csv" if evaluation.confusion is None else "per_class.csv, confusion_matrix.csv"
    return [Paragraph(files, "soft"), Table(titles, rows, css="labels", frame="scroll")]


def _figures(page: Page) -> list[Block]:
    evaluation, blocks = page.evaluation, list[Block]()
    if evaluation.thresholds is not None:
        thresholds = ", ".join(f"{name}: {value:.3g}" for name, value in evaluation.thresholds.items())
        blocks.append(
            Paragraph(
                f"Labels are assigned by threshold ({thresholds}); the score, reliability and coverage figures show "
                "decisions without thresholds."
            )
        )
    drawn = [(kind.title, image) for kind in FIGURES if (image := kind.image(evaluation)) is not None]
    data = [(title, f"data:image/png;base64,{base64.b64encode(image).decode()}") for title, image in drawn]
    return [*blocks, Figures(data)]


def _coverage(page: Page) -> list[Block]:
    evaluation = page.evaluation
    if evaluation.score is None:
        return []
    rows = []
    for threshold in THRESHOLDS:
        kept = evaluation.score >= np.float32(threshold)
        count = int(kept.sum())
        right = f"{100 * (1 - evaluation.wrong[kept].mean()):.1f} %" if count else ""
        share = f"{100 * count / len(evaluation):.1f} %"
        rows.append([Cell(text, "n") for text in (threshold, f"{count:,}", share, right)])
    return [
        Paragraph("Rows whose score reaches a threshold, and the share of them that is classified correctly:"),
        Table([Cell(title, "n") for title in ("minimum score", "rows", "share of rows", "share correct")], rows),
    ]


def _errors(page: Page) -> list[Block]:
    evaluation, shown = page.evaluation, page.evaluation.worst[:MAX_ROWS]
    if not len(shown):
        return [Paragraph("No row is misclassified.")]
    if evaluation.score is None:
        text = f"The {len(shown)} rows with the largest squared errors; errors.csv has more."
    else:
        text = (
            f"The {len(shown)} misclassified rows with the highest loss, of {len(evaluation.worst):,}; errors.csv has "
            "all of them."
        )
    return [Paragraph(text), _table_of_rows(evaluation, shown)]


def _label_errors(page: Page) -> list[Block]:
    issues = page.evaluation.label_issues
    if issues is None:
        return []
    shown = issues.rows[:MAX_ROWS]
    if not page.evaluation.can_suspect_labels:
        return [Paragraph("The model is too weak to suspect labels.")]
    if not len(shown):
        return [Paragraph("No label errors are suspected.")]
    text = Markup(
        "Rows that may be mislabelled, most suspicious first ({} of {}; column <code>suspected</code> in errors.csv): "
        "the model predicts another label with at least the confidence it usually has for rows of that label "
        "(confident learning, Northcutt et al. 2021). Review them before you trust the scores above."
    ).format(len(shown), f"{len(issues.rows):,}")
    return [Paragraph(text), _table_of_rows(page.evaluation, shown, ranked=True)]


def _about(page: Page) -> list[Block]:
    evaluation = page.evaluation
    files = [name for name, _ in evaluation.outcomes.rows.sources]
    more = f" and {len(files) - _MAX_FILES} more files" if len(files) > _MAX_FILES else ""
    text = f"{page.model}, evaluated on {', '.join(files[:_MAX_FILES])}{more}. "
    if evaluation.score is not None:
        text += f"Probabilities are calibrated with temperature {evaluation.calibration.temperature:.4g}. "
    text += "Row numbers are indices in the input, from 0. Losses are those of the model before calibration."
    return [Paragraph(text, "path"), Details("config.yaml", page.config)]


def _table_of_rows(evaluation: Evaluation, indices: np.ndarray, *, ranked: bool = False) -> Table:
    """Rows with their texts; `ranked` numbers them."""
    rows = evaluation.outcomes.rows.take(indices)
    true = "value" if evaluation.score is None else "label"
    columns: dict[str, list[Cell]] = {}

    def add(name: str, css: str, texts: Sequence[Any]) -> None:
        columns[name] = [Cell(text, css, "" if css == "text" else name) for text in texts]

    if ranked:
        add("rank", "n", range(1, len(indices) + 1))
    add("row", "n", rows.row_numbers.tolist())
    if rows.id is not None:
        add("id", "name", rows.id.to_pylist())
    pairs = [None] * len(indices) if rows.text_pair is None else rows.text_pair.to_pylist()
    add("text", "text", [_shortened(*texts) for texts in zip(rows.text.to_pylist(), pairs, strict=True)])
    add(true, "name", [breakable(evaluation.true[index]) for index in indices])
    add("predicted", "name", [breakable(evaluation.predicted[index]) for index in indices])
    if evaluation.score is not None:
        add("score", "n", [f"{evaluation.score[index]:.4f}" for index in indices])
    add("loss", "n", [f"{evaluation.losses[index]:.4f}" for index in indices])
    header = [Cell(name, "n" if cells[0].css == "n" else "") for name, cells in columns.items()]
    return Table(header, list(zip(*columns.values(), strict=True)), css="rows", frame="scroll free")


def _shortened(text: str, pair: str | None) -> Markup:
    """A row's texts, escaped, each cut to :data:`MAX_CHARS`."""
    shown = escape(text[:MAX_CHARS])
    if pair is not None:
        shown += Markup("<hr>") + pair[:MAX_CHARS]
    if max(len(text), len(pair or "")) > MAX_CHARS:
        shown += Markup(' <span class="soft">[the first {} characters]</span>').format(MAX_CHARS)
    return shown


class Section(NamedTuple):
    """A section: its anchor, its heading, and the function of its content; an empty list leaves the section out."""

    id: str
    title: str
    blocks: Callable[[Page], list[Block]]


SECTIONS = (
    Section("metrics", "Metrics", _metrics),
    Section("baselines", "Baselines", _baselines),
    Section("labels", "Labels", _labels),
    Section("figures", "Figures", _figures),
    Section("coverage", "Coverage", _coverage),
    Section("errors", "Errors", _errors),
    Section("label-errors", "Suspected label errors", _label_errors),
    Section("about", "About this report", _about),
)
