"""What a terminal and a pipe show while a command runs."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lit_textclf import main
from lit_textclf.utils import messages

COLOR = re.compile(r"\x1b\[[0-9;]*(3[0-8]|9[0-7])[0-9;]*m")


def on_a_terminal(args: list[str], **environment: str) -> str:
    """All that a command writes to a terminal 160 columns wide."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "lit_textclf", *args]
    settings = {**os.environ, "COLUMNS": "160", "TERM": "xterm-256color", **environment}
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=settings) as process:
        os.close(follower)
        parts = []
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not part:
                break
            parts.append(part)
    os.close(leader)
    assert process.returncode == 0, b"".join(parts).decode()
    return b"".join(parts).decode()


@pytest.mark.slow
@pytest.mark.parametrize("no_color", [False, True])
def test_terminal(fit_args: list[str], no_color: bool) -> None:
    shown = on_a_terminal(fit_args, **({"NO_COLOR": "1"} if no_color else {}))
    for word in (r"rows/s: [\d,]+ ", r"tokens/s: [\d,]+ ", r"left: \d:\d\d:\d\d", "train_loss: 0"):
        assert re.search(word, shown), word
    assert "v_num" not in shown
    for epoch in (1, 2):  # lines that stay when the bar has gone
        assert len(re.findall(rf"epoch {epoch} of 2: train_loss", shown)) == 1
    assert bool(COLOR.search(shown)) is not no_color


@pytest.mark.slow
def test_pipe(fit_args: list[str]) -> None:
    command = [sys.executable, "-m", "lit_textclf", *fit_args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not re.search(r"[\x1b\r\b━]", done.stdout + done.stderr)
    lines = done.stderr.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert re.search(r"rows/s, [\d,]+ tokens/s, .*padding; \d:\d\d:\d\d left$", epochs[0])
    assert epochs[1].endswith("padding")  # nothing is left
    assert lines[-1].startswith("next: ")
    assert done.stdout.splitlines()[-1].startswith("wrote ")
    assert Path("lightning_logs/version_0/outcomes.csv").is_file()


@pytest.mark.slow
def test_lines_of_a_long_run(
    fit_args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a bar, each batch after a quiet time has its line: here after any time."""
    monkeypatch.setattr(messages, "QUIET_SECONDS", 0.0)
    main([*fit_args, "--model.head_init", "probe"])
    shown = capsys.readouterr().err
    assert re.search(r"^head: reads the training rows, batch \d of \d \(\d+%\)$", shown, re.M)
    line = r"^epoch 2 of 2: batch 4 of 6 \(67%\), [\d,]+ rows/s, train_loss \d\.\d{4}; 0:00:\d\d left$"
    assert re.search(line, shown, re.M)
    assert re.search(r"^epoch 1 of 2: validation: batch 1 of 1 \(100%\), [\d,]+ rows/s$", shown, re.M)
    main(["test", "--ckpt_path", "best", "--data.test_file", "test.csv"])
    assert re.search(r"^test: batch 1 of 1 \(100%\), [\d,]+ rows/s$", capsys.readouterr().err, re.M)
    main(["predict", "--ckpt_path", "best", "--data.predict_file", "test.csv", "--data.eval_batch_size", "5"])
    line = r"^predict: row 10 of 15 \(67%\), [\d,]+ rows/s; 0:00:\d\d left$"
    assert re.search(line, capsys.readouterr().err, re.M)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [True, False])
def test_the_bar_is_obeyed(fit_args: list[str], wanted: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal there is a bar only if it is asked for."""
    main([*fit_args, "--trainer.enable_progress_bar", str(wanted).lower()])
    shown = capfd.readouterr().err
    assert ("━" in shown) is wanted
    assert len(re.findall("epoch [12] of 2: train_loss", shown)) == 2
    predict = ["predict", "--ckpt_path", "best", "--data.predict_file", "test.csv"]
    main([*predict, "--trainer.enable_progress_bar", str(wanted).lower()])
    assert ("━" in capfd.readouterr().err) is wanted
