"""What came out for each row that was measured: gathered from all ranks, in the rows' order, for what looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from lit_textclf.labels import Target
from lit_textclf.losses import row_losses
from lit_textclf.rows import Rows


@dataclass(frozen=True)
class Outcomes:
    """The rows of a split, what they are labelled with, and what the model says of them.

    Attributes:
        split: `validation` or `test`.
        target: task and labels.
        rows: the rows, in the order of the tensors.
        logits: float32 `(rows, outputs)`, before any calibration.
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

    @property
    def losses(self) -> Tensor:
        """The loss of each row, float32 `(rows,)`; their mean is `val_loss` or `test_loss`."""
        return row_losses(self.target.task, self.logits, self.targets)


class CollectOutcomes(Callback):
    """Keeps the outcomes of the last validation or test, whole, on every rank.

    Attributes:
        outcomes: of the last epoch that was validated, or of the test; None before.
    """

    def __init__(self) -> None:
        self.outcomes: Outcomes | None = None
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def _add(self, trainer: pl.Trainer, outputs: Any) -> None:
        # Loaders without a data module: whose rows they are is not known.
        if isinstance(outputs, dict) and getattr(trainer, "datamodule", None) is not None:
            self._batches.append((outputs["row"], outputs["logits"].float(), outputs["target"]))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keeps a batch."""
        self._add(trainer, outputs)

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Keeps a batch."""
        self._add(trainer, outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gathers the batches."""
        self._gather(trainer, "validation")

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gathers the batches."""
        self._gather(trainer, "test")

    def _gather(self, trainer: pl.Trainer, split: str) -> None:
        batches, self._batches = self._batches, []
        if trainer.sanity_checking or not batches:
            return
        parts = [torch.cat(part) for part in zip(*batches, strict=True)]
        if trainer.world_size > 1:
            parts = [torch.cat(gather_all_tensors(part.contiguous())) for part in parts]
        row, logits, targets = (part.cpu() for part in parts)
        order = row.argsort()
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        row = row[order]
        rows, lengths = data.rows[split], torch.from_numpy(data.encoded[split].full_lengths)
        special = data.encoded[split].max_length - data.encoded[split].budget
        if len(row) < len(rows):  # trainer.limit_val_batches
            rows = rows.take(row.numpy())
        self.outcomes = Outcomes(
            split, data.target, rows, logits[order], targets[order], lengths[row] + special, data.max_length
        )
