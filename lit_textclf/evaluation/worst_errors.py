"""The rows that a model got most wrong: what a person reads first."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lit_textclf.evaluation.evaluation import Evaluation

MOST_TEXT = 300
"""Characters of a text that are shown."""
_LINE = 34
_NAME = 16


@dataclass(frozen=True)
class WrongRow:
    """A row that was predicted wrong.

    Attributes:
        where: the file's name, and the row in it.
        id: the row's value of `data.id_column`, or None.
        true: the label, the set's names, or the value.
        predicted: likewise.
        score: the probability of what was predicted, of a label set that of the least sure decision; None for values.
        loss: of this row.
        text: the text, or both of a pair, on one line and cut.
    """

    where: str
    id: str | None
    true: str
    predicted: str
    score: float | None
    loss: float
    text: str


def worst_errors(evaluation: Evaluation, most: int = 20) -> list[WrongRow]:
    """The wrong rows with the highest losses, the highest first; for regression all rows count as wrong.

    Args:
        evaluation: of a split.
        most: so many rows at most.
    """
    outcomes, score = evaluation.outcomes, evaluation.score
    rows, found = outcomes.rows, []
    for place in evaluation.worst[:most].tolist():
        text, true, guess = described(evaluation, place)
        row_id = None if rows.id is None else str(rows.id[place].as_py())
        file, _, row = rows.where(place).rpartition(": row ")
        found.append(
            WrongRow(
                f"{Path(file).name}: row {row}", row_id, true, guess, None if score is None else float(score[place]),
                float(evaluation.losses[place]), text,
            )
        )  # fmt: skip
    return found


def described(evaluation: Evaluation, place: int) -> tuple[str, str, str]:
    """A row's text, or both of a pair, on one line and cut; what is true of it; and what was predicted."""
    rows = evaluation.outcomes.rows
    text = " | ".join(column[place].as_py() for column in (rows.text, rows.text_pair) if column is not None)
    if not evaluation.target.has_probabilities:
        true, guess = float(evaluation.outcomes.targets[place]), float(evaluation.decided[place])
        return _cut(text), f"{true:.4g}", f"{guess:.4g}"
    return _cut(text), evaluation.given[place] or "(none)", evaluation.predicted[place] or "(none)"


def _cut(text: str) -> str:
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"


def markdown_table(rows: list[WrongRow]) -> str:
    """Wrong rows as a Markdown table in which no text acts as Markdown or HTML.

    Places and texts have line breaks: TensorBoard makes columns as wide as their longest line would like, and would
    leave the others a letter or two.
    """
    ids, scores = any(row.id is not None for row in rows), any(row.score is not None for row in rows)
    head = ["row", "id", "true", "predicted", "score", "loss", "text"]
    absent = {1: not ids, 4: not scores}
    head = [name for place, name in enumerate(head) if not absent.get(place)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        where = escaped(row.where).replace(" row ", "<br>row ")
        labels = [_lines(re.findall(r"[^_|/.-]*[_|/.-]?", name)) for name in (row.true, row.predicted)]
        numbers = [*([f"{row.score or 0:.2f}"] if scores else []), f"{row.loss:.2f}"]
        text = "<br>".join(escaped(line) for line in textwrap.wrap(row.text, _LINE))
        lines.append([where, *([escaped(row.id or "")] if ids else []), *labels, *map(escaped, numbers), text])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _lines(parts: Iterable[str]) -> str:
    """Parts of a name, escaped, on lines of no more than :data:`_NAME` characters where they can be."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > _NAME:
            lines.append("")
        lines[-1] += part
    return "<br>".join(map(escaped, lines))


def escaped(text: str) -> str:
    """A text in which all that Markdown or HTML could read as markup is a character reference."""
    return re.sub(r"[^\w\s]|_", lambda match: f"&#{ord(match[0])};", " ".join(text.split()))
