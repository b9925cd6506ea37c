"""Stops a run between two steps, and resumes it bit for bit."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_textclf.data.batches.loaders import ResumableLoader
from lit_textclf.training.callbacks.checkpoints import LastCheckpoint
from lit_textclf.utils.messages import note


class ExactResume(Callback):
    """Makes a resumed run bit-identical: seeds each training step, and restores the position in the training rows.

    On SIGTERM it stops all ranks after the same step, and writes `last.ckpt`.
    """

    def __init__(self) -> None:
        self.seed: int | None = None
        self.asked_to_stop = False
        self._loader: Any = None
        self._loader_state: dict[str, Any] | None = None

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint; fixed, whatever the class is called."""
        return "ExactResume"

    def state_dict(self) -> dict[str, Any]:
        """The seed, and the position of the training loader."""
        return {"seed": self.seed, "loader": None if self._loader is None else self._loader.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the seed and the position of the stopped run."""
        self.seed, self._loader_state = state_dict["seed"], state_dict["loader"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Makes SIGTERM end `fit` between two steps, on all ranks together, and other commands between two batches."""
        connector = trainer._signal_connector

        def stop(signum: int, frame: Any) -> None:
            if not self.asked_to_stop and trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(signum)  # type: ignore[arg-type]
            self.asked_to_stop = True
            connector.received_sigterm = connector.received_sigterm or not trainer.training

        connector._sigterm_notifier_fn = stop  # type: ignore[method-assign,assignment]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the run's seed, unless the checkpoint has one, and skips the batches that are done.

        Raises:
            UserError: if the checkpoint was saved in the middle of an epoch with other rows, batches or ranks.
        """
        loader = trainer.train_dataloader
        if isinstance(loader, ResumableLoader):
            self._loader = loader
            if self._loader_state is not None:
                loader.load_state_dict(self._loader_state)
                self._loader_state = None  # another fit of this Trainer begins with complete epochs
        if self.seed is None:
            seed = os.environ.get("PL_GLOBAL_SEED")  # of seed_everything
            self.seed = int(seed) if seed is not None else torch.initial_seed() % 2**32

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds the generators of all devices."""
        assert self.seed is not None
        entropy = (self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Lets Lightning stop after this step if any rank was asked to and no gradients are being accumulated.

        Lightning itself broadcasts from the signal handler of the first rank that gets the signal; ranks then wait for
        different operations (lightning 2.6.6, `_SignalConnector._sigterm_notifier_fn`).
        """
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if complete and trainer.strategy.reduce_boolean_decision(self.asked_to_stop, all=False):
            trainer._signal_connector.received_sigterm = True

    def on_predict_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stops after SIGTERM, which Lightning checks after each batch of other commands (lightning 2.6.6)."""
        if trainer.received_sigterm:
            raise SIGTERMException

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Writes `last.ckpt` when SIGTERM stops a fit, on all ranks, which stop after the same step."""
        last = _last_checkpoint(trainer)
        if isinstance(exception, SIGTERMException) and last is not None:
            last.save_now(trainer)


class ReportStop(Callback):
    """Prints what stopped the run and how to resume it; Lightning exits silently."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Prints one line for Ctrl-C and SIGTERM; errors are reported where they are caught."""
        if not isinstance(exception, (KeyboardInterrupt, SIGTERMException)):
            return
        name = "SIGTERM" if isinstance(exception, SIGTERMException) else "Ctrl-C"
        if trainer.state.fn is not None and trainer.state.fn != "fit":
            note(f"{trainer.state.fn.value} was stopped by {name}")
            return
        total = trainer.estimated_stepping_batches
        of = f" of {total:,}" if total < math.inf else ""
        stopped = f"fit was stopped by {name} at step {trainer.global_step:,}{of}"
        last = _last_checkpoint(trainer)
        path = None if last is None or last.dirpath is None else Path(last.dirpath, "last.ckpt")
        if last is None or path is None or not path.is_file():
            note(f"{stopped}; no checkpoint was saved yet")
            return
        since = "from this step" if last.saved_step == trainer.global_step else "from the last checkpoint"
        note(f"{stopped}; resume {since} with --ckpt_path {os.path.relpath(path)}")


def _last_checkpoint(trainer: pl.Trainer) -> LastCheckpoint | None:
    return next((callback for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint)), None)
