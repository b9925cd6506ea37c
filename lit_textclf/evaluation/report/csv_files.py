"""The files of an evaluation beside `metrics.json`: rows, errors, labels and figures, as CSV and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lit_textclf.data.rows.holdout import text_keys
from lit_textclf.data.rows.rows import Rows
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.figure_style import png
from lit_textclf.evaluation.report.figures import confusion_figure, reliability_figure
from lit_textclf.utils.atomic import write_file
from lit_textclf.utils.csv_format import csv_lines, format_float32
from lit_textclf.utils.messages import note, plural

MOST_VALUES = 1000
"""Rows in `errors.csv` of a regression."""
_REMEDY = "change trainer.default_root_dir"


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes what there is for the task; see the README's section on what test and validate write.

    Args:
        evaluation: of a split.
        folder: the run's.

    Returns:
        The files, each of which appears whole or not at all.

    Raises:
        UserError: if one cannot be written.
    """
    contents: dict[str, str | bytes] = {
        "outcomes.csv": _outcomes(evaluation),
        "errors.csv": _errors(evaluation),
    }
    if evaluation.label_scores:
        contents["per_class.csv"] = _per_class(evaluation)
    if evaluation.confusion is not None:
        names = evaluation.target.labels
        rows = ([name, *row] for name, row in zip(names, evaluation.confusion.tolist(), strict=True))
        contents["confusion_matrix.csv"] = csv_lines([[r"true \ predicted", *names], *rows])
    for name, figure in {
        "confusion_matrix.png": confusion_figure(evaluation.decisions, normalize=False),
        "calibration.png": reliability_figure(evaluation.outcomes, evaluation.calibration),
    }.items():
        if figure is not None:
            contents[name] = png(figure)
    for name, content in contents.items():
        write_file(folder / name, content, remedy=_REMEDY)
    _say_errors(evaluation, folder)
    return [folder / name for name in contents]


def _say_errors(evaluation: Evaluation, folder: Path) -> None:
    suspicion, split = evaluation.suspicion, evaluation.outcomes.split
    if suspicion is None:
        if len(evaluation) > MOST_VALUES:
            note(f"{folder / 'errors.csv'}: the {MOST_VALUES:,} rows with the largest errors of {len(evaluation):,}")
        return
    note(
        f"{split}: {plural(len(evaluation.worst), 'row')} of {len(evaluation):,} predicted wrongly; of "
        f"{plural(len(suspicion.rows), 'row')} the label itself may be wrong (confident learning): "
        f"{folder / 'errors.csv'}"
    )


def write_rows(evaluation: Evaluation, folder: Path) -> Path:
    """Writes `outcomes.csv` alone: what came out for every row, which `compare` reads."""
    path = folder / "outcomes.csv"
    write_file(path, _outcomes(evaluation), remedy=_REMEDY)
    return path


def _outcomes(evaluation: Evaluation) -> str:
    """Every row, without its text: what another run's rows are matched with."""
    rows = evaluation.outcomes.rows
    columns: dict[str, Iterable[Any]] = {"row": row_numbers(rows).tolist()}
    keys = [f"{key:016x}" for key in text_keys(rows).tolist()]
    columns |= {"key": keys, "label": evaluation.given}
    if evaluation.score is None:
        columns |= {"prediction": evaluation.predicted}
    else:
        columns |= {"predicted": evaluation.predicted, "score": format_float32(evaluation.score)}
    columns["loss"] = format_float32(evaluation.losses)
    return _table(columns, rows)


def _errors(evaluation: Evaluation) -> str:
    """The wrong rows with their texts, the highest loss first."""
    worst = evaluation.worst[:MOST_VALUES] if evaluation.score is None else evaluation.worst
    rows = evaluation.outcomes.rows.take(worst)
    columns: dict[str, Iterable[Any]] = {"row": row_numbers(rows).tolist(), **text_columns(rows)}
    columns["label"] = [evaluation.given[index] for index in worst]
    predicted = [evaluation.predicted[index] for index in worst]
    taken = torch.from_numpy(worst)
    if evaluation.score is None or evaluation.suspicion is None:
        columns |= {"prediction": predicted, "loss": format_float32(evaluation.losses[taken])}
    else:
        columns |= {"predicted": predicted, "score": format_float32(evaluation.score[taken])}
        columns["loss"] = format_float32(evaluation.losses[taken])
        columns["suspected"] = [rank or None for rank in evaluation.suspicion.rank[worst].tolist()]
    return _table(columns, rows)


def _per_class(evaluation: Evaluation) -> str:
    header = ["label", "rows", "predicted", "precision", "recall", "f1"]
    lines: list[Sequence[Any]] = [header]
    for label in evaluation.label_scores:
        shares = format_float32(torch.tensor([label.precision, label.recall, label.f1])) if label.seen else [None] * 3
        lines.append([label.label, label.rows, label.predicted, *shares])
    return csv_lines(lines)


def write_label_errors(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes `label_errors.csv`: the rows whose label may be wrong, the most suspected first, with file and row.

    Args:
        evaluation: of rows that the model was not trained on.
        folder: where it is to be.

    Returns:
        The file; none for a regression.
    """
    suspicion, score = evaluation.suspicion, evaluation.score
    if suspicion is None or score is None:
        return []
    found, path = suspicion.rows, folder / "label_errors.csv"
    rows = evaluation.outcomes.rows.take(found)
    places = [rows.place(index) for index in range(len(rows))]
    columns: dict[str, Iterable[Any]] = {
        "suspected": range(1, len(found) + 1),
        "file": [file for file, _ in places],
        "row": [number for _, number in places],
        **text_columns(rows),
        "label": [evaluation.given[index] for index in found],
        "predicted": [evaluation.predicted[index] for index in found],
        "score": format_float32(score[torch.from_numpy(found)]),
    }
    if suspicion.labels is not None:
        columns["doubted"] = evaluation.target.texts(suspicion.labels[found])
    write_file(path, table_with_ids(columns, rows, after="row"), remedy=_REMEDY)
    note(
        f"{evaluation.outcomes.split}: of {plural(len(found), 'row')} of {len(evaluation):,} the label may be wrong "
        f"(confident learning): {path}"
    )
    return [path]


def row_numbers(rows: Rows) -> np.ndarray:
    """Each row's place in its input, from 0, int64 `(rows,)`."""
    return np.arange(len(rows)) if rows.row_numbers is None else rows.row_numbers


def text_columns(rows: Rows) -> dict[str, Iterable[Any]]:
    """The texts as columns, by name."""
    pairs = {} if rows.text_pair is None else {"text_pair": rows.text_pair.to_pylist()}
    return {"text": rows.text.to_pylist(), **pairs}


def _table(columns: dict[str, Iterable[Any]], rows: Rows) -> str:
    return table_with_ids(columns, rows, after="row")


def table_with_ids(columns: dict[str, Iterable[Any]], rows: Rows, *, after: str) -> str:
    """Columns as CSV, with the id column behind one of them where the rows have one.

    The id column keeps its name, or is called `input_NAME` where that is taken.

    Args:
        columns: values by name.
        rows: as many.
        after: the column that the ids stand behind.
    """
    table = dict(columns)
    if rows.id is not None and rows.columns.id is not None:
        name = rows.columns.id
        while name in columns:
            name = f"input_{name}"
        place = list(columns).index(after) + 1
        items = list(columns.items())
        table = dict([*items[:place], (name, rows.id.to_pylist()), *items[place:]])
    return csv_lines([list(table), *zip(*table.values(), strict=True)])
