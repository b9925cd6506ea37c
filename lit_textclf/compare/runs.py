"""Reads the folders of runs: options, metrics and per-row results, and matches rows between runs."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from lit_textclf.classifier.metrics.table import task_of
from lit_textclf.data.labels.names import in_order, join_names, split_names
from lit_textclf.data.labels.table import TASKS
from lit_textclf.utils.messages import UserError, note, plural
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import LOGS, METRICS, OUTCOMES, dotted, read_config, read_metrics

PREFIXES = ("test_", "val_")
_NOT_SETTINGS = ("trainer.default_root_dir", "data.cache_dir", "data.predict_file", "metrics.baseline")
"""Options that do not influence results."""
_OF_EVALUATION = (
    "data.test_file", "data.validation_file", "data.max_eval_samples", "data.max_length", "data.long_text",
    "data.positive_label", "trainer.precision", "trainer.limit_test_batches", "trainer.limit_val_batches", "threshold",
    "engine", "model_dir",
)  # fmt: skip
"""Options of `validate` and `test` that influence their metrics; all others come from the training."""


@dataclass(frozen=True)
class RowResults:
    """The rows of a run's `outcomes.csv`.

    Attributes:
        keys: a hash of each row's text, and the number of earlier rows with that hash; they match rows between runs.
        true: the rows' labels, label sets or values.
        predicted: the predicted ones.
        loss: of each row, float64 `(rows,)`.
    """

    keys: list[tuple[str, int]]
    true: list[str]
    predicted: list[str]
    loss: np.ndarray


@dataclass(frozen=True)
class RunResults:
    """A run of `fit`, `validate`, `test`, `cross_validate` or `baseline`.

    Attributes:
        name: for tables: its path below the common parent of all runs.
        settings: options by dotted name.
        metrics: as in `metrics.json`; NaN where it has null.
        rows: None if the run wrote no `outcomes.csv`.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    metrics: Mapping[str, float]
    rows: RowResults | None

    @property
    def prefix(self) -> str:
        """The prefix of its metrics' names, `test_` or `val_`; empty for other names."""
        return next((prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in self.metrics)), "")

    @cached_property
    def task(self) -> str | None:
        """The task, inferred from the names of its metrics; None if they are ambiguous."""
        return task_of(self.metrics)

    @property
    def positive_label(self) -> str | None:
        """The label that `f1` refers to, in a binary task."""
        if self.rows is None or not {f"{self.prefix}f1", f"{self.prefix}f1_mean"} & self.metrics.keys():
            return None
        if self.settings.get("data.positive_label") is not None:
            return str(self.settings["data.positive_label"])
        labels = self.settings.get("data.labels") or in_order({*self.rows.true, *self.rows.predicted})
        return str(labels[-1])


def read_runs(paths: Sequence[str]) -> list[RunResults]:
    """Reads runs from their folders, or from folders of runs such as `lightning_logs`.

    Raises:
        UserError: if a path is not the folder of a finished run, or a file in it cannot be read.
    """
    folders: dict[Path, Path] = {}  # by absolute path
    for path in paths:
        for folder in _folders(path):
            if folder.resolve() in folders:
                note(f"compare: {folder} is named twice and shown once")
            else:
                folders[folder.resolve()] = folder
    if len(folders) < 2:
        raise UserError(f"compare {' '.join(paths)}: needs two runs or more; add another run's folder")
    return [
        RunResults(name, folder, _settings(folder), read_metrics(folder), _rows(folder / OUTCOMES))
        for name, folder in zip(_names(list(folders)), folders.values(), strict=True)
    ]


def _folders(path: str) -> list[Path]:
    folder = expand_path(path, "the run")
    if not folder.exists() and len(folder.parts) == 1 and Path(LOGS, path).is_dir():
        folder = Path(LOGS, path)
    if folder.is_file():  # a file of the run: metrics.json, a checkpoint
        folder = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
    if not folder.is_dir():
        raise UserError(f"{path}: no such folder; a run is a folder such as {LOGS}/version_0")
    if (folder / METRICS).is_file():
        return [folder]
    inside = folder / LOGS if (folder / LOGS).is_dir() else folder
    runs = sorted((found.parent for found in inside.glob(f"*/{METRICS}")), key=_number)
    if not runs:
        raise UserError(f"{folder}: no metrics.json; name the folder of a finished fit, validate or test")
    unfinished = len([found for found in inside.glob("version_*") if found.is_dir() and found not in runs])
    if unfinished:
        note(f"compare: {inside}: left out {plural(unfinished, 'run')} without metrics.json")
    return runs


def _number(folder: Path) -> tuple[str, int]:
    kind, _, number = folder.name.rpartition("_")
    return kind, int(number) if number.isdecimal() else -1


def _names(folders: Sequence[Path]) -> list[str]:
    """The absolute folders, relative to their common parent and without `lightning_logs`."""
    top = os.path.commonpath(folders)
    parts = [[part for part in folder.relative_to(top).parts if part != LOGS] for folder in folders]
    return ["/".join(part) or folder.name for part, folder in zip(parts, folders, strict=True)]


# Settings -------------------------------------------------------------------------------------------------------------
def _settings(folder: Path) -> dict[str, Any]:
    """The options of a training; for an evaluation, those of its training and its own :data:`_OF_EVALUATION`."""
    own = _config(folder)
    if own is None:
        own = _config(folder / LOGS / "version_0")  # the first fold of a cross-validation
        if own is None:
            note(f"compare: {folder}: no config.yaml, so its settings are unknown")
            return {}
        own.pop("data.fold", None)
    if own.get("engine") == "torch":  # the default, and not an option of fit
        own.pop("engine")
    checkpoint = own.pop("ckpt_path", None)
    if checkpoint is None:
        return own
    measured = Path(str(checkpoint))
    training = _config(measured.parent.parent)
    if training is None:
        note(f"compare: {folder}: no config.yaml next to {measured}, so the settings of its training are unknown")
        return {**own, "ckpt_path": str(checkpoint)}
    training.pop("ckpt_path", None)
    of_evaluation = {key: value for key, value in own.items() if key in _OF_EVALUATION}
    return {**training, **of_evaluation, "ckpt_path": str(checkpoint)}


def _config(folder: Path) -> dict[str, Any] | None:
    config = read_config(folder)
    if config is None:
        return None
    return {
        key: value
        for key, value in dotted(config).items()
        if key not in _NOT_SETTINGS and not key.startswith("tensorboard")
    }


def differing(runs: Sequence[RunResults]) -> dict[str, list[Any]]:
    """The settings that differ between runs, in the order of the first run; None where a run lacks one.

    A run without any setting of a section, as a baseline without a model, does not differ in that section.
    """
    names = dict.fromkeys(name for run in runs for name in run.settings)
    sections = [{name.partition(".")[0] for name in run.settings} for run in runs]
    differing: dict[str, list[Any]] = {}
    for name in names:
        section, dot, _ = name.partition(".")
        known = [run.settings.get(name) for run, own in zip(runs, sections, strict=True) if not dot or section in own]
        if any(value != known[0] for value in known):
            differing[name] = [run.settings.get(name) for run in runs]
    return differing


# Rows -----------------------------------------------------------------------------------------------------------------
def _rows(path: Path) -> RowResults | None:
    if not path.is_file():
        return None
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    try:
        with path.open("rb") as file:
            names = pa_csv.open_csv(file, parse_options=parse).schema.names
            file.seek(0)
            strings = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
            table = pa_csv.read_csv(file, parse_options=parse, convert_options=strings)
        predicted = "prediction" if "prediction" in names else "predicted"
        columns = [table.column(name).to_pylist() for name in ("key", "label", predicted, "loss")]
        loss = np.array([float(value) for value in columns[3]])
    except (OSError, KeyError, ValueError) as error:  # pyarrow's errors are ValueErrors
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({reason}); run validate or test again") from None
    seen: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
    return RowResults([(key, next(seen[key])) for key in columns[0]], columns[1], columns[2], loss)


@dataclass(frozen=True)
class SharedRows:
    """The rows that all runs were measured on, with the same labels.

    Attributes:
        loss: of each run, float64 `(runs, rows)`.
        relabelled: number of other rows that all runs have, with different labels.
        all_rows: whether no run has other rows.
    """

    true: list[str]
    predicted: list[list[str]]
    loss: np.ndarray
    relabelled: int
    all_rows: bool


def shared_rows(runs: Sequence[RunResults]) -> SharedRows | None:
    """Matches the rows of runs by text; None if a run has no rows, or the runs share none."""
    known = [run.rows for run in runs if run.rows is not None]
    if len(known) < len(runs):
        return None
    index_of = [{key: index for index, key in enumerate(rows.keys)} for rows in known]
    common = [key for key in known[0].keys if all(key in indices for indices in index_of)]
    taken = [[indices[key] for key in common] for indices in index_of]
    true = [[rows.true[index] for index in order] for rows, order in zip(known, taken, strict=True)]
    task = runs[0].task
    if task is not None and TASKS[task].has_label_sets:  # the order of the labels in a set does not matter
        true = [[join_names(sorted(split_names(cell))) for cell in cells] for cells in true]
    same = [row for row, labels in enumerate(zip(*true, strict=True)) if len(set(labels)) == 1]
    if not same:
        return None
    return SharedRows(
        [true[0][row] for row in same],
        [[rows.predicted[order[row]] for row in same] for rows, order in zip(known, taken, strict=True)],
        np.array([rows.loss[np.array(order)[same]] for rows, order in zip(known, taken, strict=True)]),
        len(common) - len(same),
        all(len(same) == len(rows.true) for rows in known),
    )
