"""Prediction with torch and with ONNX Runtime: the same rows and weights, in float32, bf16 and int8, in turn.

Each side is `predict` in a process of its own, A B C D A B C D ...; printed are the rows a second of its batches, and
of the whole process from start to exit. bf16 is left out on a machine that only emulates it.

Example::

    python benchmarks/engines.py --predict_file sst2/train.csv --rows 20000 --model MODEL --rounds 3
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import has_bf16
from predict import prepare

SIDES = ("torch 32-true", "onnx", "torch bf16-mixed", "onnx int8")
PAIRS = (("onnx", "torch 32-true"), ("onnx int8", "torch bf16-mixed"), ("onnx int8", "torch 32-true"))


def run(side: str, folder: Path, rows: Path, checkpoint: Path) -> tuple[float, float]:
    """Rows a second of the batches, and seconds of the whole process."""
    command = [sys.executable, "-m", "lit_textclf", "predict", "--data.predict_file", str(rows), "--output",
               str(folder / "out.csv"), "--overwrite", "--trainer.default_root_dir", str(folder)]  # fmt: skip
    engine, _, kind = side.partition(" ")
    if engine == "torch":
        command += ["--ckpt_path", str(checkpoint), "--trainer.precision", kind]
    else:
        command += ["--engine", "onnx", "--model_dir", str(folder / side)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    found = re.search(r"([\d,]+) rows/s", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(done.stderr)
    return float(found[1].replace(",", "")), seconds


def main() -> None:
    """Trains a checkpoint on a few rows, exports it, runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict_file", required=True, help="any file or folder that predict reads, with labels")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--rows", type=int, default=20_000, help="number of rows, all different")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max_length", type=int, default=128)
    args = parser.parse_args()
    args.repeat = False
    from lit_textclf import main as run_command

    sides = [side for side in SIDES if "bf16" not in side or has_bf16()]
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, checkpoint, _ = prepare(folder, args)
        export = ["export", "--ckpt_path", str(checkpoint), "--format", "onnx", "--output"]
        run_command([*export, str(folder / "onnx")])
        run_command(
            [*export, str(folder / "onnx int8"), "--quantize", "int8", "--max_accuracy_drop", "1",
             "--data.validation_file", str(folder / "sample.csv"), "--data.max_eval_samples", "200"]
        )  # fmt: skip
        for number in range(args.rounds):
            for side in sides:
                found[side].append(run(side, folder, rows, checkpoint))
                speed, seconds = found[side][-1]
                print(f"round {number + 1}, {side}: {speed:,.0f} rows/s, {seconds:.1f} s", file=sys.stderr, flush=True)
    print("| side | rows/s | whole process: seconds |\n|---|---|---|")
    for side, runs in found.items():
        print(f"| {side} | {statistics.median(run[0] for run in runs):,.0f} | "
              f"{statistics.median(run[1] for run in runs):.1f} |")  # fmt: skip
    for one, other in [pair for pair in PAIRS if set(pair) <= set(sides)]:
        batches = [mine[0] / theirs[0] for mine, theirs in zip(found[one], found[other], strict=True)]
        whole = [theirs[1] / mine[1] for mine, theirs in zip(found[one], found[other], strict=True)]
        print(
            f"{one} beside {other}: {statistics.median(batches):.2f} ({min(batches):.2f} to {max(batches):.2f}) times "
            f"as fast, the whole process {statistics.median(whole):.2f} ({min(whole):.2f} to {max(whole):.2f})"
        )


if __name__ == "__main__":
    main()
