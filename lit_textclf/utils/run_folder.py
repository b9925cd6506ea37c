"""A run's folder, `lightning_logs/version_N`: made, found from a checkpoint, and its files."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lit_textclf.utils.atomic import write_file
from lit_textclf.utils.messages import UserError, rank

LOGS = "lightning_logs"
CONFIG, METRICS, OUTCOMES = "config.yaml", "metrics.json", "outcomes.csv"
"""The files that commands read again: the run's options, its metrics, and the result of each evaluated row."""
SECTIONS = ("trainer", "model", "data", "metrics", "tensorboard")
"""The sections of a config; its other keys are options of the command."""
OTHER_ROOT = "change trainer.default_root_dir"


# Folders --------------------------------------------------------------------------------------------------------------


def new_folder(parent: Path, prefix: str) -> Path:
    """Makes the folder with the next number, as `version_3`; two runs started together get two."""
    start = len(prefix)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            taken = [int(path.name[start:]) for path in parent.glob(f"{prefix}*") if path.name[start:].isdecimal()]
            folder = parent / f"{prefix}{max(taken, default=-1) + 1}"
            if rank() != 0:
                return folder  # not used: only rank 0 writes
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise UserError(f"{parent}: cannot be written to ({error.strerror}); {OTHER_ROOT}") from None


def run_of(checkpoint: Path) -> Path:
    """The folder of the run that wrote a checkpoint, if it is still where `fit` put it."""
    return checkpoint.resolve().parent.parent


def folder_of(checkpoint: Path, root: Path) -> Path | None:
    """The run folder below `root` in which `fit` continues from a `last.ckpt`; None for any other checkpoint."""
    folder = run_of(checkpoint)
    own = checkpoint.name == "last.ckpt" and folder.parent == (root / LOGS).resolve()
    return root / LOGS / folder.name if own else None


# Files ----------------------------------------------------------------------------------------------------------------


def read_config(folder: Path) -> dict[str, Any] | None:
    """The options in `config.yaml`, by section; None if the folder has no such file."""
    path = folder / CONFIG
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must be a mapping of options; restore it, or run the command again")
    return content


def dotted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their dotted names.

    Example:
        >>> dotted({"data": {"batch_size": 8, "dataset_splits": {"test": "dev"}}, "seed_everything": 42})
        {'data.batch_size': 8, 'data.dataset_splits': {'test': 'dev'}, 'seed_everything': 42}
    """
    options: dict[str, Any] = {}
    for section, value in config.items():
        if isinstance(value, dict) and section in SECTIONS:
            options |= {f"{section}.{key}": inner for key, inner in value.items()}
        else:
            options[str(section)] = value
    return options


def options_of_run(checkpoint: Path) -> dict[str, Any]:
    """The options of the run that wrote a checkpoint, by their dotted names; empty if they cannot be read."""
    try:
        return dotted(read_config(run_of(checkpoint)) or {})
    except UserError:
        return {}


def read_metrics(folder: Path) -> dict[str, float]:
    """The metrics in `metrics.json`; NaN for null."""
    path, remedy = folder / METRICS, "run the command that wrote it again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {remedy}") from None
    numbers = (int, float, type(None))
    if not isinstance(content, dict) or not all(isinstance(value, numbers) for value in content.values()):
        raise UserError(f"{path}: not a mapping of names to numbers; {remedy}")
    return {name: math.nan if value is None else float(value) for name, value in content.items()}


def write_metrics(metrics: Mapping[str, float], folder: Path) -> Path:
    """Writes `metrics.json`."""
    # JSON has no NaN: the area under the curve of rows that all have the same label is null.
    values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    write_file(folder / METRICS, json.dumps(values, indent=2, allow_nan=False) + "\n", remedy=OTHER_ROOT)
    return folder / METRICS
