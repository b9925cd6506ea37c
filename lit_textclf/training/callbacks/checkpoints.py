"""best.ckpt and last.ckpt: when they are written, and how they appear whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_textclf.classifier.metric_table import monitor_of
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.atomic import atomic_file, atomic_path
from lit_textclf.utils.messages import UserError, note


class CheckpointFiles(TorchCheckpointIO):
    """Writes checkpoints straight to a file beside their place, and renames it once it is whole.

    In place of Lightning's own, which puts the bytes together in memory first: twice the checkpoint's size, and three
    times as long (lightning 2.6.6, `_atomic_save`).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint.

        Raises:
            UserError: if it cannot be written; one of that name is left as it was.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(Path(path), unique=False) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            # torch 2.13 turns its own writer's OSError into a RuntimeError.
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            raise UserError(f"{path}: the checkpoint cannot be written ({cause.strerror or cause})") from None


class LastCheckpoint(ModelCheckpoint):
    """`last.ckpt` of each epoch's end: the same file as `best.ckpt` where that was just written, not a second one.

    Both names then lead to one file (a hard link, or a copy where the file system has none). Every checkpoint is
    renamed into place, so that a new one under either name leaves the other alone.

    Args:
        best: writes `best.ckpt`, and is called before this callback; None where nothing is validated.
        **kwargs: of `ModelCheckpoint`.
    """

    def __init__(self, best: ModelCheckpoint | None, **kwargs: Any) -> None:
        super().__init__(filename="last", save_on_train_epoch_end=True, **kwargs)
        self._best = best

    @property
    def state_key(self) -> str:
        """Finds this callback's state in a checkpoint; fixed, whatever the class is called."""
        return f"LastCheckpoint{super().state_key.removeprefix(type(self).__qualname__)}"

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        best = self._best
        saved = best is not None and best._last_global_step_saved == trainer.global_step
        if best is None or not saved or not Path(best.best_model_path).is_file():  # a sharded one is a folder
            super()._save_checkpoint(trainer, filepath)
            return
        if trainer.is_global_zero:
            link_or_copy(Path(best.best_model_path), Path(filepath))
        trainer.strategy.barrier()
        self._last_global_step_saved = trainer.global_step
        self._last_checkpoint_saved = filepath

    def save_now(self, trainer: pl.Trainer) -> None:
        """Writes `last.ckpt` of a fit that is being stopped between two steps, unless it is of this step already."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_checkpoint(trainer, self.format_checkpoint_name({}))

    @property
    def saved_step(self) -> int:
        """The step that this callback last saved; 0 if it has not saved yet."""
        return self._last_global_step_saved


class StepCheckpoint(ModelCheckpoint):
    """`last.ckpt` every so many steps too, but for an epoch's last one, whose checkpoint follows its validation.

    Args:
        steps: training steps from one to the next.
        **kwargs: of `ModelCheckpoint`.
    """

    def __init__(self, steps: int, **kwargs: Any) -> None:
        super().__init__(filename="last", every_n_train_steps=steps, enable_version_counter=False, **kwargs)

    @property
    def state_key(self) -> str:
        """Finds this callback's state in a checkpoint; fixed, whatever the class is called."""
        return f"StepCheckpoint{super().state_key.removeprefix(type(self).__qualname__)}"

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Writes it, if it is time to."""
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, *args, **kwargs)


_BEST = "best"


def checkpoint_callbacks(
    folder: Path, target: Target, *, validated: bool, every_n_steps: int | None = None
) -> list[ModelCheckpoint]:
    """Keeps `checkpoints/last.ckpt` of each epoch's end, or more often, and, where there are validation rows, the best.

    The best comes first: what it knows of the best epoch is then in `last.ckpt` too, for a run that goes on from it.
    """
    common: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    steps: list[ModelCheckpoint] = []
    if every_n_steps is not None:
        steps = [StepCheckpoint(every_n_steps, dirpath=folder / "checkpoints")]
    if not validated:
        return [LastCheckpoint(None, **common), *steps]
    monitor, mode = monitor_of(target.task)
    best = ModelCheckpoint(filename=_BEST, monitor=monitor, mode=mode, **common)
    return [best, LastCheckpoint(best, **common), *steps]


def best_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The callback of :func:`checkpoint_callbacks` that writes `best.ckpt`; None if the run has none."""
    callbacks = trainer.checkpoint_callbacks
    return next((c for c in callbacks if isinstance(c, ModelCheckpoint) and c.monitor and c.filename == _BEST), None)


def written_checkpoints(folder: Path, *, validated: bool) -> list[Path]:
    """The run's `best.ckpt` and `last.ckpt`; the best is made a copy of the last where nothing chose it."""
    best, last = folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        return []
    if not best.exists():
        if validated:
            note("no validation took place: best.ckpt is the same as last.ckpt")
        link_or_copy(last, best)
    return [best, last]


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name, or a copy where the file system has no hard links; it appears whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        with atomic_path(target, unique=False) as temporary:
            temporary.unlink(missing_ok=True)
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
