"""A run that goes on where it was stopped, to the same bits: its batches, its dropout, and when it may stop.

Every step draws from generators seeded with the run's seed, the epoch, the batch and the rank: what a step draws does
not depend on what was drawn before it, in another process perhaps.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from lit_textclf.errors import UserError, say


class ResumableLoader(DataLoader[Any]):
    """A loader that knows how many batches of which epoch it has given, and goes on with the next one.

    :class:`ExactResume` restores the state. Lightning would too, but not where a schedule asked for the number of steps
    before (lightning 2.6.6, `_FitLoop.setup_data` returns early then). Nothing is read before the first batch is asked
    for: Lightning makes the iterator before it tells the sampler the epoch.
    """

    _given = 0
    _skip = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self._given, self._skip = self._skip, 0
        skipped = self._given
        ours = self._source
        if hasattr(ours, "skip"):  # nothing is read of the batches that were given before
            ours.skip, skipped = skipped, 0
        for batch in itertools.islice(super().__iter__(), skipped, None):
            self._given += 1
            yield batch

    @property
    def _source(self) -> Any:
        """The sampler that orders the rows, or the batch sampler that does."""
        return self.batch_sampler if hasattr(self.batch_sampler, "skip") else self.sampler

    def _plan(self) -> dict[str, int]:
        return {
            "batches": len(self),
            "rows": len(self.dataset),  # type: ignore[arg-type]
            "ranks": int(getattr(self.sampler, "num_replicas", 1)),
        }

    def state_dict(self) -> dict[str, Any]:
        """Epoch, seed and batches given, and what they are counted in."""
        ours = self._source
        return {
            "given": self._given,
            "epoch": int(getattr(ours, "epoch", 0)),
            "seed": int(getattr(ours, "seed", 0)),
            "plan": self._plan(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state.

        Raises:
            UserError: if it stopped in the middle of an epoch of other rows, batches or ranks.
        """
        ours, given = self._source, int(state["given"])
        seed = int(getattr(ours, "seed", 0))
        if seed != state["seed"] and hasattr(ours, "seed"):
            say(f"seed: the order of the rows goes on with the checkpoint's {state['seed']}, not {seed}")
            ours.seed = state["seed"]
        ended = given >= state["plan"]["batches"]
        if not ended and state["plan"] != self._plan():
            counted = "{batches} batches of {rows} rows on {ranks} ranks"
            then, now = counted.format(**state["plan"]), counted.format(**self._plan())
            raise UserError(
                f"the checkpoint stopped at batch {given} of an epoch of {then}, now it would be {now}; go on with the "
                "same rows, data.batch_size and trainer.devices, or from an epoch's end"
            )
        if hasattr(ours, "set_epoch"):
            ours.set_epoch(state["epoch"] + ended)
        self._skip = 0 if ended else given


class ExactResume(Callback):
    """Seeds each training step, and stops all ranks after the same step at SIGTERM, see :func:`heed_sigterm`."""

    def __init__(self) -> None:
        self.seed: int | None = None
        self.asked_to_stop = False
        self._loader: Any = None
        self._loader_state: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The seed, and where the training loader is."""
        return {"seed": self.seed, "loader": None if self._loader is None else self._loader.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the seed and the batches of the run that was stopped."""
        self.seed, self._loader_state = state_dict["seed"], state_dict["loader"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the run's seed, unless a checkpoint gave one, and goes on with the batch after its last one.

        Raises:
            UserError: if the checkpoint stopped in the middle of an epoch of other rows, batches or ranks.
        """
        loader = trainer.train_dataloader
        if isinstance(loader, ResumableLoader):
            self._loader = loader
            if self._loader_state is not None:
                loader.load_state_dict(self._loader_state)
        if self.seed is None:
            given = os.environ.get("PL_GLOBAL_SEED")
            self.seed = int(given) if given is not None else torch.initial_seed() % 2**32

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
        """Lets Lightning stop after this step if any rank was asked to, and no gradients are being accumulated.

        Lightning's own way broadcasts from within the signal's handler, whichever rank has it first, and ranks then
        wait for different things (lightning 2.6.6, `_SignalConnector._sigterm_notifier_fn`).
        """
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if whole and trainer.strategy.reduce_boolean_decision(self.asked_to_stop, all=False):
            trainer._signal_connector.received_sigterm = True


def heed_sigterm(trainer: pl.Trainer, callback: ExactResume) -> None:
    """Lets SIGTERM end a run between two steps, on all ranks together; other commands between two batches."""
    connector = trainer._signal_connector

    def heed(signum: int, frame: Any) -> None:
        if not callback.asked_to_stop and trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signum)  # type: ignore[arg-type]
        callback.asked_to_stop = True
        connector.received_sigterm = connector.received_sigterm or not trainer.training

    connector._sigterm_notifier_fn = heed  # type: ignore[method-assign,assignment]
