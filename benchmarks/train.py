"""Training beside `transformers.Trainer`: the same rows, weights, seed, batch size and epochs, measured in turn.

Each side runs in a process of its own, A B C A B C ..., and the medians of the ratios are printed: of the training
loop's rows a second, and of the whole process from start to exit. `fit` and a tuned Trainer compute in the precision
that the machine is best at. `peak_share` is what the linear layers do for real tokens, as a share of the products in
that precision that this machine was measured to do in the same round.

Example::

    python benchmarks/train.py --train_file sst2/train.csv --model MODEL --rows 1280 --rounds 5
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import PRECISIONS, best_precision, describe, matrix_product_peak

HERE = Path(__file__).parent
# Trainer trains the model's own pooler and a random head.
SAME_NETWORK = ("--model.pooling", "own", "--model.head_init", "random")
Run = Callable[[Path, argparse.Namespace], dict[str, float]]


def timed(command: list[str]) -> tuple[float, int, str]:
    """Runs a process; returns its seconds, its peak memory in bytes, and what it printed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = status
        out.seek(0)
        errors.seek(0)
        if status:
            raise SystemExit(f"{' '.join(command)}\n{errors.read()}")
        return seconds, usage.ru_maxrss * 1024, out.read()


def ours(folder: Path, args: argparse.Namespace, *more: str) -> dict[str, float]:
    """`lit-textclf fit`, with more options."""
    root = folder / f"runs{time.time_ns()}"
    command = [
        sys.executable, "-m", "lit_textclf", "fit", "--model.model_name_or_path", args.model,
        "--data.train_file", str(folder / "rows" / "train.csv"), "--data.max_length", str(args.max_length),
        "--data.batch_size", str(args.batch_size), "--trainer.max_epochs", str(args.epochs), "--model.learning_rate",
        "5e-5", "--trainer.default_root_dir", str(root), *SAME_NETWORK, *more,
    ]  # fmt: skip
    if (validation := folder / "rows" / "validation.csv").exists():
        command += ["--data.validation_file", str(validation)]
    seconds, memory, _ = timed(command)
    metrics = json.loads((root / "lightning_logs" / "version_0" / "metrics.json").read_text(encoding="utf-8"))
    shown = ("rows_per_second", "tokens_per_second", "padding_share")
    return {**{name: metrics[name] for name in shown}, "process_seconds": seconds, "peak_gb": memory / 1e9}


def trainer(*flags: str) -> Run:
    """`transformers.Trainer` with flags of `peer.py`."""

    def run(folder: Path, args: argparse.Namespace) -> dict[str, float]:
        output = folder / "peer.json"
        command = [
            sys.executable, str(HERE / "peer.py"), "--data_dir", str(folder), "--task", "rows",
            "--model", args.model_folder, "--output", str(output), "--epochs", str(args.epochs),
            "--max_length", str(args.max_length), "--batch_size", str(args.batch_size), "--splits",
            "validation", "--precision", PRECISIONS[args.precision], *flags,
        ]  # fmt: skip
        seconds, memory, _ = timed(command)
        found = json.loads(output.read_text(encoding="utf-8"))
        return {"rows_per_second": found["rows_per_second"], "process_seconds": seconds, "peak_gb": memory / 1e9}

    return run


SIDES: dict[str, Run] = {
    "here": ours,
    "Trainer, tuned": trainer("--tuned"),
    "Trainer, dynamic padding": trainer("--no-tuned"),
    "Trainer, padded": trainer("--no-tuned", "--padded"),
}
"""Tuned: the best precision of the machine, `group_by_length` and fused AdamW."""


def copy_rows(source: str, target: Path, rows: int | None, seed: int = 0) -> None:
    """Writes a random sample of rows as CSV (all of them without a number), whatever they are read from."""
    from lit_textclf.data.readers.tables import ReadOptions
    from lit_textclf.data.rows.columns import ColumnNames
    from lit_textclf.data.rows.read import read_files

    read = read_files(source, ColumnNames(), ReadOptions(("utf-8", "latin-1")), option="--train_file")
    if rows is not None:
        read = read.take(np.sort(np.random.default_rng(seed).permutation(len(read))[:rows]))
    columns = {"text_a": read.text, "text_b": read.text_pair} if read.text_pair is not None else {"text": read.text}
    columns["label"] = read.label
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.to_pylist() for column in columns.values()), strict=True))


def flop_per_token(model: str) -> int:
    """What training takes for a token in the encoder's linear layers: 2 FLOP a weight, forward and twice backward.

    Attention's products and layers that see one token of a row (pooler, classifier) are left out.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    with torch.device("meta"):
        built = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(model))
    linear = [(name, each) for name, each in built.named_modules() if isinstance(each, torch.nn.Linear)]
    return 6 * sum(each.weight.numel() for name, each in linear if "pooler" not in name and "classifier" not in name)


def add_peak_share(found: dict[str, list[dict[str, float]]], peaks: list[float], flop: int) -> None:
    """Adds tokens/s and the share of the round's peak to each run; all sides read the same tokens."""
    per_row = [run["tokens_per_second"] / run["rows_per_second"] for run in found["here"]]
    for runs in found.values():
        for run, peak, tokens in zip(runs, peaks, per_row, strict=True):
            run["tokens_per_second"] = run["rows_per_second"] * tokens
            run["peak_share"] = run["tokens_per_second"] * flop / peak


def report(found: dict[str, list[dict[str, float]]]) -> None:
    """Prints the medians of each side, and of the ratios to it round by round."""
    names = list(dict.fromkeys(name for runs in found.values() for name in runs[0]))
    print("| side | " + " | ".join(names) + " | loop: here is faster by | process: here is faster by |")
    print("|---|" + "---|" * (len(names) + 2))
    for side, runs in found.items():
        cells = [f"{statistics.median(run[name] for run in runs):,.4g}" if name in runs[0] else "" for name in names]
        pairs = list(zip(found["here"], runs, strict=True))
        loop = [mine["rows_per_second"] / theirs["rows_per_second"] for mine, theirs in pairs]
        process = [theirs["process_seconds"] / mine["process_seconds"] for mine, theirs in pairs]
        ratios = [f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in (loop, process)]
        print(f"| {side} | " + " | ".join([*cells, *ratios]) + " |")


def main() -> None:
    """Parses the arguments, runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_file", required=True, help="any file or folder that fit reads")
    parser.add_argument("--validation_file", help="validated after each epoch here, and at the end there")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--rows", type=int, help="size of a sample of the training rows; all rows by default")
    parser.add_argument("--sides", nargs="*", choices=SIDES, default=list(SIDES)[:3])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=32)
    args = parser.parse_args()
    import torch

    from lit_textclf.utils.paths import resolve_path

    args.model_folder = str(resolve_path(args.model))
    args.precision = best_precision()
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    found: dict[str, list[dict[str, float]]] = {side: [] for side in ("here", *args.sides)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows").mkdir()
        copy_rows(args.train_file, folder / "rows" / "train.csv", args.rows)
        if args.validation_file:
            copy_rows(args.validation_file, folder / "rows" / "validation.csv", None)
        peaks = []
        for number in range(args.rounds):
            peaks.append(matrix_product_peak(args.precision, args.device))
            for side, runs in found.items():
                runs.append(SIDES[side](folder, args))
                print(f"round {number + 1}, {side}: {_shown(runs[-1])}", file=sys.stderr, flush=True)
    add_peak_share(found, peaks, flop_per_token(args.model_folder))
    print(f"{describe()}; matrix products, {args.precision}: {statistics.median(peaks) / 1e9:,.0f} GFLOP/s")
    report(found)


def _shown(run: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in run.items())


if __name__ == "__main__":
    main()
