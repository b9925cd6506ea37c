"""A run that was stopped goes on to the same bits: weights, optimizer and all."""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch import Callback

from lit_textclf import TextClassifier, TextDataModule, Trainer, main
from lit_textclf.training import callbacks as training_callbacks
from lit_textclf.training.callbacks.checkpoints import LastCheckpoint
from tests.conftest import sentences, write_csv

LAST = Path("lightning_logs/version_0/checkpoints/last.ckpt")


def trained(path: Path) -> dict[str, torch.Tensor]:
    """All that training has changed: weights, and the optimizer's averages by number, which best.ckpt does not have."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    tensors = dict(content["state_dict"])
    if path.name != "best.ckpt":
        for number, state in content["optimizer_states"][0]["state"].items():
            tensors |= {f"optimizer {number} {name}": value for name, value in state.items()}
        tensors["lr"] = torch.tensor(content["lr_schedulers"][0]["_last_lr"])
    tensors["steps"] = torch.tensor(content["global_step"])
    return tensors


def assert_equal_bits(one: Path, other: Path) -> None:
    first, second = trained(one), trained(other)
    assert first.keys() == second.keys()
    assert not [name for name in first if not torch.equal(first[name], second[name])]


def stopped_at(args: list[str], batch: int) -> None:
    """Runs fit, and raises what Ctrl-C raises when so many batches are done."""
    seen = list[int]()

    def count(self: Any, *args: Any) -> None:
        seen.append(1)
        if len(seen) > batch:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextClassifier, "on_train_batch_start", count)
        with pytest.raises(SystemExit):
            main(args)


KINDS = {
    "by length": [],
    "shuffled": ["--data.batch_by_length", "false"],
    "by tokens": ["--data.max_tokens_per_batch", "64"],
    "by a sampler of one's own": ["--data.sampler", "tests.data.batches.test_samplers.InOrder"],
    "accumulated": ["--trainer.accumulate_grad_batches", "2"],
    "validated often": ["--trainer.val_check_interval", "0.5"],
    "own dropout": ["--model.fast_kernels", "false"],
    "adapters": ["--model.lora", "{r: 4, dropout: 0.1, target_modules: [query, dense]}"],
    "layer by layer": ["--model.layerwise_lr_decay", "0.5", "--model.gradient_checkpointing", "true"],
}


STOPS = (3, 6, 9)
"""Batches: in the first epoch, after its end (two steps of a batch each), in the second one."""


def stops_of_each_kind() -> list[object]:
    """One stop of every fourth kind in the quick suite; the others take minutes."""
    quick = {(kind, STOPS[index % 3]) for index, kind in enumerate(KINDS) if index % 4 == 0}
    each = [(kind, stop) for kind in KINDS for stop in STOPS]
    return [pytest.param(*one, marks=[] if one in quick else [pytest.mark.slow]) for one in each]


@pytest.mark.parametrize(("kind", "batches"), stops_of_each_kind())
def test_stopped_anywhere_it_goes_on_to_the_same_bits(kind: str, batches: int, fit_args: list[str]) -> None:
    every, batches_a_step = (1, 2) if kind == "accumulated" else (2, 1)
    args = [*fit_args, *KINDS[kind], "--trainer.checkpoint_every_n_steps", str(every)]
    main([*args, "--trainer.default_root_dir", "whole"])
    stopped_at([*args, "--trainer.default_root_dir", "other"], batches)
    assert 0 < steps_of("other" / LAST) >= batches // batches_a_step - every
    main([*args, "--trainer.default_root_dir", "other", "--ckpt_path", "last"])
    assert_equal_bits("whole" / LAST, "other" / LAST)


@pytest.mark.slow
def test_the_best_checkpoint_is_the_same_too(fit_args: list[str]) -> None:
    args = [*fit_args, "--trainer.checkpoint_every_n_steps", "2", "--trainer.max_epochs", "4"]
    whole = main([*args, "--trainer.default_root_dir", "whole"])
    stopped_at([*args, "--trainer.default_root_dir", "other"], 15)
    other = main([*args, "--trainer.default_root_dir", "other", "--ckpt_path", "last"])
    best = LAST.with_name("best.ckpt")
    assert_equal_bits("whole" / best, "other" / best)
    metrics = [name for name in whole if name.startswith("val_")]
    assert [whole[name] for name in metrics] == [other[name] for name in metrics]


def test_other_rows_in_the_middle_of_an_epoch(fit_args: list[str], fails: Callable[[list[str]], str]) -> None:
    args = [*fit_args, "--trainer.checkpoint_every_n_steps", "2"]
    stopped_at(args, 3)
    error = fails([*args, "--ckpt_path", "last", "--data.batch_size", "4"])
    assert "stopped at batch 2 of an epoch of 6 batches of 48 rows on 1 ranks, now it would be 12 batches" in error


def test_another_seed_is_said(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "1"])
    main([*fit_args, "--ckpt_path", "last", "--seed_everything", "7"])
    assert "seed: the order of the rows continues with the checkpoint's 42, not 7" in capfd.readouterr().err


def test_changed_training_rows_are_said(
    fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    main([*fit_args, "--trainer.max_epochs", "1"])
    rows = sentences(48)
    write_csv(reviews["train"], ["text", "label"], [("a new text", "positive"), *rows[1:]])
    main([*fit_args, "--ckpt_path", "last"])
    assert "training rows: 1 text new since the checkpoint, 1 no longer there" in capfd.readouterr().err


def launch(args: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lit_textclf", *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip


def finished(args: list[str]) -> None:
    process = launch(args)
    err = process.communicate(timeout=200)[1]
    assert process.returncode == 0, err


def steps_of(path: Path) -> int:
    """The steps of a checkpoint, 0 where there is none yet."""
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except FileNotFoundError:
        return 0


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def long_run(fit_args: list[str], tmp_path: Path) -> list[str]:
    """A fit of a thousand steps, some seconds."""
    train = write_csv(tmp_path / "long.csv", ["text", "label"], sentences(1000))
    fit_args[fit_args.index("--trainer.max_epochs") + 1] = "4"
    return [*fit_args, "--data.train_file", str(train), "--data.batch_size", "4", "--trainer.accelerator", "cpu"]


WAYS = {
    "one": [],
    "workers": ["--data.num_workers", "2"],
    "ranks": ["--trainer.devices", "2", "--trainer.strategy", "ddp"],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_five_times(way: str, long_run: list[str]) -> None:
    """SIGKILL at random moments; each run resumes from the last one's checkpoint."""
    every, moments = 10, random.Random(1)
    args = [*long_run, *WAYS[way], "--trainer.checkpoint_every_n_steps", str(every)]
    finished([*args, "--trainer.default_root_dir", "whole"])
    total = steps_of("whole" / LAST)
    more: list[str] = []
    for kill in range(5):
        wanted = (kill + 1) * total // 7
        process = launch([*args, "--trainer.default_root_dir", "killed", *more])
        until(lambda wanted=wanted: steps_of("killed" / LAST) >= wanted, process)  # type: ignore[misc]
        time.sleep(moments.random() * 0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        more = ["--ckpt_path", "last"]
    finished([*args, "--trainer.default_root_dir", "killed", *more])
    assert_equal_bits("whole" / LAST, "killed" / LAST)
    assert_equal_bits("whole" / LAST.with_name("best.ckpt"), "killed" / LAST.with_name("best.ckpt"))


class Sigterm(Callback):
    """Sends SIGTERM to its own process in the second epoch."""

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == 8:
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_saves_and_is_reported(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(fit_args, callbacks=[Sigterm()])
    assert steps_of(LAST) == 9
    line = "fit was stopped by SIGTERM at step 9 of 12; resume from this step with --ckpt_path"
    assert line in capfd.readouterr().err


def test_sigterm_saves_without_a_report(
    reviews: dict[str, Path], tiny_bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From Python nothing is printed, and the checkpoint is there all the same."""
    data = TextDataModule(train_file=str(reviews["train"]), max_length=16, batch_size=8)
    last = LastCheckpoint(dirpath="run")
    options: dict[str, Any] = {"accelerator": "cpu", "precision": "32-true", "logger": False, "limit_val_batches": 0}
    trainer = Trainer(max_epochs=2, callbacks=[Sigterm(), last], enable_progress_bar=False, **options)
    with pytest.raises(SystemExit):
        trainer.fit(TextClassifier(str(tiny_bert)), data)
    assert "stopped" not in capfd.readouterr().err
    assert steps_of(Path("run/last.ckpt")) == 9


class SigtermInEvaluation(Callback):
    """Sends SIGTERM to its own process in the first batch, and counts the batches."""

    def __init__(self) -> None:
        self.batches = 0

    def on_validation_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.batches += 1
        os.kill(os.getpid(), signal.SIGTERM)

    on_test_batch_start = on_validation_batch_start


@pytest.mark.parametrize(("command", "split"), [("validate", "validation"), ("test", "test")])
def test_sigterm_ends_an_evaluation(
    command: str, split: str, fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    main([*fit_args, "--trainer.max_epochs", "1"])
    sigterm = SigtermInEvaluation()
    args = [command, "--ckpt_path", "last", f"--data.{split}_file", str(reviews[split]), "--data.eval_batch_size", "2"]
    with pytest.raises(SystemExit) as raised:
        main(args, callbacks=[sigterm])
    assert (raised.value.code, sigterm.batches) == (1, 1)
    assert capfd.readouterr().err.splitlines()[-1] == f"{command} was stopped by SIGTERM"


def test_states_in_checkpoints_do_not_depend_on_the_names_of_classes() -> None:
    """A class that is renamed must go on finding its state in old checkpoints."""
    callbacks: list[type] = []
    for module in pkgutil.iter_modules(training_callbacks.__path__, f"{training_callbacks.__name__}."):
        found = vars(importlib.import_module(module.name)).values()
        callbacks += [each for each in found if isinstance(each, type) and each.__module__ == module.name]
    stateful = {each for each in callbacks if issubclass(each, Callback) and each.state_dict is not Callback.state_dict}
    assert {each.__name__ for each in stateful} == {
        "BestCheckpoint", "EpochReport", "ExactResume", "LastCheckpoint", "MeasureProbe", "StepCheckpoint",
    }  # fmt: skip
    assert all("state_key" in vars(each) for each in stateful)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["one", "ranks"])
def test_sigterm_saves_at_the_current_step(way: str, long_run: list[str]) -> None:
    args = [*long_run, *WAYS[way]]
    finished([*args, "--trainer.default_root_dir", "whole"])
    process = launch([*args, "--trainer.default_root_dir", "stopped"])
    until(("stopped" / LAST).exists, process)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "resume from this step with --ckpt_path stopped/lightning_logs/version_0/checkpoints/last.ckpt" in err
    steps = steps_of("stopped" / LAST)
    assert f"fit was stopped by SIGTERM at step {steps:,} of" in err
    assert 0 < steps < steps_of("whole" / LAST)
    finished([*args, "--trainer.default_root_dir", "stopped", "--ckpt_path", "last"])
    assert_equal_bits("whole" / LAST, "stopped" / LAST)
