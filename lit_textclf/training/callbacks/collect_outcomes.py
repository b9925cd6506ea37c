"""Collects the per-row results of an evaluation from all ranks."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from lit_textclf.classifier.module import TextClassifier
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes


class CollectOutcomes(Callback):
    """Keeps the complete outcomes of the last validation or test on every rank.

    Attributes:
        outcomes: of the last validation or test; None before.
    """

    def __init__(self) -> None:
        self.outcomes: Outcomes | None = None
        self._evaluation: Evaluation | None = None
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def evaluation(self, classifier: TextClassifier) -> Evaluation | None:
        """The evaluation of the outcomes, computed once; None before the first validation or test.

        Args:
            classifier: has the calibration and thresholds, which must not change before the next evaluation.
        """
        if self._evaluation is None and self.outcomes is not None:
            self._evaluation = Evaluation(self.outcomes, classifier.calibration, classifier.thresholds)
        return self._evaluation

    def _add(self, trainer: pl.Trainer, outputs: Any) -> None:
        # Without a data module, the rows of a batch are unknown.
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
        self.outcomes = Outcomes.from_rows(data, split, row[order], logits[order], targets[order])
        self._evaluation = None
