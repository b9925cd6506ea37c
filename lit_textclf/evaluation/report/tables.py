"""An evaluation as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from rich.table import Column, Table
from rich.text import Text

from lit_textclf.utils.console import stdout_console

if TYPE_CHECKING:
    from lit_textclf.evaluation.evaluation import Evaluation

MAX_LABELS = 20
"""Maximum number of labels in a table."""


def table_of_numbers(first: str, titles: Iterable[str]) -> Table:
    """A table with a column of names and columns of numbers, still without rows."""
    table = Table(Column(first, overflow="fold"))
    for title in titles:
        table.add_column(title, justify="right")
    return table


def print_labels(evaluation: Evaluation) -> None:
    """Prints a table of each label's scores on standard output, of at most the worst :data:`MAX_LABELS` labels."""
    labels = evaluation.worst_labels(MAX_LABELS)
    if not labels:
        return
    total = len(evaluation.label_scores)
    print("each label" if len(labels) == total else f"the {len(labels)} labels of {total} with the lowest F1")
    table = table_of_numbers("label", ("rows", "predicted", "precision", "recall", "f1"))
    for label in labels:
        shares = [f"{value:.4f}" if label.seen else "" for value in (label.precision, label.recall, label.f1)]
        table.add_row(Text(label.label), f"{label.rows:,}", f"{label.predicted:,}", *shares)
    stdout_console().print(table)


def print_table(metrics: dict[str, float], title: str, file: TextIO | None = None) -> None:
    """Prints metrics as a table on standard output, or in another file."""
    print(title, file=file)
    table = table_of_numbers("metric", ("value",))
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    stdout_console(file).print(table)
