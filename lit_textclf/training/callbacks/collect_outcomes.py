"""Collects the per-row results of an evaluation, and of the model that a probe left, from all ranks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.metrics.table import shown_in
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.outputs import eval_mode
from lit_textclf.classifier.start.head import MOST_ROWS, MOST_TOKENS, as_probe
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.text_keys import text_keys
from lit_textclf.data.trainer import data_module_of
from lit_textclf.evaluation.baselines import Baseline
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.utils.messages import note, plural

PROBE = ("probe", "the frozen encoder with a linear model")
"""Name and description of this baseline."""


class CollectOutcomes(Callback):
    """Keeps the complete outcomes of the last validation or test on every rank.

    Attributes:
        outcomes: of the last validation or test; None before, and if its rows are not those of a TextDataModule.
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
        # Of other data modules and of loaders, the rows of a batch are unknown.
        if isinstance(outputs, dict) and isinstance(data_module_of(trainer), TextDataModule):
            self._batches.append((outputs["row"], outputs["logits"].float(), outputs["target"]))

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gathers the batches."""
        batches, self._batches = self._batches, []
        if trainer.sanity_checking:
            return
        split = "test" if trainer.testing else "validation"
        self.outcomes = _gathered(trainer, split, batches) if batches else None
        self._evaluation = None

    on_test_epoch_end = on_validation_epoch_end


def _gathered(trainer: pl.Trainer, split: str, batches: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Outcomes:
    """The outcomes of all ranks' batches of row indices, logits and targets; every rank calls it."""
    parts = [torch.cat(part) for part in zip(*batches, strict=True)]
    if trainer.world_size > 1:
        parts = [torch.cat(gather_all_tensors(part.contiguous())) for part in parts]
    data = data_module_of(trainer)
    assert isinstance(data, TextDataModule)
    row, logits, targets = (part.cpu().numpy() for part in parts)
    return Outcomes.from_rows(data, split, row, logits, targets)


class MeasureProbe(Callback):
    """Measures the model that a probe left before the first step of `fit`: the first point of the validation curve.

    The logits of the validation rows stay in checkpoints, so that a resumed run knows this baseline too.
    """

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint; fixed, whatever the class is called."""
        return "MeasureProbe"

    def state_dict(self) -> dict[str, Any]:
        """The logits, and what identifies their rows; empty if nothing was measured."""
        return self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self._state = state_dict

    def baseline(self, rows: Rows) -> Baseline | None:
        """The frozen encoder with a linear model, if it was measured on these rows."""
        if self._state.get("rows") != _digest(rows):
            return None
        return Baseline(*PROBE, self._state["logits"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measures, and logs the metrics of a validation at step 0."""
        assert isinstance(pl_module, TextClassifier)
        data = data_module_of(trainer)
        assert isinstance(data, TextDataModule)
        validated = "validation" in data.encoded and trainer.limit_val_batches == 1.0
        if pl_module.probe is None or not validated or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        rows, tokens = len(data.rows["validation"]), int(data.encoded["validation"].lengths.sum())
        trained = int(data.encoded["train"].lengths.sum()) * max(1, trainer.max_epochs or 1)
        if rows > MOST_ROWS or tokens > max(MOST_TOKENS, trained // 10):
            note(
                f"head: not measured on the validation rows: {plural(rows, 'row')} of {plural(tokens, 'token')} are "
                f"more than {MOST_ROWS:,} rows, or than {MOST_TOKENS:,} tokens and a tenth of those of training"
            )
            return
        started = time.perf_counter()
        with as_probe(pl_module):
            outcomes = outcomes_of(trainer, pl_module, "validation", data.val_dataloader())
        target, logits, targets = outcomes.target, *map(torch.from_numpy, (outcomes.logits, outcomes.targets))
        self._state = {"rows": _digest(outcomes.rows), "logits": logits}
        metrics = StageMetrics(target, "val_", pl_module.hparams["metrics"])
        metrics.update(logits, targets, rules_of(target).loss(logits, targets))
        values = metrics.compute(alone=True)
        for logger in trainer.loggers:
            logger.log_metrics({**values, "epoch": 0}, step=0)
        names = [f"val_{name}" for name in shown_in("epoch_line")]
        shown = ", ".join(f"{name} {values[name]:.4f}" for name in names if name in values)
        note(f"head: before the first step: {shown}; {time.perf_counter() - started:.0f} s")


@torch.no_grad()
def outcomes_of(trainer: pl.Trainer, classifier: TextClassifier, split: str, loader: Any) -> Outcomes:
    """The outcomes of a split, outside of Lightning's loops; every rank calls it. The random state stays as it is."""
    batches = []
    # A loader draws a seed for its workers.
    with torch.random.fork_rng(devices=[]), eval_mode(classifier):
        for batch in loader:
            batch = classifier.transfer_batch_to_device(batch, classifier.device, 0)
            with trainer.precision_plugin.val_step_context():
                logits = classifier.logits_of(batch)
            batches.append((batch["row"], logits.float(), batch["target"]))
    return _gathered(trainer, split, batches)


def _digest(rows: Rows) -> str:
    """The same for the same texts in the same order."""
    return hashlib.blake2b(text_keys(rows).tobytes(), digest_size=8).hexdigest()
