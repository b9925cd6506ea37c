"""The best epoch of the report is that of `best.ckpt`, also where there is none."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import Callback

from lit_textclf import main
from lit_textclf.training.callbacks.checkpoints import best_checkpoint
from lit_textclf.training.callbacks.fit_report import EpochReport

BETWEEN = ["--trainer.max_epochs", "5", "--model.learning_rate", "3e-2", "--model.warmup_ratio", "0"]


class Watch(Callback):
    """Keeps the trainer, and the monitored value of each epoch."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.values: list[float] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.trainer = trainer
            self.values.append(float(trainer.callback_metrics["val_f1_macro"]))

    @property
    def report(self) -> EpochReport:
        return next(callback for callback in self.trainer.callbacks if isinstance(callback, EpochReport))


@pytest.mark.parametrize("checkpoints", [True, False])
def test_the_first_of_the_highest_epochs(checkpoints: bool, fit_args: list[str]) -> None:
    watch = Watch()
    args = [] if checkpoints else ["--trainer.enable_checkpointing", "false"]
    found = main([*fit_args, *BETWEEN, *args], callbacks=[watch])
    assert found["val_f1_macro"] == max(watch.values)
    assert watch.report.best_epoch == watch.values.index(max(watch.values)) + 1
    best = best_checkpoint(watch.trainer)
    assert (best is not None) == checkpoints
    if best is not None:
        assert float(best.best_model_score) == found["val_f1_macro"]  # type: ignore[arg-type]
    evaluation = watch.report.best_evaluation
    assert evaluation is not None
    with Path("lightning_logs/version_0/outcomes.csv").open(encoding="utf-8", newline="") as file:
        assert [row["predicted"] for row in csv.DictReader(file)] == evaluation.predicted
    assert 1 - evaluation.wrong.mean() == pytest.approx(found["val_accuracy"])


@pytest.mark.slow
def test_a_resumed_run_keeps_a_better_epoch_of_before(fit_args: list[str]) -> None:
    first = main([*fit_args, *BETWEEN])
    watch = Watch()
    resumed = main([*fit_args, *BETWEEN, "--trainer.max_epochs", "6", "--ckpt_path", "last"], callbacks=[watch])
    assert resumed["val_f1_macro"] == max(first["val_f1_macro"], *watch.values)
    measured = main(["validate", "--ckpt_path", "best", "--data.validation_file", "validation.csv"])
    assert measured["val_f1_macro"] == pytest.approx(resumed["val_f1_macro"])
    assert json.loads(Path("lightning_logs/version_0/metrics.json").read_text())["epochs"] == 6
