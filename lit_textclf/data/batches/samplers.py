"""The order in which rows are read: batches of rows of similar length need little padding.

A training sampler is constructed with the keyword arguments `lengths`, `batch_size`, `seed`, `replicas` and `rank`, as
:class:`ShuffledSampler` documents them, and with its own `init_args`. It yields row indices; one that yields lists of
them, a batch each, has `yields_batches = True`. To resume exactly, its order may depend on its attributes `seed` and
`epoch` alone. Lightning calls `set_epoch` on it (of a sampler of batches, on its attribute `sampler`; lightning 2.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler
from torch.utils.data.distributed import DistributedSampler

from lit_textclf.data.batches.dataset import WINDOW_BATCHES, sorted_in_windows
from lit_textclf.data.batches.sampler_names import SAMPLERS
from lit_textclf.utils.class_path import Spec, instantiate, load_class
from lit_textclf.utils.messages import UserError

NOISE = 0.02
"""The relative noise added to lengths before they are sorted, so that batches differ from epoch to epoch, in small data
sets and among the longest rows too. It costs half a percent of padding."""


def _by_about_length(lengths: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The order of rows by their length, within :data:`NOISE`, `(rows,)`."""
    return np.argsort(lengths * generator.uniform(1 - NOISE, 1 + NOISE, len(lengths)), kind="stable")


class ShuffledSampler(DistributedSampler[int]):
    """Training order: shuffled each epoch. With several ranks, rank r takes rows r, r + n, r + 2n, ... of n ranks.

    Rows that do not divide evenly are filled up with repeated ones, as torch does.

    This is a `DistributedSampler` and not a batch sampler, so that Lightning leaves it alone, counts its batches
    correctly, and tells it the epoch (lightning 2.6, `_set_sampler_epoch`).

    Args:
        lengths: tokens of each row, `(rows,)`.
        batch_size: rows of a batch, per rank.
        seed: the same seed gives the same order.
        replicas: the number of ranks.
        rank: this rank.

    Attributes:
        skip: batches to leave out in the next iteration; 0 after that.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(len(lengths)), num_replicas=replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.lengths, self.batch_size, self.skip = lengths, batch_size, 0

    def order(self) -> np.ndarray:
        """All rows in the order of this epoch, of all ranks: `(rows,)`."""
        return np.random.default_rng((self.seed, self.epoch)).permutation(len(self.lengths))

    def __iter__(self) -> Iterator[int]:
        order = self.order()
        if missing := self.total_size - len(order):
            order = np.concatenate([order, np.resize(order, missing)])
        done, self.skip = self.skip * self.batch_size, 0
        return iter(order[self.rank :: self.num_replicas][done:].tolist())


class LengthGroupedSampler(ShuffledSampler):
    """Training order: shuffled each epoch, with rows of similar length in each batch.

    The rows are shuffled, cut into windows of :data:`WINDOW_BATCHES` batches, sorted by approximate length within each
    window, and cut into batches whose order is shuffled. Several ranks share each joint batch row by row, so that all
    have about the same work.
    """

    def order(self) -> np.ndarray:
        """All rows in the order of this epoch, of all ranks: `(rows,)`."""
        generator = np.random.default_rng((self.seed, self.epoch))
        shuffled = generator.permutation(len(self.lengths))
        together = self.batch_size * self.num_replicas
        window = together * WINDOW_BATCHES
        batches: list[np.ndarray] = []
        rest = shuffled[:0]
        for start in range(0, len(shuffled), window):
            part = shuffled[start : start + window]
            part = part[_by_about_length(self.lengths[part], generator)]
            if left := len(part) % together:
                # Only in the last window, whose longest rows would otherwise always be the smaller batch.
                left_out = generator.permutation(len(part))[:left]
                rest, part = part[np.sort(left_out)], np.delete(part, left_out)
            batches.extend(part.reshape(-1, together))
        generator.shuffle(batches)
        return np.concatenate([*batches, rest])


class TokenBudgetBatchSampler(Sampler[list[int]]):
    """Training batches with as many rows of similar length as fit into a number of tokens, padding included.

    All rows are sorted by approximate length and cut at the same indices each epoch, and the batches are shuffled. The
    number of batches stays constant, because Lightning asks for it only once, and so does the schedule.

    `batch_size` is the most tokens of a batch: its rows times the tokens of its longest row.

    Raises:
        UserError: if the longest row does not fit, or with several ranks.
    """

    yields_batches = True

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, replicas: int = 1, rank: int = 0) -> None:
        if replicas > 1:
            raise UserError("data.max_tokens_per_batch works in one process; use --data.batch_size instead")
        self.lengths, self.seed, self.epoch, self.skip = lengths, seed, 0, 0
        self.sampler = self  # Lightning tells the epoch to the batch sampler's sampler (lightning 2.6)
        if len(lengths) and (longest := int(lengths.max())) > batch_size:
            raise UserError(f"data.max_tokens_per_batch {batch_size}: the longest row has {longest} tokens; raise it")
        # A row may be sorted as if it were NOISE shorter, and replace one that is sorted as if it were NOISE longer.
        bounds = np.minimum(np.sort(lengths) * (1 + NOISE) / (1 - NOISE), lengths.max(initial=0))
        self._cuts: list[int] = []
        start = 0
        while start < len(bounds):
            following = bounds[start : start + batch_size]
            padded = following * np.arange(1, len(following) + 1)
            start += int(np.searchsorted(padded, batch_size, side="right"))
            self._cuts.append(start)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which the order depends on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._cuts)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        batches = np.split(_by_about_length(self.lengths, generator), self._cuts[:-1]) if self._cuts else []
        done, self.skip = self.skip, 0
        for index in generator.permutation(len(batches))[done:]:
            yield batches[index].tolist()


class SortedWindowSampler(DistributedSampler[int]):
    """Evaluation order: sorted by length within windows of input order. Each row once, with any number of ranks.

    Restoring input order takes the memory of one window: rows `k * window` to `(k + 1) * window` come
    together.

    This is a `DistributedSampler`, so that Lightning does not replace it by its own, which repeats rows that do not
    divide evenly; here some ranks take one row less.

    Windows of one row are input order.
    """

    def __init__(self, lengths: np.ndarray, window: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(len(lengths)), num_replicas=replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.lengths, self.window = lengths, window

    def __len__(self) -> int:
        return len(range(self.rank, len(self.lengths), self.num_replicas))

    def __iter__(self) -> Iterator[int]:
        order = sorted_in_windows(self.lengths, self.window)
        return iter(order[self.rank :: self.num_replicas].tolist())


def make_sampler(
    sampler: Spec, lengths: np.ndarray, batch_size: int, seed: int, replicas: int, rank: int
) -> Sampler[Any]:
    """Makes the training sampler that `data.sampler` names; `batch_size` may be `data.max_tokens_per_batch`.

    Raises:
        UserError: if its class cannot be imported or constructed, or does not work with several ranks.
    """
    shared = {"lengths": lengths, "batch_size": batch_size, "seed": seed, "replicas": replicas, "rank": rank}
    if isinstance(sampler, str) and sampler in SAMPLERS:
        return load_class(SAMPLERS[sampler], "data.sampler")(**shared)  # type: ignore[no-any-return]
    made: Sampler[Any] = instantiate(sampler, "data.sampler", **shared)
    if replicas > 1 and not isinstance(made, DistributedSampler):
        # Lightning would replace it by a DistributedSampler that shuffles.
        raise UserError(
            f"data.sampler {type(made).__name__}: must be a torch DistributedSampler to run on {replicas} ranks; "
            "set --trainer.devices 1"
        )
    return made
