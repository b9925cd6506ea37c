"""The measurement of the model that a probe left: the first point of the validation curve."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_textclf import main
from lit_textclf.classifier.tasks.rules import TaskRules
from tests.conftest import sentences, write_csv

STANDS_STILL = ["--model.learning_rate", "1e-12", "--trainer.max_epochs", "1"]
RUN = Path("lightning_logs/version_0")
LAST = RUN / "checkpoints/last.ckpt"


def probe_lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if "before the first step" in line or "frozen encoder with a" in line]


class Interrupt(Callback):
    """Stops after a step, and sees the random state before the first one."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.state = torch.empty(0)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.state = torch.get_rng_state()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.after:
            raise KeyboardInterrupt


def test_the_first_point_is_that_of_a_model_that_does_not_change(
    fit_args: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskRules, "start_share", 1.0)  # the head starts as the linear model that is measured
    metrics = main([*fit_args, *STANDS_STILL, "--model.pooling", "mean"])
    events = EventAccumulator(str(RUN))
    events.Reload()
    measured = {"val_loss", "val_accuracy", "val_f1_macro", "val_f1", "val_auroc"}
    for name in measured:
        first, last = events.Scalars(name)
        assert (first.step, last.step) == (0, 5)
        assert first.value == pytest.approx(last.value, abs=1e-5)
        assert metrics[name] == pytest.approx(first.value, abs=1e-5)
    assert metrics["baseline_probe_accuracy"] == pytest.approx(metrics["val_accuracy"])
    point, line = probe_lines(capfd.readouterr().err)
    assert re.fullmatch(r"head: before the first step: val_loss 0\.\d{4}, val_.*; \d+ s", point)
    assert "linear model has val_accuracy" in line
    assert "not better by more than chance, difference 0.000" in line


@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.limit_val_batches", "0"],
        ["--trainer.fast_dev_run", "1"],
        ["--model.head_init", "random"],
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_measured(options: list[str], fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*fit_args, *options])
    assert not probe_lines(capfd.readouterr().err)
    assert "baseline_probe_accuracy" not in metrics


def test_many_validation_rows(
    fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_textclf.training.callbacks.collect_outcomes.MOST_ROWS", 15)
    metrics = main([*fit_args, *STANDS_STILL])
    err = capfd.readouterr().err
    assert "head: not measured on the validation rows: 16 rows of " in err
    assert not probe_lines(err)
    assert "baseline_probe_accuracy" not in metrics


@pytest.mark.slow
def test_a_resumed_run_knows_it_for_the_same_rows_only(
    fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    args = [*fit_args, "--trainer.checkpoint_every_n_steps", "2"]
    whole = main([*args, "--trainer.default_root_dir", "whole"])
    with pytest.raises(SystemExit):
        main(args, callbacks=[Interrupt(4)])
    capfd.readouterr()
    resumed = main([*args, "--ckpt_path", str(LAST)])
    (line,) = probe_lines(capfd.readouterr().err)  # nothing is measured again
    assert line.startswith("baseline: ")
    names = [name for name in whole if name.startswith("baseline_probe_")]
    assert names
    assert [resumed[name] for name in names] == [whole[name] for name in names]
    write_csv(reviews["validation"], ["text", "label", "id"], [(*row, "") for row in sentences(95)[79:]])
    main([*args, "--ckpt_path", str(LAST), "--trainer.max_epochs", "3"])
    assert not probe_lines(capfd.readouterr().err)


def test_the_random_state_stays_as_it_is(fit_args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for most in (10_000, 1):
        monkeypatch.setattr("lit_textclf.training.callbacks.collect_outcomes.MOST_ROWS", most)
        watch = Interrupt(-1)
        main([*fit_args, *STANDS_STILL], callbacks=[watch])
        states.append(watch.state)
    assert torch.equal(*states)
