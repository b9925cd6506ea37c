"""Checkpoints: finding them by name, reading them without running code, checking that they fit."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.data.labels.target import Target
from lit_textclf.data.tokens.tokenizer import tokenizer_to_files
from lit_textclf.data.trainer import data_module_of
from lit_textclf.models.adapters import refuse_another_way
from lit_textclf.models.config import config_to_json
from lit_textclf.utils.class_path import is_class_path
from lit_textclf.utils.messages import UserError
from lit_textclf.utils.paths import expand_path, without_folders
from lit_textclf.version import __version__

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

ALIASES = ("last", "best")
_NOT_CARRIED = ("fast_kernels", "compile", "gradient_checkpointing")
OF_THE_OPTIMIZER = ("optimizer", "lr_scheduler", "learning_rate", "weight_decay")
"""Options of the optimizer and its schedule."""
WRITTEN_BY = "lit_textclf"
"""The key of a checkpoint under which it says its format and the version that wrote it."""
FORMAT = 2
"""The format of a checkpoint's contents, raised when older code would misread them; 1, of 0.1.0, is not written."""
Checkpoint = dict[str, Any]


def _name_the_pooling(checkpoint: Checkpoint) -> None:
    checkpoint["hyper_parameters"].setdefault("pooling", "own")  # version 0.1 had no other


MIGRATIONS: dict[int, Callable[[Checkpoint], None]] = {1: _name_the_pooling}
"""For each older format, what changes a checkpoint of it, in place, into one of the next format."""


def written_by() -> dict[str, Any]:
    """What a checkpoint has under :data:`WRITTEN_BY`."""
    return {"format": FORMAT, "version": __version__}


def migrate(checkpoint: Checkpoint, source: object = "the checkpoint") -> None:
    """Changes a checkpoint of an older format, in place, into one of this version's.

    Args:
        checkpoint: what a checkpoint file contains, `hyper_parameters` included.
        source: what an error calls it.

    Raises:
        UserError: if a newer version wrote it in a format that this one does not know.
    """
    written = checkpoint.get(WRITTEN_BY, {"format": 1})
    if written["format"] > FORMAT:
        raise UserError(
            f"{source}: written by lit_textclf {written['version']} in format {written['format']}, and this version, "
            f"{__version__}, reads formats up to {FORMAT}; run pip install -U lit-textclf"
        )
    for number in range(written["format"], FORMAT):
        MIGRATIONS[number](checkpoint)
    checkpoint[WRITTEN_BY] = {**written, "format": FORMAT}


def carried(
    options: Mapping[str, Any],
    *,
    target: Target,
    calibration: Calibration,
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerFast,
) -> dict[str, Any]:
    """The `hyper_parameters` of a checkpoint that can be used alone, as plain values for :func:`read_checkpoint`.

    Options that depend on the machine are left out. Of a local folder only the name is kept: checkpoints are shared.
    """
    kept = {name: value for name, value in options.items() if name not in _NOT_CARRIED}
    names = {name: kept[name] for name in ("model_name_or_path", "tokenizer_name_or_path") if kept.get(name)}
    return {
        **kept,
        **{name: without_folders(value) for name, value in names.items()},
        "target": target.to_dict(),
        "calibration": calibration.to_dict(),
        "architecture": config_to_json(config),
        "tokenizer": tokenizer_to_files(tokenizer),
    }


def refuse(
    checkpoint: Checkpoint, target: Target | None, trained: Mapping[str, Any], *, resumes: object | None
) -> None:
    """Refuses a checkpoint that does not fit this classifier.

    Args:
        checkpoint: its contents.
        target: the classifier's task and labels.
        trained: see :func:`lit_textclf.models.adapters.refuse_another_way`; and :data:`OF_THE_OPTIMIZER`, of which a
            resumed run may change only those of AdamW and the named schedules.
        resumes: the file that `fit` resumes; None if its weights are only used.

    Raises:
        UserError: if the names or order of the labels differ, or the trained parameters, or if training cannot resume.
    """
    stored = checkpoint["hyper_parameters"]
    if resumes is not None and "optimizer_states" not in checkpoint:
        last = Path(str(resumes)).with_name("last.ckpt")
        other = last.is_file() and last != Path(str(resumes))
        remedy = f"use --ckpt_path {last}" if other else "leave out --ckpt_path to train from the start"
        raise UserError(f"{resumes}: has no state of the optimizer, so that fit cannot resume from it; {remedy}")
    if target is not None and (conflict := Target.from_dict(stored["target"]).conflict(target.task, target.labels)):
        raise UserError(conflict)
    own = any(is_class_path(each.get(name)) for each in (stored, trained) for name in ("optimizer", "lr_scheduler"))
    fixed = {
        name: value for name, value in trained.items() if name not in OF_THE_OPTIMIZER or (own and value != "auto")
    }
    refuse_another_way(stored, fixed, resumes=resumes is not None)


def training_keys_of(checkpoint: Checkpoint) -> Tensor | None:
    """The keys of the training rows, int64 `(texts,)`, as the data module stores them; None if there are none."""
    states = (state for state in checkpoint.values() if isinstance(state, Mapping))
    return next((state["trained_on"] for state in states if "trained_on" in state), None)


def leave_out_other_data(checkpoint: Checkpoint, classifier: Any) -> None:
    """Removes what Lightning adds of the data module of an earlier call, of a model trained on loaders only."""
    trainer = classifier._trainer
    data: LightningDataModule | None = None if trainer is None else trainer.datamodule
    if data is not None and data_module_of(trainer) is None and not classifier.trained_with:
        for name in (data.CHECKPOINT_HYPER_PARAMS_KEY, data.CHECKPOINT_HYPER_PARAMS_NAME, type(data).__qualname__):
            checkpoint.pop(name, None)


def find_checkpoint(name: str, root: Path) -> Path:
    """Finds the newest `last.ckpt` or `best.ckpt` below a folder; other names are paths.

    Raises:
        UserError: if the file does not exist.
    """
    if name not in ALIASES:
        path = expand_path(name, "--ckpt_path")
        if path.is_dir() and (path / "checkpoints" / "best.ckpt").is_file():
            return path / "checkpoints" / "best.ckpt"
        if path.is_dir():
            raise UserError(f"{path}: a folder, not a checkpoint; name a .ckpt file, last or best in --ckpt_path")
        if not path.exists():
            raise UserError(f"{path}: no such checkpoint; change --ckpt_path (a file, last or best)")
        return path
    found = sorted(root.rglob(f"{name}.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"--ckpt_path {name}: no {name}.ckpt below {root}; train first, or name a file")
    return found[-1]


def read_checkpoint(path: Path) -> CheckpointInfo:
    """Reads everything except the weights of a checkpoint, with `weights_only=True`.

    Raises:
        UserError: if the file is cut short, not a checkpoint, or one of another project.
    """
    if path.suffix in (".safetensors", ".onnx", ".bin"):
        raise UserError(f"{path}: exported weights, not a checkpoint; name the run's .ckpt, as best.ckpt")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path}: not a checkpoint, or one that would run code when loaded; name another") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        if not _is_zip(path):
            raise UserError(f"{path}: not a checkpoint; --ckpt_path names a .ckpt file that fit wrote") from None
        reason = str(error).splitlines()[0]
        remedy = _instead_of(path)
        raise UserError(f"{path}: the checkpoint is cut short or damaged ({reason:.80}); {remedy}") from None
    if (damaged := _damaged(path)) is not None:
        raise UserError(f"{path}: the checkpoint is damaged ({damaged}); {_instead_of(path)}")
    model = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not {"target", "architecture", "tokenizer"} <= model.keys():
        raise UserError(f"{path}: not a lit_textclf checkpoint (no labels, no tokenizer); pass one written by fit")
    migrate(content, path)
    keys = training_keys_of(content)
    return CheckpointInfo(
        path,
        Target.from_dict(model.pop("target")),
        architecture=model.pop("architecture"),
        tokenizer=model.pop("tokenizer"),
        calibration=Calibration.from_dict(model.pop("calibration", None)),
        model=model,
        data=dict(content.get("datamodule_hyper_parameters", {})),
        trained_on=None if keys is None else keys.numpy().view(np.uint64).copy(),
        callbacks=tuple(map(str, content.get("callbacks", {}))),
    )


def _damaged(path: Path) -> str | None:
    """What is wrong with a checkpoint's bytes, or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        return str(error)
    return None if member is None else f"checksum of {member}"


def _instead_of(path: Path) -> str:
    """Names the newest intact checkpoint in the same folder."""
    others = [other for other in path.parent.glob("*.ckpt") if other.name != path.name and other.is_file()]
    for other in sorted(others, key=lambda found: found.stat().st_mtime, reverse=True):
        # torch raises errors of many types for a file that it did not write; such a file is not offered.
        with contextlib.suppress(Exception):
            if _damaged(other) is None:
                content = torch.load(other, map_location="cpu", weights_only=True, mmap=True)
                state = "" if "optimizer_states" in content else ", not to resume fit"
                return f"use the one before it: --ckpt_path {other} (step {content['global_step']}{state})"
    return "no intact checkpoint was found next to it; train again"


def digest_of(path: Path) -> str:
    """A digest of a checkpoint's contents, from the checksums in its zip directory."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename.partition("/")[2], info.CRC, info.file_size) for info in archive.infolist()]
    return hashlib.blake2b(repr(members).encode(), digest_size=16).hexdigest()


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
