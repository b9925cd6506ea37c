"""`fit` on a GPU: precisions, torch.compile, kills, processes."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_textclf import main
from tests.conftest import sentences, write_csv
from tests.gpu.conftest import ON_GPU
from tests.integration.test_distributed import run
from tests.training.callbacks.test_stop_and_resume import LAST, assert_equal_bits, finished, launch, steps_of, until

TEN_STEPS = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "10")
GPUS = torch.cuda.device_count() if ON_GPU else 2


def metrics(root: str = ".") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(root, "lightning_logs/version_0/metrics.json").read_text())
    return found


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true"])
def test_precision(gpu_args: list[str], precision: str) -> None:
    main([*gpu_args, "--trainer.precision", precision])
    assert metrics()["val_accuracy"] >= 0.9


def test_auto(gpu_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """The GPU is found, with the precision that it is best at."""
    for option in ("accelerator", "precision"):
        del gpu_args[(place := gpu_args.index(f"--trainer.{option}")) : place + 2]
    main(gpu_args)
    kind = "cuda" if ON_GPU else "cpu"
    assert re.search(rf"(bf16-mixed|16-mixed|32-true) on 1 {kind}", capfd.readouterr().err)
    assert metrics()["val_accuracy"] >= 0.9


@pytest.mark.skipif(not ON_GPU, reason="takes minutes on a CPU")
def test_compile(gpu_args: list[str]) -> None:
    main([*gpu_args, "--model.compile", "true"])
    assert metrics()["val_accuracy"] >= 0.9


@pytest.mark.parametrize("task", ["single_label", "regression"])
def test_the_loss_of_a_cpu(gpu_args: list[str], task: str) -> None:
    """After ten steps without dropout; weights differ, because Adam makes whole steps of gradients that are noise."""
    if task == "regression":
        rows = [(text, str(len(text) / 10)) for text, _ in sentences(100)]
        for option in ("--data.validation_file", "--data.train_file"):
            gpu_args[gpu_args.index(option) + 1] = str(write_csv(Path("values.csv"), ["text", "label"], rows))
    gpu_args += [*TEN_STEPS, "--model.dropout", "0", "--trainer.default_root_dir"]
    main([*gpu_args, "gpu"])
    main([*gpu_args, "cpu", "--trainer.accelerator", "cpu"])
    assert metrics("gpu")["val_loss"] == pytest.approx(metrics("cpu")["val_loss"], rel=1e-3)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_killed_and_resumed_to_the_same_bits(gpu_args: list[str], precision: str) -> None:
    args = [*gpu_args, "--data.batch_size", "2", "--trainer.precision", precision,
            "--trainer.checkpoint_every_n_steps", "10"]  # fmt: skip
    finished([*args, "--trainer.default_root_dir", "whole"])
    total = steps_of("whole" / LAST)
    more: list[str] = []
    for kill in (1, 2):
        process = launch([*args, "--trainer.default_root_dir", "killed", *more])
        until(lambda wanted=kill * total // 3: steps_of("killed" / LAST) >= wanted, process)  # type: ignore[misc]
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        more = ["--ckpt_path", "last"]
    finished([*args, "--trainer.default_root_dir", "killed", *more])
    assert_equal_bits("whole" / LAST, "killed" / LAST)


def test_a_loss_that_is_not_finite_is_named(gpu_args: list[str], fails: Callable[[Sequence[str]], str]) -> None:
    """Some steps later, but before anything is written."""
    said = fails([*gpu_args, "--model.learning_rate", "1e30"])
    assert re.search(r"the loss of step \d+ is (nan|inf); lower model.learning_rate", said)
    assert not Path(LAST).exists()


def test_ddp_on_one_device(gpu_args: list[str]) -> None:
    """NCCL starts, and the run learns what it learns without it."""
    gpu_args += [*TEN_STEPS, "--trainer.default_root_dir"]
    done = run([*gpu_args, "ddp", "--trainer.strategy", "ddp"])
    assert done.returncode == 0, done.stderr
    main([*gpu_args, "plain"])
    assert metrics("ddp")["val_loss"] == pytest.approx(metrics("plain")["val_loss"], rel=1e-3)


@pytest.mark.skipif(GPUS < 2, reason=f"needs two GPUs, there are {GPUS}")
def test_two_devices(gpu_args: list[str]) -> None:
    gpu_args[gpu_args.index("--trainer.devices") + 1] = "2"
    done = run([*gpu_args, "--trainer.strategy", "ddp"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    assert metrics()["val_accuracy"] >= 0.9
