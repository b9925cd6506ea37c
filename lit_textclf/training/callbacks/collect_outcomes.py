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

    def evaluation(self, pl_module: pl.LightningModule) -> Evaluation | None:
        """The evaluation of the outcomes, computed once; None before the first validation or test.

        The classifier's calibration and thresholds must not change before the next one.
        """
        assert isinstance(pl_module, TextClassifier)
        if self._evaluation is None and self.outcomes is not None:
            self._evaluation = Evaluation(self.outcomes, pl_module.calibration, pl_module.thresholds)
        return self._evaluation

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keeps a batch."""
        # Without a data module, the rows of a batch are unknown.
        if isinstance(outputs, dict) and getattr(trainer, "datamodule", None) is not None:
            self._batches.append((outputs["row"], outputs["logits"].float(), outputs["target"]))

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gathers the batches."""
        batches, self._batches = self._batches, []
        if trainer.sanity_checking or not batches:
            return
        parts = [torch.cat(part) for part in zip(*batches, strict=True)]
        if trainer.world_size > 1:
            parts = [torch.cat(gather_all_tensors(part.contiguous())) for part in parts]
        row, logits, targets = (part.cpu() for part in parts)
        order = row.argsort()
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        split = "test" if trainer.testing else "validation"
        self.outcomes = Outcomes.from_rows(data, split, row[order], logits[order], targets[order])
        self._evaluation = None

    on_test_epoch_end = on_validation_epoch_end
