"""Ctrl-C and SIGTERM: one line, exit code 1, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import Callback

from lit_textclf import main
from tests.conftest import write_csv


def _restore_sigint() -> None:
    """A background job ignores SIGINT, and so do the processes it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(args: list[str], sent: signal.Signals, when: str) -> subprocess.CompletedProcess[str]:
    """Runs a command and sends it a signal once a line of its standard error has appeared."""
    log = Path("stderr.txt")
    with log.open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "lit_textclf", *args], stdout=subprocess.PIPE, stderr=err, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
            preexec_fn=_restore_sigint,
        )  # fmt: skip
    deadline = time.monotonic() + 120
    while when not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(sent)
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    return subprocess.CompletedProcess(args, process.returncode, out, log.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_fit(sent: signal.Signals, name: str, fit_args: list[str]) -> None:
    fit_args[fit_args.index("--trainer.max_epochs") + 1] = "100000"
    done = stopped(fit_args, sent, "epoch 2 of")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"fit was stopped by {name} at step" in done.stderr.splitlines()[-1]
    assert "--ckpt_path lightning_logs/version_0/checkpoints/last.ckpt" in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    main(["validate", "--ckpt_path", "last", "--data.validation_file", "validation.csv"])


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_predict(sent: signal.Signals, fit_args: list[str]) -> None:
    main(fit_args)
    write_csv(Path("many.csv"), ["text"], [(f"the film was good {number}",) for number in range(300_000)])
    args = ["predict", "--ckpt_path", "last", "--data.predict_file", "many.csv", "--data.eval_batch_size", "8"]
    done = stopped(args, sent, "predict: 300,000 rows")
    assert done.returncode not in (0, 2)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not Path("predictions.csv").exists()
    assert not list(Path().glob(".predictions.csv*"))


RANKS = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]


class Started(Callback):
    """Prints a line in the first batch: from then on Lightning handles signals."""

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if batch_idx == 0:
            print("the first batch", file=sys.stderr, flush=True)

    on_test_batch_start = on_validation_batch_start


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [[], RANKS], ids=["one", "ranks"])
@pytest.mark.parametrize(("command", "split"), [("validate", "validation"), ("test", "test")])
def test_evaluation(command: str, split: str, ranks: list[str], fit_args: list[str]) -> None:
    main(fit_args)
    rows = [(f"the film was good {number}", "positive") for number in range(200_000)]
    write_csv(Path("many.csv"), ["text", "label"], rows)
    args = [command, "--ckpt_path", "last", f"--data.{split}_file", "many.csv", "--data.eval_batch_size", "4"]
    args += ["--trainer.callbacks", "tests.integration.test_signals.Started", "--trainer.accelerator", "cpu"]
    done = stopped([*args, *ranks], signal.SIGTERM, "the first batch")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines().count(f"{command} was stopped by SIGTERM") == 1
    assert done.stdout == ""
    assert not Path("lightning_logs/version_1/metrics.json").exists()
