"""Two real processes on gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_textclf import main
from tests.conftest import sentences, write_csv


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


@pytest.mark.slow
@pytest.mark.parametrize("task", ["single_label", "regression"])
def test_evaluation_counts_every_row_once_on_any_number_of_ranks(
    fit_args: list[str], tmp_path: Path, task: str
) -> None:
    """Rows that do not divide evenly, and losses that differ from row to row: all metrics as of one process."""
    rows = sentences(48)
    if task == "regression":
        rows = [(text, f"{(name == 'positive') * 4 + number % 3 / 4}") for number, (text, name) in enumerate(rows)]
    train = write_csv(tmp_path / "train.csv", ["text", "label"], rows)
    # Long enough for predictions to differ from row to row: Pearson's r of equal ones is noise.
    main([*fit_args, "--data.train_file", str(train), "--data.validation_file", str(train), "--trainer.max_epochs",
          "12", "--model.learning_rate", "1e-2"])  # fmt: skip
    checkpoint = str(Path("lightning_logs/version_0/checkpoints/last.ckpt").resolve())
    for number, ranks in ((7, (2,)), (37, (2, 3))):
        file = write_csv(tmp_path / f"{number}.csv", ["text", "label"], rows[:number])
        found = {}
        for processes in (1, *ranks):
            root = tmp_path / f"{number}_{processes}"
            args = ["validate", "--ckpt_path", checkpoint, "--data.validation_file", str(file),
                    "--trainer.default_root_dir", str(root), "--trainer.precision", "32-true", "--trainer.accelerator",
                    "cpu", "--trainer.devices", str(processes), "--data.eval_batch_size", "4"]  # fmt: skip
            if processes > 1:
                done = run([*args, "--trainer.strategy", "ddp"])
                assert done.returncode == 0, done.stderr
            else:
                main(args)
            found[processes] = json.loads((root / "lightning_logs/version_0/metrics.json").read_text())
        for processes in ranks:
            assert found[processes] == pytest.approx(found[1], abs=1e-6, nan_ok=True), (number, processes)


@pytest.mark.slow
def test_more_ranks_than_rows_is_said_before_anything_hangs(fit_args: list[str], tmp_path: Path) -> None:
    main(fit_args)
    file = write_csv(tmp_path / "two.csv", ["text", "label"], sentences(2))
    done = run(["validate", "--ckpt_path", "last", "--data.validation_file", str(file), "--trainer.devices", "3",
                "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"])  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: validation: 2 rows for 3 ranks; lower trainer.devices" in done.stderr
