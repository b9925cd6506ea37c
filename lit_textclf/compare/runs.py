"""What a run's folder says of it: its options, its metrics, and what came out for each row."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import yaml

from lit_textclf.classifier.metric_table import task_of
from lit_textclf.data.rows.labels import in_order, join_names, split_names
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import LOGS

PREFIXES = ("test_", "val_")
_NOT_SETTINGS = ("trainer.default_root_dir", "data.cache_dir", "data.predict_file")
"""Where things lie, which says nothing of what comes out."""
_OF_EVALUATION = (
    "data.test_file", "data.validation_file", "data.max_eval_samples", "data.max_length", "data.long_text",
    "data.positive_label", "trainer.precision", "trainer.limit_test_batches", "trainer.limit_val_batches", "threshold",
    "engine", "model_dir",
)  # fmt: skip
"""Options of `validate` and `test` that what they measure depends on; the others are those of the training."""


@dataclass(frozen=True)
class RowResults:
    """What came out for each row of a run.

    Attributes:
        keys: a hash of each row's text, and how many rows with that hash came before it: what rows of several runs are
            matched by.
        given: the labels, label sets or values that the rows have.
        predicted: those that the model gives.
        loss: of each row, float64 `(rows,)`.
    """

    keys: list[tuple[str, int]]
    given: list[str]
    predicted: list[str]
    loss: np.ndarray


@dataclass(frozen=True)
class RunResults:
    """A run of `fit`, `validate`, `test` or `cross_validate`.

    Attributes:
        name: how it is called in tables: the end of its path, from where the paths of all runs part.
        folder: where it is.
        settings: options by their dotted names.
        metrics: as in `metrics.json`; NaN where it has null.
        rows: None where the run wrote no `outcomes.csv`.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    metrics: Mapping[str, float]
    rows: RowResults | None

    @property
    def prefix(self) -> str:
        """`test_` or `val_`, as its metrics' names begin; empty where they begin otherwise."""
        return next((prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in self.metrics)), "")

    @cached_property
    def task(self) -> str | None:
        """The task that its metrics belong to; None where that cannot be known."""
        return task_of(self.metrics)

    @property
    def positive_label(self) -> str | None:
        """The label that `f1` speaks of, in a binary task."""
        if self.rows is None or not {f"{self.prefix}f1", f"{self.prefix}f1_mean"} & self.metrics.keys():
            return None
        if self.settings.get("data.positive_label") is not None:
            return str(self.settings["data.positive_label"])
        labels = self.settings.get("data.labels") or in_order({*self.rows.given, *self.rows.predicted})
        return str(labels[-1])


def read_runs(paths: Sequence[str]) -> list[RunResults]:
    """Reads runs.

    Args:
        paths: run folders, or folders such as `lightning_logs`, which stand for all runs in them.

    Raises:
        UserError: if one is no run that came to its end, or a file in it cannot be read.
    """
    folders: dict[Path, None] = {}
    for path in paths:
        for folder in _folders(path):
            if folder.resolve() in {known.resolve() for known in folders}:
                note(f"compare: {folder} is given twice, and shown once")
                continue
            folders[folder] = None
    if len(folders) < 2:
        raise UserError(f"compare needs two runs or more, and {' '.join(paths)} is one; add another run's folder")
    names = _names(list(folders))
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)]


def _folders(path: str) -> list[Path]:
    folder = expand_path(path, "the run")
    if not folder.exists() and len(folder.parts) == 1 and Path(LOGS, path).is_dir():
        folder = Path(LOGS, path)
    if folder.is_file():  # a file of the run: metrics.json, a checkpoint
        folder = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
    if not folder.is_dir():
        raise UserError(f"{path}: no such folder; a run is a folder such as {LOGS}/version_0")
    if (folder / "metrics.json").is_file():
        return [folder]
    inside = folder / LOGS if (folder / LOGS).is_dir() else folder
    runs = sorted((found.parent for found in inside.glob("*/metrics.json")), key=_number)
    if not runs:
        raise UserError(f"{folder}: no metrics.json: not the folder of a fit, validate or test that came to its end")
    unfinished = len([found for found in inside.glob("version_*") if found.is_dir() and found not in runs])
    if unfinished:
        note(f"compare: {inside}: {unfinished} of its folders have no metrics.json, and are left out")
    return runs


def _number(folder: Path) -> tuple[str, int]:
    kind, _, number = folder.name.rpartition("_")
    return kind, int(number) if number.isdecimal() else -1


def _names(folders: Sequence[Path]) -> list[str]:
    """The paths below the folder that all are in, without the `lightning_logs` that all have."""
    resolved = [folder.resolve() for folder in folders]
    top = Path(os.path.commonpath(resolved))
    parts = [[part for part in folder.relative_to(top).parts if part != LOGS] for folder in resolved]
    return ["/".join(part) or folder.name for part, folder in zip(parts, resolved, strict=True)]


def _read(folder: Path, name: str) -> RunResults:
    path = folder / "metrics.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run the command that wrote it again") from None
    numbers = (int, float, type(None))
    if not isinstance(content, dict) or not all(isinstance(value, numbers) for value in content.values()):
        raise UserError(f"{path}: not a mapping of names to numbers; run the command that wrote it again")
    metrics = {key: math.nan if value is None else float(value) for key, value in content.items()}
    return RunResults(name, folder, _settings(folder), metrics, _rows(folder / "outcomes.csv"))


# Settings -------------------------------------------------------------------------------------------------------------
def _settings(folder: Path) -> dict[str, Any]:
    """The options of a training; of an evaluation those of the training it measures, and its own that matter."""
    own = _config(folder / "config.yaml")
    if own is None:
        own = _config(folder / LOGS / "version_0" / "config.yaml")  # of a cross-validation, the first fold's
        if own is None:
            note(f"compare: {folder} has no config.yaml: its settings are not known")
            return {}
        own.pop("data.fold", None)
    if own.get("engine") == "torch":  # as fit has it, which has no such option
        own.pop("engine")
    checkpoint = own.pop("ckpt_path", None)
    if checkpoint is None:
        return own
    measured = Path(str(checkpoint))
    training = _config(measured.parent.parent / "config.yaml")
    if training is None:
        note(f"compare: {folder}: no config.yaml beside {measured}: its training is known from the checkpoint only")
        return {**own, "ckpt_path": str(checkpoint)}
    training.pop("ckpt_path", None)
    mine = {key: value for key, value in own.items() if key in _OF_EVALUATION}
    return {**training, **mine, "ckpt_path": str(checkpoint)}


def _config(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a mapping of options")
    flat = _flat(content)
    return {key: value for key, value in flat.items() if key not in _NOT_SETTINGS and not key.startswith("tensorboard")}


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """`{"data": {"batch_size": 8}}` as `{"data.batch_size": 8}`; deeper mappings stay values."""
    flat: dict[str, Any] = {}
    for section, value in content.items():
        if isinstance(value, dict) and section in ("trainer", "model", "data", "metrics", "tensorboard"):
            flat |= {f"{section}.{key}": inner for key, inner in value.items()}
        else:
            flat[str(section)] = value
    return flat


def differing(runs: Sequence[RunResults]) -> dict[str, list[Any]]:
    """The settings that are not the same in all runs, in the order of the first one; null where a run lacks one."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [run.settings.get(name) for run in runs] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}


# Rows -----------------------------------------------------------------------------------------------------------------
def _rows(path: Path) -> RowResults | None:
    if not path.is_file():
        return None
    remedy = "run validate or test again"
    try:
        with path.open("rb") as file:
            names = pa_csv.open_csv(file, parse_options=pa_csv.ParseOptions(newlines_in_values=True)).schema.names
            file.seek(0)
            table = pa_csv.read_csv(
                file,
                parse_options=pa_csv.ParseOptions(newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        predicted = "prediction" if "prediction" in names else "predicted"
        columns = [table.column(name).to_pylist() for name in ("key", "label", predicted, "loss")]
        loss = np.array([float(value) for value in columns[3]])
    except (OSError, KeyError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); {remedy}") from None
    return RowResults(_numbered(columns[0]), columns[1], columns[2], loss)


def _numbered(keys: Iterable[str]) -> list[tuple[str, int]]:
    seen: dict[str, int] = {}
    numbered = []
    for key in keys:
        seen[key] = seen.get(key, -1) + 1
        numbered.append((key, seen[key]))
    return numbered


@dataclass(frozen=True)
class SharedRows:
    """The rows that all runs were measured on, with the same labels.

    Attributes:
        given: their labels.
        predicted: of each run.
        loss: of each run, float64 `(runs, rows)`.
        relabelled: rows that all runs have, but with different labels: not among these.
        all_rows: whether these are all rows of every run.
    """

    given: list[str]
    predicted: list[list[str]]
    loss: np.ndarray
    relabelled: int
    all_rows: bool


def shared_rows(runs: Sequence[RunResults]) -> SharedRows | None:
    """Matches the rows of runs by text; None where a run has none, or they have no row in common."""
    results = [run.rows for run in runs]
    known = [rows for rows in results if rows is not None]
    if len(known) < len(runs):
        return None
    places = [{key: place for place, key in enumerate(rows.keys)} for rows in known]
    common = [key for key in known[0].keys if all(key in places_of for places_of in places)]
    taken = [[places_of[key] for key in common] for places_of in places]
    # The same sets, whatever the order of the labels was.
    spelled = _sorted_names if runs[0].task == "multi_label" else str
    given = [[spelled(rows.given[place]) for place in order] for rows, order in zip(known, taken, strict=True)]
    same = [index for index, labels in enumerate(zip(*given, strict=True)) if len(set(labels)) == 1]
    if not same:
        return None
    return SharedRows(
        [given[0][index] for index in same],
        [[rows.predicted[order[index]] for index in same] for rows, order in zip(known, taken, strict=True)],
        np.array([rows.loss[np.array(order)[same]] for rows, order in zip(known, taken, strict=True)]),
        len(common) - len(same),
        all(len(same) == len(rows.given) for rows in known),
    )


def _sorted_names(cell: str) -> str:
    return join_names(sorted(split_names(cell)))
