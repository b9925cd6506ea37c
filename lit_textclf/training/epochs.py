"""What the Trainer decides by the number of steps: `trainer.max_epochs: auto`, and how often it logs."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, Timer

from lit_textclf.utils.messages import note

FEWEST, MOST, STEPS = 3, 10, 250
"""Epochs at least and at most, and the optimizer steps to reach between them."""


def epochs_for(steps: int) -> int:
    """The number of epochs for a number of optimizer steps in one.

    Three epochs are the usual recommendation (Devlin et al. 2019, appendix A.3). On few rows they end before the model
    has learned the task (Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning", section 6; Mosbach et al. 2021).

    Example:
        >>> [epochs_for(steps) for steps in (5, 20, 34, 200)]
        [10, 10, 8, 3]
    """
    return min(MOST, max(FEWEST, math.ceil(STEPS / max(1, steps))))


def _max_time(trainer: pl.Trainer) -> float | None:
    """The seconds of `trainer.max_time`, which Lightning makes a callback of."""
    timers = [each for each in trainer.callbacks if isinstance(each, Timer)]  # type: ignore[attr-defined]
    return timers[0].time_remaining() if timers else None


def log_each_epoch(trainer: Any) -> None:
    """Lowers `trainer.log_every_n_steps` to the steps of an epoch, so that each epoch has a training loss."""
    interval = trainer.log_every_n_steps
    trainer.log_every_n_steps = 1  # Lightning 2.6.6 warns of a longer interval than an epoch when it loads the rows
    trainer.fit_loop.setup_data()
    steps = trainer.num_training_batches / trainer.accumulate_grad_batches  # infinite without a length
    trainer.log_every_n_steps = int(max(1, min(interval, steps)))


class AutoEpochs(Callback):
    """Sets the Trainer's number of epochs once the training rows are known; a resumed run keeps its own.

    Args:
        active: whether it is this callback that decides.
    """

    def __init__(self, *, active: bool) -> None:
        self.active = active
        self._loop: Any = None

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint; fixed, whatever the class is called."""
        return "AutoEpochs"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Counts the steps of one epoch."""
        self._loop = trainer.fit_loop
        if stage == "fit" and trainer.log_every_n_steps and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            log_each_epoch(trainer)
        if stage == "fit" and self.active and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            if _max_time(trainer) is not None and not getattr(pl_module, "schedule_needs_end", False):
                self._loop.max_epochs = -1
                return
            self._loop.max_epochs = 1
            steps = trainer.estimated_stepping_batches  # -1 for a dataset without a length
            self._loop.max_epochs = epochs_for(int(steps)) if steps > 0 else FEWEST
            if _max_time(trainer) is not None:
                note(
                    f"trainer.max_time: the learning rate falls to its end in {self._loop.max_epochs} epochs, and "
                    "training ends with it; model.lr_scheduler constant trains until the time is over"
                )

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Takes the default of version 0.1, three epochs, for its checkpoints, which have no state of this callback."""
        if self.active and self.state_key not in checkpoint["callbacks"]:
            trainer.fit_loop.max_epochs = FEWEST

    def state_dict(self) -> dict[str, Any]:
        """The number of epochs."""
        return {} if self._loop is None else {"max_epochs": self._loop.max_epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the number of epochs of the resumed run."""
        if self.active and "max_epochs" in state_dict:
            self._loop.max_epochs = state_dict["max_epochs"]
