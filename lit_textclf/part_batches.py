"""Batches of rows to be predicted, made part by part as they are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from lit_textclf.batches import Batch, Collator, EncodedRows
from lit_textclf.errors import UserError
from lit_textclf.labels import Target
from lit_textclf.rows import Rows
from lit_textclf.rows.normal import equal_codes, joined
from lit_textclf.rows.stream import RowStream

PART_BATCHES = 64
"""Batches of a part: rows that are sorted by length together, among which equal ones are computed once, and which are
written together. A run that was killed loses one part of each process at the most."""


class Part:
    """Rows one after the other that are predicted together.

    Attributes:
        index: its number, from 0.
        start: the place of its first row in the input.
        rows: its rows.
        targets: what they are labelled with, `(rows,)` or `(rows, outputs)`, or None.
        unmeasured: why there are no targets although there are labels, or None.
        taken: for each row the row of the part that is computed for it, `(rows,)`.
        tally: counts of what was done with the rows, to be added up and said.
    """

    def __init__(self, index: int, start: int, rows: Rows, target: Target) -> None:
        self.index, self.start, self.rows = index, start, rows
        self.targets, self.unmeasured = targets_if_all(target, rows)
        self.taken = np.arange(len(rows))
        self.tally: Counter[str] = Counter()
        if self.targets is not None and target.task == "multi_label":
            self.tally["empty_label_sets"] = int((~self.targets.any(1)).sum())

    def take_equal_rows_once(self) -> None:
        """Computes equal rows once; unless they have labels, for the metrics count each."""
        if self.targets is None:
            codes = equal_codes([joined(self.rows.text, self.rows.text_pair)])[0]
            _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
            self.taken = first[inverse]
            self.tally["equal"] = len(self.rows) - len(first)

    @property
    def computed(self) -> np.ndarray:
        """The rows that are computed, `(rows,)` or fewer."""
        return np.flatnonzero(self.taken == np.arange(len(self.taken)))


@dataclass
class PartBatches(IterableDataset[Batch]):
    """The batches of some parts of a stream of rows, the longest rows of each part first.

    The batch that begins a part has it as `part`. With several workers each makes whole parts.

    Attributes:
        stream: the rows.
        target: task and labels.
        encode: makes tokens of rows.
        collate: makes batches of tokens.
        batch_size: rows of a batch.
        by_length: whether a part's rows are sorted by length, and equal ones computed once.
        part_rows: rows of a part.
        indices: the parts that are wanted, in order.
    """

    stream: RowStream
    target: Target
    encode: Callable[[Rows], EncodedRows]
    collate: Collator
    batch_size: int
    by_length: bool
    part_rows: int
    indices: Sequence[int]

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        wanted = set(self.indices if worker is None else self.indices[worker.id :: worker.num_workers])
        if wanted:
            for index, rows in self.stream.parts(self.part_rows, wanted):
                yield from self._batches(Part(index, index * self.part_rows, rows, self.target))
                wanted.discard(index)
                if not wanted:
                    return

    def _batches(self, part: Part) -> Iterator[Batch]:
        encoded = self.encode(part.rows)
        part.tally.update(encoded.tally())
        if self.by_length:
            part.take_equal_rows_once()
        order = part.computed
        if self.by_length:  # the longest first: a batch that does not fit into memory is noticed at once
            order = order[np.argsort(-encoded.lengths[order], kind="stable")]
        for start in range(0, len(order), self.batch_size):
            batch = self.collate([encoded[row] for row in order[start : start + self.batch_size].tolist()])
            batch["row"] = batch["row"] + part.start
            if not start:
                batch["part"] = part
            yield batch


def targets_if_all(target: Target, rows: Rows) -> tuple[np.ndarray | None, str | None]:
    """Targets of rows to be predicted if every one has a label, and why not where only some have."""
    if rows.label is None or len(rows.unlabelled()) == len(rows):
        return None, None
    try:
        return target.encode(rows), None
    except UserError as error:
        return None, str(error)


def part_rows_for(total: int, batch_size: int, ranks: int) -> int:
    """How many rows a part has: :data:`PART_BATCHES` batches or a few less, so that all ranks have equally many parts.

    Example:
        >>> part_rows_for(37, 64, 3), part_rows_for(20_000, 64, 1), part_rows_for(20_000, 64, 2)
        (13, 4000, 3334)
    """
    parts = -(-total // (PART_BATCHES * batch_size))
    return max(1, -(-total // (-(-parts // ranks) * ranks)))
