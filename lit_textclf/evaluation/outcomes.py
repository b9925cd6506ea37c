"""What came out for each row that was measured: gathered from all ranks, in the rows' order, for what looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows

if TYPE_CHECKING:
    from lit_textclf.data.datamodule import TextDataModule


@dataclass(frozen=True)
class Outcomes:
    """The rows of a split, what they are labelled with, and what the model says of them.

    Attributes:
        split: `validation` or `test`; `train` where the rows were held out of training in turn.
        target: task and labels.
        rows: the rows, in the order of the tensors.
        logits: raw, float32 `(rows, outputs)`. The one exception is `cross_validate`: a fold's logits are calibrated by
            its own temperature before :meth:`joined`, so that all rows are on one scale, and nothing calibrates them
            again.
        targets: as :meth:`Target.encode` gives them, `(rows,)` or `(rows, outputs)`.
        lengths: each row's tokens, special tokens counted, int64 `(rows,)`.
        max_length: the most tokens of a sequence.
    """

    split: str
    target: Target
    rows: Rows
    logits: Tensor
    targets: Tensor
    lengths: Tensor
    max_length: int

    @classmethod
    def from_rows(cls, data: TextDataModule, split: str, row: Tensor, logits: Tensor, targets: Tensor) -> Outcomes:
        """Those of some of a split's rows.

        Args:
            data: has the rows.
            split: `validation` or `test`.
            row: places in the split, sorted, int64 `(rows,)`.
            logits: float32 `(rows, outputs)`.
            targets: as :meth:`Target.encode` gives them.
        """
        assert data.target is not None
        rows, encoded = data.rows[split], data.encoded[split]
        lengths = torch.from_numpy(encoded.full_lengths)[row] + encoded.max_length - encoded.budget
        if len(row) < len(rows):  # trainer.limit_val_batches
            rows = rows.take(row.numpy())
        return cls(split, data.target, rows, logits, targets, lengths, data.max_length)

    @classmethod
    def joined(cls, parts: Sequence[Outcomes], split: str) -> Outcomes:
        """Those of several parts of one set of rows, in the order of its rows.

        Args:
            parts: of rows that know their places in the whole.
            split: what to call the whole.
        """
        rows = Rows.of_parts([part.rows for part in parts])
        assert rows.row_numbers is not None
        order = rows.row_numbers.argsort(kind="stable")
        logits, targets, lengths = (
            torch.cat([getattr(part, name) for part in parts])[torch.from_numpy(order)]
            for name in ("logits", "targets", "lengths")
        )
        return cls(split, parts[0].target, rows.take(order), logits, targets, lengths, parts[0].max_length)

    @property
    def losses(self) -> Tensor:
        """The loss of each row, float32 `(rows,)`; their mean is `val_loss` or `test_loss`."""
        return rules_of(self.target).row_losses(self.logits, self.targets)
