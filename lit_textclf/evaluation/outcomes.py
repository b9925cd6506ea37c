"""Per-row results of an evaluation, gathered from all ranks, in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows

if TYPE_CHECKING:
    from lit_textclf.data.encoded_data import EncodedData


@dataclass(frozen=True)
class Outcomes:
    """The rows of a split with their labels and the model's logits.

    Attributes:
        split: `validation` or `test`; `train` for the held-out rows of a cross-validation.
        target: task and labels.
        rows: the rows, in the order of the arrays.
        logits: raw, float32 `(rows, outputs)`.
        targets: as :meth:`Target.encode` gives them, `(rows,)` or `(rows, outputs)`.
        lengths: each row's number of tokens, special tokens included, int64 `(rows,)`.
        max_length: the maximum number of tokens of a sequence.
        fold: the index of the model that gave each row's logits, int64 `(rows,)`; None for one model.
    """

    split: str
    target: Target
    rows: Rows
    logits: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    max_length: int
    fold: np.ndarray | None = None

    @classmethod
    def from_rows(
        cls, data: EncodedData, split: str, row: np.ndarray, logits: np.ndarray, targets: np.ndarray
    ) -> Outcomes:
        """The outcomes of some of a split's rows, with their indices in the split, int64 `(rows,)`, in any order."""
        assert data.target is not None
        order = row.argsort()
        row, logits, targets = row[order], logits[order], targets[order]
        rows, encoded = data.rows[split], data.encoded[split]
        lengths = encoded.full_lengths[row] + encoded.max_length - encoded.budget
        if len(row) < len(rows):  # trainer.limit_val_batches
            rows = rows.take(row)
        return cls(split, data.target, rows, logits, targets, lengths, data.max_length)

    @classmethod
    def joined(cls, parts: Sequence[Outcomes], split: str) -> Outcomes:
        """Joins the outcomes of parts of one file, in the order of its rows, under another name."""
        rows = Rows.of_parts([part.rows for part in parts])
        order = rows.row_numbers.argsort(kind="stable")
        logits, targets, lengths = (
            np.concatenate([getattr(part, name) for part in parts])[order] for name in ("logits", "targets", "lengths")
        )
        part = np.repeat(np.arange(len(parts)), [len(part.logits) for part in parts])[order]
        first = parts[0]
        return cls(split, first.target, rows.take(order), logits, targets, lengths, first.max_length, part)
