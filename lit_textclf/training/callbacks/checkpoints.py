"""Writes best.ckpt and last.ckpt, atomically."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_textclf.classifier.metrics.table import monitor_of
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.atomic import atomic_file, atomic_path
from lit_textclf.utils.messages import UserError, note


class CheckpointFiles(TorchCheckpointIO):
    """Writes checkpoints to a temporary file beside them, and renames it once it is complete.

    Lightning's own class assembles the bytes in memory first, which takes twice the checkpoint's size and three times
    as long (lightning 2.6.6, `_atomic_save`).
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint.

        Raises:
            UserError: if it cannot be written; an older one with that name stays.
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


class BestCheckpoint(ModelCheckpoint):
    """Writes `best.ckpt` after an epoch with the best monitored metric so far; of equal ones, the lowest `val_loss`.

    It has no state of the optimizer, which is twice the size of the weights: `last.ckpt` has it, to resume from.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(filename="best", **kwargs)
        self._loss, self._is_saving = math.inf, False

    @property
    def state_key(self) -> str:
        """The key of Lightning's own class, as in version 0.1."""
        return f"ModelCheckpoint{super().state_key.removeprefix(type(self).__qualname__)}"

    def state_dict(self) -> dict[str, Any]:
        """The best epoch."""
        return {**super().state_dict(), "loss": self._loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the best epoch of the resumed run."""
        super().load_state_dict(state_dict)
        self._loss = state_dict.get("loss", math.inf)

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        """Writes `best.ckpt`."""
        self._is_saving = True
        try:
            super()._save_checkpoint(trainer, filepath)
        finally:
            self._is_saving = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leaves out the optimizer; `save_weights_only` would keep WeightAveraging from saving its average, too."""
        if self._is_saving:
            del checkpoint["optimizer_states"], checkpoint["lr_schedulers"]

    def check_monitor_top_k(self, trainer: pl.Trainer, current: torch.Tensor | None = None) -> bool:
        """Whether an epoch with this value of the monitored metric is the best; may be asked twice."""
        loss = float(trainer.callback_metrics.get("val_loss", math.nan))
        ties = current is not None and self.best_model_score is not None and bool(current == self.best_model_score)
        is_best = super().check_monitor_top_k(trainer, current) or (ties and loss <= self._loss)
        if is_best:
            self._loss = loss
        return is_best


class LastCheckpoint(ModelCheckpoint):
    """Writes `last.ckpt` at each epoch's end."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(filename="last", save_on_train_epoch_end=True, **kwargs)

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint; fixed, whatever the class is called."""
        return f"LastCheckpoint{super().state_key.removeprefix(type(self).__qualname__)}"

    def save_now(self, trainer: pl.Trainer) -> None:
        """Writes `last.ckpt` when a fit is stopped between two steps, unless it already has this step."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_checkpoint(trainer, self.format_checkpoint_name({}))

    @property
    def saved_step(self) -> int:
        """The step that this callback last saved; 0 if it has not saved yet."""
        return self._last_global_step_saved


class StepCheckpoint(ModelCheckpoint):
    """Also writes `last.ckpt` every few steps, except after an epoch's last step, where validation comes first."""

    def __init__(self, steps: int, **kwargs: Any) -> None:
        super().__init__(filename="last", every_n_train_steps=steps, enable_version_counter=False, **kwargs)

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint; fixed, whatever the class is called."""
        return f"StepCheckpoint{super().state_key.removeprefix(type(self).__qualname__)}"

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Writes the checkpoint if it is due."""
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, *args, **kwargs)


def checkpoint_callbacks(
    folder: Path, target: Target, *, validated: bool, every_n_steps: int | None = None
) -> list[ModelCheckpoint]:
    """The callbacks that write `checkpoints/last.ckpt`, and `best.ckpt` with validation rows.

    The best comes first, so that `last.ckpt` contains its state and a resumed run has the best epoch.
    """
    common: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    steps = [] if every_n_steps is None else [StepCheckpoint(every_n_steps, dirpath=folder / "checkpoints")]
    if not validated:
        return [LastCheckpoint(**common), *steps]
    monitor, mode = monitor_of(target.task)
    best = BestCheckpoint(monitor=monitor, mode=mode, **common)
    return [best, LastCheckpoint(**common), *steps]


def best_checkpoint(trainer: pl.Trainer) -> BestCheckpoint | None:
    """The callback of :func:`checkpoint_callbacks` that writes `best.ckpt`; None if the run has none."""
    return next((each for each in trainer.checkpoint_callbacks if isinstance(each, BestCheckpoint)), None)


def written_checkpoints(folder: Path, *, validated: bool) -> list[Path]:
    """The run's `best.ckpt` and `last.ckpt`; without validation, makes `best.ckpt` a link to or copy of `last.ckpt`."""
    best, last = folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        return []
    if not best.exists():
        if validated:
            note("no validation took place: best.ckpt is the same as last.ckpt")
        link_or_copy(last, best)
    return [best, last]


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-links a file under a second name, or copies it on file systems without hard links, atomically.

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
