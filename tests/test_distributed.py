"""Two real processes on gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(args: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lit_textclf", *args], capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_fit_on_two_ranks_then_predict_on_one(fit_args: list[str], reviews: dict[str, Path]) -> None:
    """Rows divide evenly here: 48 and 16 on two ranks."""
    position = fit_args.index("--trainer.devices")
    fit_args[position + 1] = "2"
    done = run([*fit_args, "--trainer.strategy", "ddp"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    assert done.stderr.count("fit: single_label") == 1
    assert "32-true on 2 cpu; 6 steps" in done.stderr
    metrics = json.loads(Path("lightning_logs/version_0/metrics.json").read_text())
    done = run(["validate", "--ckpt_path", "best", "--data.validation_file", str(reviews["validation"])])
    assert done.returncode == 0, done.stderr
    single = json.loads(Path("lightning_logs/version_1/metrics.json").read_text())
    assert single["val_accuracy"] == pytest.approx(metrics["val_accuracy"], abs=0.07)  # auto precision may be bf16
    ranks = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]
    done = run(["predict", "--ckpt_path", "best", "--text", "good", *ranks])
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: predict does not run in several processes yet")
