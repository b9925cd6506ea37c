"""The data loader of training, which resumes within an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from lit_textclf.utils.messages import UserError, note


class ResumableLoader(DataLoader[Any]):
    """A loader that knows how many batches of which epoch it has yielded, and resumes with the next one.

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
        if hasattr(ours, "skip"):  # nothing is read of the batches before
            ours.skip, skipped = skipped, 0
        for batch in itertools.islice(super().__iter__(), skipped, None):
            self._given += 1
            yield batch

    @property
    def _source(self) -> Any:
        """The sampler that orders the rows, or the batch sampler that does."""
        return self.batch_sampler if getattr(self.batch_sampler, "yields_batches", False) else self.sampler

    def _plan(self) -> dict[str, int]:
        return {
            "batches": len(self),
            "rows": len(self.dataset),  # type: ignore[arg-type]
            "ranks": int(getattr(self.sampler, "num_replicas", 1)),
        }

    def state_dict(self) -> dict[str, Any]:
        """Epoch, seed and batches yielded, and what they are counted in."""
        ours = self._source
        return {
            "given": self._given,
            "epoch": int(getattr(ours, "epoch", 0)),
            "seed": int(getattr(ours, "seed", 0)),
            "plan": self._plan(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes from a state.

        Raises:
            UserError: if it stopped in the middle of an epoch of other rows, batches or ranks.
        """
        ours, given = self._source, int(state["given"])
        seed = int(getattr(ours, "seed", 0))
        if seed != state["seed"] and hasattr(ours, "seed"):
            note(f"seed: the order of the rows continues with the checkpoint's {state['seed']}, not {seed}")
            ours.seed = state["seed"]
        ended = given >= state["plan"]["batches"]
        if not ended and state["plan"] != self._plan():
            counted = "{batches} batches of {rows} rows on {ranks} ranks"
            then, now = counted.format(**state["plan"]), counted.format(**self._plan())
            raise UserError(
                f"the checkpoint stopped at batch {given} of an epoch of {then}, now it would be {now}; continue with "
                "the same rows, data.batch_size and trainer.devices, or from an epoch's end"
            )
        if hasattr(ours, "set_epoch"):
            ours.set_epoch(state["epoch"] + ended)
        self._skip = 0 if ended else given
