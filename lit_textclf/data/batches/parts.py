"""Rows to be predicted: their parts, and the batches of these, made as they are needed."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lit_textclf.data.batches.dataset import Encoded, TokenizedDataset
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.stream import RowStream
from lit_textclf.data.rows.text_keys import joined
from lit_textclf.utils.messages import UserError

PART_BATCHES = 64
"""Batches of a part: rows that are sorted by length together and written together. A run that was killed loses one part
of each process at the most."""
REMEMBERED = 16
"""Parts before a part whose texts are known: rows that are equal to one of theirs, or of their own part, are not
computed again. 65,536 rows of the usual 64 a batch; what is kept of each is a digest."""


class Part:
    """Rows one after the other that are predicted together.

    Attributes:
        index: its number, from 0.
        start: the index of its first row in the input.
        rows: its rows.
        targets: what they are labelled with, `(rows,)` or `(rows, outputs)`, or None.
        unmeasured: why the targets are missing although there are labels, or None.
        taken: the row of the part whose result each row takes, `(rows,)`: itself, or an equal one.
        known: rows that an earlier part has computed, and where: its number and the row there.
        tally: counts of what was done with the rows, to be added up and reported.
    """

    def __init__(self, index: int, start: int, rows: Rows, target: Target) -> None:
        self.index, self.start, self.rows = index, start, rows
        self.targets, self.unmeasured = targets_if_all(target, rows)
        self.taken = np.arange(len(rows))
        self.known: dict[int, tuple[int, int]] = {}
        self.tally: Counter[str] = Counter()
        if self.targets is not None and target.has_label_sets:
            self.tally["empty_label_sets"] = len(target.label_task.empty_sets(self.targets))

    @property
    def computed(self) -> np.ndarray:
        """The rows that are computed, `(rows,)` or fewer; one at least, for a part without a batch would never end."""
        own = np.flatnonzero(self.taken == np.arange(len(self.taken)))
        new = own[~np.isin(own, list(self.known))]
        return new if len(new) else own[:1]


class SeenTexts:
    """Which texts the last parts contain, and where; by a digest of 16 bytes, for which no two texts are known."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[int, int]] = {}
        self._parts: deque[list[bytes]] = deque()

    def take_equal_rows_once(self, part: Part) -> None:
        """Finds the rows of a part that are equal to one before them, and remembers the others."""
        first: dict[bytes, int] = {}
        for row, text in enumerate(joined(part.rows.text, part.rows.text_pair).to_pylist()):
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            part.taken[row] = first.setdefault(digest, row)
        part.known = {row: self._found[digest] for digest, row in first.items() if digest in self._found}
        part.tally["equal"] = len(part.rows) - len(first) + len(part.known)
        new = [digest for digest, row in first.items() if row not in part.known]
        self._found.update((digest, (part.index, first[digest])) for digest in new)
        self._parts.append(new)
        if len(self._parts) > REMEMBERED:
            for digest in self._parts.popleft():
                self._found.pop(digest, None)


@dataclass
class PartBatches:
    """The batches of some parts of a stream of rows, the longest rows of each part first.

    The batch that begins a part has it as `part`.

    Attributes:
        collate: makes a batch of rows.
        by_length: whether a part's rows are sorted by length.
        equal_once: whether rows with equal texts are computed once, so that the results of `part.taken` are complete.
        indices: the parts that this process makes, in order.
        left: those of them that are still to be made; the texts of the others are known.
    """

    stream: RowStream
    target: Target
    encode: Callable[[Rows], TokenizedDataset]
    collate: Callable[[list[Encoded]], Any]
    batch_size: int
    by_length: bool
    equal_once: bool
    part_rows: int
    indices: Sequence[int]
    left: Container[int]

    def __iter__(self) -> Iterator[Any]:
        yield from self.batches_of(self.indices)

    def batches_of(self, indices: Sequence[int]) -> Iterator[Any]:
        """The batches of some of the parts."""
        mine = list(indices)
        left = [index for index in mine if index in self.left]
        if not left:
            return
        wanted = mine[max(0, mine.index(left[0]) - REMEMBERED) : mine.index(left[-1]) + 1]
        seen = SeenTexts()
        for index, rows in self.stream.parts(self.part_rows, set(wanted)):
            part = Part(index, index * self.part_rows, rows, self.target)
            if self.equal_once:
                seen.take_equal_rows_once(part)
            if index in self.left:
                yield from self._batches(part)
            if index == wanted[-1]:
                return

    def _batches(self, part: Part) -> Iterator[Any]:
        encoded = self.encode(part.rows)
        part.tally.update(encoded.tally())
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
