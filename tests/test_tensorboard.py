"""A real TensorBoard answers for the folder of a real run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lit_textclf import main


@pytest.mark.slow
def test_scalars_over_http(fit_args: list[str], tmp_path: Path) -> None:
    main(fit_args)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", "lightning_logs", "--host", "127.0.0.1"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/data/plugin/scalars"
        tags = _answer(f"{url}/tags", server)
        assert {"train_loss", "lr/pg1", "epoch", "val_loss", "val_accuracy", "val_f1_macro"} <= tags["version_0"].keys()
        points = _answer(f"{url}/scalars?run=version_0&tag=val_f1_macro", server)
        assert [point[1] for point in points] == [5, 11]
    finally:
        server.terminate()
        server.wait(20)


def _answer(url: str, server: subprocess.Popen[bytes]) -> dict[str, dict[str, object]]:
    """The server's JSON; asked again until its reader has found the run."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if answer := json.load(response):
                    return answer
        except OSError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"no answer from {url}")
