"""Start-up: from launch to the first output and to the end of each command, beside `import torch` in the same round.

Each side is a process of its own, A B C A B C ...; printed are medians, and those of the ratios to `import torch` round
by round. `fit` ends after its first step.

Example::

    python benchmarks/startup.py --data_dir DATA --model MODEL --rounds 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from train import copy_rows

TEXT = "A film that one does not forget."
UNIT = "import torch"
PIPELINE = """
import sys
from transformers import pipeline
print(pipeline("text-classification", sys.argv[1])(sys.argv[2]))
"""
CLASSIFY = """
import sys
from lit_textclf import TextClassifier
print(TextClassifier.load_from_checkpoint(sys.argv[1]).classify(sys.argv[2]))
"""
FIRST_STEP = """
import os, sys
from lightning.pytorch.callbacks import Callback
from lit_textclf import main

class FirstStep(Callback):
    def on_train_batch_end(self, *_):
        os._exit(0)

main(sys.argv[1:], callbacks=[FirstStep()])
"""


def prepare(folder: Path, args: argparse.Namespace) -> dict[str, list[str]]:
    """Writes rows, trains two runs on some of them, exports the first; returns the command of each side."""
    from lit_textclf import main as run

    data = Path(args.data_dir)
    train, test = folder / "train.csv", folder / "test.csv"
    copy_rows(str(data / args.task / "train.csv"), train, args.rows)
    copy_rows(str(data / args.task / "test.csv"), test, args.rows)
    root = ["--trainer.default_root_dir", str(folder)]
    fit = ["fit", "--model.model_name_or_path", args.model, "--data.train_file", str(train), "--data.validation_split",
           "0.1", *root]  # fmt: skip
    for seed in ("1", "2"):
        run([*fit, "--data.max_train_samples", "64", "--trainer.max_epochs", "1", "--seed_everything", seed])
    runs = [str(folder / "lightning_logs" / name) for name in ("version_0", "version_1")]
    checkpoint = f"{runs[0]}/checkpoints/best.ckpt"
    for form in ("hf", "onnx"):
        run(["export", "--ckpt_path", checkpoint, "--format", form, "--output", str(folder / form)])
    tool, code = [sys.executable, "-m", "lit_textclf"], [sys.executable, "-c"]
    predict = [*tool, "predict", "--text", TEXT, "--output", str(folder / "out.csv"), "--overwrite", *root]
    return {
        UNIT: [*code, UNIT],
        "import lightning.pytorch": [*code, "import lightning.pytorch"],
        "transformers' pipeline, one text": [*code, PIPELINE, str(folder / "hf"), TEXT],
        "--version": [*tool, "--version"],
        "fit --help": [*tool, "fit", "--help"],
        "check": [*tool, "check", "--model.model_name_or_path", args.model, "--data.train_file", str(train)],
        "compare, two runs": [*tool, "compare", *runs],
        "predict --text": [*predict, "--ckpt_path", checkpoint],
        "predict --text --engine onnx": [*predict, "--engine", "onnx", "--model_dir", str(folder / "onnx")],
        "TextClassifier.classify, one text": [*code, CLASSIFY, checkpoint, TEXT],
        "fit, to its first step": [*code, FIRST_STEP, *fit],
        "fit without a probe, to its first step": [*code, FIRST_STEP, *fit, "--model.head_init", "random"],
        "test": [*tool, "test", "--ckpt_path", checkpoint, "--data.test_file", str(test), *root],
    }


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds from the launch of a process to its first output, as on a terminal, and to its end."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert process.stdout is not None
    output = process.stdout.read(1)
    first = time.perf_counter() - started
    output += process.stdout.read()
    if process.wait():
        raise SystemExit(f"{' '.join(command)}\n{output.decode()}")
    return first, time.perf_counter() - started


def report(found: dict[str, list[tuple[float, float]]]) -> None:
    """Prints the medians of each side, and of its ratios to `import torch` in the same round."""
    print(f"| side | first output: seconds | times {UNIT} | end: seconds | times {UNIT} |\n|---|---|---|---|---|")
    units = [seconds for _, seconds in found[UNIT]]
    for side, rounds in found.items():
        cells = []
        for times in zip(*rounds, strict=True):
            ratios = [seconds / unit for seconds, unit in zip(times, units, strict=True)]
            cells.append(f"{statistics.median(times):.2f}")
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"| {side} | {' | '.join(cells)} |")


def main() -> None:
    """Prepares runs and exports, runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with TASK/{train,test}.csv")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--task", default="sst2", help="the folder of single texts in --data_dir")
    parser.add_argument("--rows", type=int, default=1_000, help="rows that check, fit and test read")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        sides = prepare(Path(name), args)
        found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        for command in sides.values():
            measure(command)  # leaves bytecode and files in the caches
        for number in range(args.rounds):
            for side, command in sides.items():
                found[side].append(measure(command))
                first, end = found[side][-1]
                print(f"round {number + 1}, {side}: {first:.2f} s, {end:.2f} s", file=sys.stderr, flush=True)
    report(found)


if __name__ == "__main__":
    main()
