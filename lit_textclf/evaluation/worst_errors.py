"""The misclassified rows with the highest losses, to read first."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

from lit_textclf.evaluation.evaluation import Evaluation

MAX_CHARS = 300
"""Characters shown of a text."""
_LINE = 34
_NAME = 16
"""Characters on a line of a text and of a name in Markdown."""


class WrongRow(NamedTuple):
    """A misclassified row: file and row number, `data.id_column`, and what :func:`describe_row` and the model say."""

    where: str
    id: str | None
    true: str
    predicted: str
    score: float | None
    loss: float
    text: str


def worst_errors(evaluation: Evaluation, limit: int = 20) -> list[WrongRow]:
    """At most `limit` misclassified rows with the highest losses, highest first; for regression all rows count."""
    outcomes, score = evaluation.outcomes, evaluation.score
    rows, found = outcomes.rows, []
    for index in evaluation.worst[:limit].tolist():
        text, true, predicted = describe_row(evaluation, index)
        row_id = None if rows.id is None else str(rows.id[index].as_py())
        file, number = rows.source_of(index)
        found.append(
            WrongRow(
                f"{Path(file).name}: row {number}", row_id, true, predicted,
                None if score is None else float(score[index]), float(evaluation.losses[index]), text,
            )
        )  # fmt: skip
    return found


def describe_row(evaluation: Evaluation, index: int) -> tuple[str, str, str]:
    """A row's text (or both texts of a pair), shortened to one line, and its true and predicted label or value."""
    rows = evaluation.outcomes.rows
    text = " | ".join(column[index].as_py() for column in (rows.text, rows.text_pair) if column is not None)
    if evaluation.score is None:
        true, predicted = float(evaluation.outcomes.targets[index]), float(evaluation.decided[index])
        return _shortened(text), f"{true:.4g}", f"{predicted:.4g}"
    return _shortened(text), evaluation.true[index] or "(none)", evaluation.predicted[index] or "(none)"


def _shortened(text: str) -> str:
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"


def markdown_table(rows: list[WrongRow]) -> str:
    """Misclassified rows as a Markdown table, with Markdown and HTML in texts escaped.

    Files and texts have line breaks, because TensorBoard makes columns as wide as their longest line and leaves a
    character or two to the others.
    """
    columns = {
        "row": [escaped(row.where).replace(" row ", "<br>row ") for row in rows],
        "id": [escaped(row.id) for row in rows if row.id is not None],
        "true": [_on_lines(row.true) for row in rows],
        "predicted": [_on_lines(row.predicted) for row in rows],
        "score": [escaped(f"{row.score:.2f}") for row in rows if row.score is not None],
        "loss": [escaped(f"{row.loss:.2f}") for row in rows],
        "text": ["<br>".join(map(escaped, textwrap.wrap(row.text, _LINE))) for row in rows],
    }
    columns = {name: cells for name, cells in columns.items() if cells}  # rows without ids, or without scores
    lines = [columns, ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _on_lines(name: str) -> str:
    """A name, escaped, on lines of at most :data:`_NAME` characters if possible."""
    lines = [""]
    for part in re.findall(r"[^_|/.-]*[_|/.-]?", name):
        if lines[-1] and len(lines[-1]) + len(part) > _NAME:
            lines.append("")
        lines[-1] += part
    return "<br>".join(map(escaped, lines))


def escaped(text: str) -> str:
    """A text with all punctuation as character references, so that neither Markdown nor HTML reads it as markup."""
    return re.sub(r"[^\w\s]|_", lambda match: f"&#{ord(match[0])};", " ".join(text.split()))
