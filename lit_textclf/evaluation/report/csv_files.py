"""The files of an evaluation besides `metrics.json` and `report.html`, CSV and PNG.

A new file of `validate` and `test` is a function and a line of :data:`FILES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.text_keys import text_keys
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.label_errors import LabelIssues
from lit_textclf.evaluation.report.figures import FIGURES
from lit_textclf.utils.atomic import write_file
from lit_textclf.utils.csv_format import csv_lines, format_float32
from lit_textclf.utils.messages import note, plural
from lit_textclf.utils.run_folder import OTHER_ROOT, OUTCOMES

MAX_VALUES = 1000
"""Rows in `errors.csv` of a regression."""


# Contents -------------------------------------------------------------------------------------------------------------
def outcomes_csv(evaluation: Evaluation) -> str:
    """Every row without its text; `compare` matches rows by `key`."""
    rows = evaluation.outcomes.rows
    columns: dict[str, Iterable[Any]] = {
        "row": rows.row_numbers.tolist(),
        "key": [f"{key:016x}" for key in text_keys(rows).tolist()],
        **_results(evaluation, np.arange(len(rows))),
        "loss": format_float32(evaluation.losses),
    }
    return _table(columns, rows)


def errors_csv(evaluation: Evaluation) -> str:
    """The misclassified rows with their texts, highest loss first."""
    issues = evaluation.label_issues
    worst = evaluation.worst[:MAX_VALUES] if evaluation.score is None else evaluation.worst
    rows = evaluation.outcomes.rows.take(worst)
    columns: dict[str, Iterable[Any]] = {
        "row": rows.row_numbers.tolist(),
        **_text_columns(rows),
        **_results(evaluation, worst),
        "loss": format_float32(evaluation.losses[worst]),
    }
    if issues is not None:
        columns["suspected"] = [rank or None for rank in issues.rank[worst].tolist()]
    return _table(columns, rows)


def per_class_csv(evaluation: Evaluation) -> str | None:
    """Each label's scores."""
    if not evaluation.label_scores:
        return None
    lines: list[Sequence[Any]] = [["label", "rows", "predicted", "precision", "recall", "f1"]]
    for label in evaluation.label_scores:
        shares = format_float32(np.array([label.precision, label.recall, label.f1])) if label.seen else [None] * 3
        lines.append([label.label, label.rows, label.predicted, *shares])
    return csv_lines(lines)


def confusion_csv(evaluation: Evaluation) -> str | None:
    """The confusion matrix, true labels in rows."""
    if evaluation.confusion is None:
        return None
    names = evaluation.target.labels
    rows = ([name, *row] for name, row in zip(names, evaluation.confusion.tolist(), strict=True))
    return csv_lines([[r"true \ predicted", *names], *rows])


FILES: Mapping[str, Callable[[Evaluation], str | bytes | None]] = {
    OUTCOMES: outcomes_csv,
    "errors.csv": errors_csv,
    "per_class.csv": per_class_csv,
    "confusion_matrix.csv": confusion_csv,
    **{figure.file: figure.image for figure in FIGURES if figure.file},
}
"""The files of `validate` and `test`; a function returns None if the task does not have its file."""


# Writing --------------------------------------------------------------------------------------------------------------
def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes the :data:`FILES` that the task has, each of which appears complete or not at all; returns them.

    Raises:
        UserError: if a file cannot be written.
    """
    contents = {name: content for name, function in FILES.items() if (content := function(evaluation)) is not None}
    for name, content in contents.items():
        write_file(folder / name, content, remedy=OTHER_ROOT)
    _note_errors(evaluation, folder / "errors.csv")
    return [folder / name for name in contents]


def _note_errors(evaluation: Evaluation, path: Path) -> None:
    if evaluation.label_issues is not None:
        note(
            f"{evaluation.split}: {len(evaluation.worst):,} of {plural(len(evaluation), 'row')} misclassified; "
            f"{_suspected(evaluation, evaluation.label_issues)}: {path}"
        )
    elif len(evaluation) > MAX_VALUES:
        note(f"{path}: the {MAX_VALUES:,} rows with the largest errors of {len(evaluation):,}")


def write_outcomes(evaluation: Evaluation, folder: Path) -> Path:
    """Writes `outcomes.csv` alone."""
    path = folder / OUTCOMES
    write_file(path, outcomes_csv(evaluation), remedy=OTHER_ROOT)
    return path


def write_label_errors(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes and returns `label_errors.csv`: the rows that may be mislabelled, most severe first; none for regression.

    The model of the evaluation must not have been trained on the rows.
    """
    issues = evaluation.label_issues
    if issues is None:
        return []
    found, path = issues.rows, folder / "label_errors.csv"
    rows = evaluation.outcomes.rows.take(found)
    sources = [rows.source_of(index) for index in range(len(rows))]
    columns: dict[str, Iterable[Any]] = {
        "suspected": range(1, len(found) + 1),
        "file": [file for file, _ in sources],
        "row": [number for _, number in sources],
        **_text_columns(rows),
        **_results(evaluation, found),
    }
    if evaluation.target.has_label_sets:
        columns["doubted"] = [] if issues.labels is None else evaluation.target.texts(issues.labels[found])
    write_file(path, _table(columns, rows), remedy=OTHER_ROOT)
    of = f" of {plural(len(evaluation), 'row')}"
    note(f"{evaluation.split}: {_suspected(evaluation, issues, of)}: {path}")
    return [path]


def _suspected(evaluation: Evaluation, issues: LabelIssues, of: str = "") -> str:
    if not evaluation.can_suspect_labels:
        return "the model is too weak to suspect labels"
    return f"{len(issues.rows):,}{of} may be mislabelled (confident learning)"


def _results(evaluation: Evaluation, indices: np.ndarray) -> dict[str, Iterable[Any]]:
    """True and predicted labels with scores, or values, of some rows."""
    true, predicted = ([texts[index] for index in indices] for texts in (evaluation.true, evaluation.predicted))
    if evaluation.score is None:
        return {"label": true, "prediction": predicted}
    return {"label": true, "predicted": predicted, "score": format_float32(evaluation.score[indices])}


def _text_columns(rows: Rows) -> dict[str, Iterable[Any]]:
    pairs = {} if rows.text_pair is None else {"text_pair": rows.text_pair.to_pylist()}
    return {"text": rows.text.to_pylist(), **pairs}


def _table(columns: Mapping[str, Iterable[Any]], rows: Rows) -> str:
    """Columns as CSV; the id column, if the rows have one, follows the column `row`.

    The id column keeps its name, or becomes `input_NAME` if the name is taken.
    """
    table = dict(columns)
    if rows.id is not None and rows.columns.id is not None:
        name = rows.columns.id
        while name in columns:
            name = f"input_{name}"
        items = list(columns.items())
        after = list(columns).index("row") + 1
        table = dict([*items[:after], (name, rows.id.to_pylist()), *items[after:]])
    return csv_lines([list(table), *zip(*table.values(), strict=True)])
