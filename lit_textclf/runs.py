"""A run's folder: `lightning_logs/version_N` with its config, its checkpoints and its metrics, and nobody else's."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_textclf.errors import UserError, say
from lit_textclf.labels import Target

LOGS = "lightning_logs"


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


class SaveRunConfig(SaveConfigCallback):
    """Writes a run's whole config into its folder.

    That of `fit` is without `ckpt_path`: used again it must not go on with that run. That of `validate` and `test`
    says which checkpoint was measured.

    Args:
        parser: the command's parser.
        config: the command's options.
        folder: the run's folder.
    """

    def __init__(self, parser: LightningArgumentParser, config: Any, folder: Path) -> None:
        super().__init__(parser, config)
        self.folder = folder

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Writes `config.yaml`; called before the run begins."""
        if trainer.is_global_zero:
            config = self.config.clone()
            if stage == "fit":
                config.ckpt_path = None
            elif config.ckpt_path is not None:
                config.ckpt_path = str(Path(config.ckpt_path).resolve())
            self.parser.save(config, str(self.folder / "config.yaml"), skip_none=False, overwrite=True, multifile=False)


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

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        best = self._best
        saved = best is not None and best._last_global_step_saved == trainer.global_step
        if best is None or not saved or not Path(best.best_model_path).is_file():  # a sharded one is a folder
            super()._save_checkpoint(trainer, filepath)
            return
        if trainer.is_global_zero:
            link_whole(Path(best.best_model_path), Path(filepath))
        trainer.strategy.barrier()
        self._last_global_step_saved = trainer.global_step
        self._last_checkpoint_saved = filepath

    def save_now(self, trainer: pl.Trainer) -> bool:
        """Writes `last.ckpt` of a run that is being stopped between two steps; whether it was not written already."""
        if self._should_skip_saving_checkpoint(trainer):
            return False
        self._save_checkpoint(trainer, self.format_checkpoint_name({}))
        return True


class StepCheckpoint(ModelCheckpoint):
    """`last.ckpt` every so many steps too, but for an epoch's last one, whose checkpoint follows its validation.

    Args:
        steps: training steps from one to the next.
        **kwargs: of `ModelCheckpoint`.
    """

    def __init__(self, steps: int, **kwargs: Any) -> None:
        super().__init__(filename="last", every_n_train_steps=steps, enable_version_counter=False, **kwargs)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Writes it, if it is time to."""
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, *args, **kwargs)


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
    monitor, mode = target.monitor
    best = ModelCheckpoint(filename="best", monitor=monitor, mode=mode, **common)
    return [best, LastCheckpoint(best, **common), *steps]


def written_checkpoints(folder: Path, *, validated: bool) -> list[Path]:
    """The run's `best.ckpt` and `last.ckpt`; the best is made a copy of the last where nothing chose it."""
    best, last = folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        return []
    if not best.exists():
        if validated:
            say("no validation took place: best.ckpt is the same as last.ckpt")
        link_whole(last, best)
    return [best, last]


def link_whole(source: Path, target: Path) -> None:
    """Gives a file a second name, or a copy where the file system has no hard links; it appears whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.part")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
        temporary.unlink(missing_ok=True)  # renaming does nothing where both names were one file already
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None


def write_metrics(metrics: dict[str, float], folder: Path) -> Path:
    """Writes `metrics.json`, whole or not at all."""
    path, temporary = folder / "metrics.json", folder / ".metrics.json.part"
    # JSON has no NaN: the area under the curve of rows that all have one label is null.
    values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path
