"""A run's folder, `lightning_logs/version_N`: made, found again, and its metrics."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_textclf.utils.atomic import write_file
from lit_textclf.utils.messages import UserError

LOGS = "lightning_logs"
SECTIONS = ("trainer", "model", "data", "metrics", "tensorboard")
"""The sections of a config."""


def read_run_file(checkpoint: Path, name: str) -> dict[str, Any]:
    """`config.yaml` or `metrics.json` of the run that a checkpoint lies in; empty where it has none."""
    path = checkpoint.resolve().parent.parent / name
    try:
        content = path.read_text(encoding="utf-8")
        found = json.loads(content) if path.suffix == ".json" else yaml.safe_load(content)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def new_run_folder(root: Path) -> Path:
    """Makes the next `lightning_logs/version_N` below a folder; two runs started together get two.

    Raises:
        UserError: if it cannot be made.
    """
    return new_folder(root / LOGS, "version_")


def new_folder(parent: Path, prefix: str) -> Path:
    """Makes the folder of the next number, as `version_3`.

    Raises:
        UserError: if it cannot be made.
    """
    start = len(prefix)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            taken = [int(path.name[start:]) for path in parent.glob(f"{prefix}*") if path.name[start:].isdecimal()]
            folder = parent / f"{prefix}{max(taken, default=-1) + 1}"
            if rank_zero_only.rank != 0:  # type: ignore[attr-defined]
                return folder  # what the other ranks think of it is not used
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise UserError(f"{parent}: cannot be written to ({error.strerror}); change trainer.default_root_dir") from None


def folder_of(checkpoint: Path, root: Path) -> Path | None:
    """The run folder below `root` that a `last.ckpt` belongs to, where `fit` goes on; None for any other checkpoint."""
    folder = checkpoint.resolve().parent.parent
    own = checkpoint.name == "last.ckpt" and folder.parent == (root / LOGS).resolve()
    return root / LOGS / folder.name if own else None


def write_metrics(metrics: dict[str, float], folder: Path) -> Path:
    """Writes `metrics.json`.

    Raises:
        UserError: if it cannot be written.
    """
    path = folder / "metrics.json"
    # JSON has no NaN: the area under the curve of rows that all have one label is null.
    values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    content = json.dumps(values, indent=2, allow_nan=False) + "\n"
    write_file(path, content, remedy="change trainer.default_root_dir")
    return path
