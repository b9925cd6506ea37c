"""Prediction beside `Trainer.predict` and `pipeline("text-classification")`: the same rows and weights, in turn.

Each side runs in a process of its own, A B C A B C ..., whole process from start to exit; the pipeline, row by row, is
timed on some rows and scaled.

Example::

    python benchmarks/predict.py --predict_file sst2/train.csv --rows 20000 --model MODEL --rounds 5
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import PRECISIONS, best_precision, describe
from train import copy_rows, timed

PEERS = ("Trainer, tuned", "Trainer, dynamic padding", "pipeline")


def peer(args: argparse.Namespace) -> None:
    """The other side, in a process of its own: loads, predicts, writes a CSV."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        pipeline,
    )

    with open(args.peer_rows, encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    tokenizer, cuda = AutoTokenizer.from_pretrained(args.model), torch.cuda.is_available()
    started = time.perf_counter()
    if args.peer == "pipeline":
        classify = pipeline("text-classification", model=args.model, tokenizer=tokenizer, device=0 if cuda else -1)
        part = texts[: args.pipeline_rows]
        started = time.perf_counter()
        results = [classify(text, truncation=True, max_length=args.max_length)[0] for text in part]
        loop = (time.perf_counter() - started) * (len(texts) / len(part) - 1)
        print(json.dumps({"rows": len(results), "not_run_seconds": loop}))
        return
    model = AutoModelForSequenceClassification.from_pretrained(args.model)
    encoded = tokenizer(texts, truncation=True, max_length=args.max_length)
    data = [{name: values[row] for name, values in encoded.items()} for row in range(len(texts))]
    tuned: dict[str, Any] = {}
    if args.peer == "Trainer, tuned":
        mixed = {"bf16": args.peer_precision == "bf16", "fp16": args.peer_precision == "fp16"}
        tuned = {**mixed, "train_sampling_strategy": "group_by_length"}
    with tempfile.TemporaryDirectory() as out:
        options = TrainingArguments(out, per_device_eval_batch_size=64, report_to="none", use_cpu=not cuda, **tuned)
        found = Trainer(model, options, data_collator=DataCollatorWithPadding(tokenizer)).predict(data)
    probabilities = torch.tensor(found.predictions).softmax(-1)
    with open(f"{args.peer_rows}.out", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(probabilities.tolist())
    print(json.dumps({"rows": len(texts), "not_run_seconds": 0.0}))


def main() -> None:
    """Trains a checkpoint on a few rows, runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict_file", help="any file or folder that predict reads, with labels")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--rows", type=int, default=20_000, help="number of rows, all different")
    parser.add_argument("--repeat", action="store_true", help="repeat the file's texts in place of making new ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--pipeline_rows", type=int, default=2_000)
    parser.add_argument("--sides", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--peer_rows", help=argparse.SUPPRESS)
    parser.add_argument("--peer_precision", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        peer(args)
        return
    precision = best_precision()
    args.peer_precision = PRECISIONS[precision]
    found: dict[str, list[float]] = {side: [] for side in ("here", *args.sides)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, checkpoint, model = prepare(folder, args)
        for number in range(args.rounds):
            for side, seconds in found.items():
                seconds.append(run_side(side, folder, rows, checkpoint, model, args))
                print(f"round {number + 1}, {side}: {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    print(f"{describe()}, {precision}")
    print("| side | seconds | rows/s | here is faster by |\n|---|---|---|---|")
    for side, seconds in found.items():
        ratios = [theirs / mine for mine, theirs in zip(found["here"], seconds, strict=True)]
        median = statistics.median(seconds)
        shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {side} | {median:.1f} | {args.rows / median:,.0f} | {shown} |")


def prepare(folder: Path, args: argparse.Namespace) -> tuple[Path, Path, Path]:
    """Writes the rows, trains for a step, and saves the model for the other side; the weights are the same."""
    import torch

    from lit_textclf import TextClassifier
    from lit_textclf import main as run

    sample = folder / "sample.csv"
    copy_rows(args.predict_file, sample, None)
    with sample.open(encoding="utf-8", newline="") as file:
        content = list(csv.DictReader(file))
    rows = folder / "rows.csv"
    with rows.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text"])
        writer.writerows([text] for text in _texts([row["text"] for row in content], args.rows, args.repeat))
    run(["fit", "--model.model_name_or_path", args.model, "--data.train_file", str(sample), "--data.max_train_samples",
         "64", "--trainer.max_epochs", "1", "--trainer.default_root_dir", str(folder),
         "--data.max_length", str(args.max_length)])  # fmt: skip
    checkpoint = folder / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    classifier = TextClassifier.load_from_checkpoint(checkpoint)
    classifier.configure_model()
    model: Any = classifier.model
    model.to(torch.float32).save_pretrained(folder / "hf")
    classifier.tokenizer.save_pretrained(folder / "hf")
    return rows, checkpoint, folder / "hf"


def _texts(texts: list[str], rows: int, repeat: bool) -> Iterator[str]:
    """Texts, repeated or all different: the first half of one and the second half of another of similar length.

    Only lit_textclf computes equal rows once, so this is measured only on request.
    """
    generator, seen = random.Random(0), set[str]()
    by_length = sorted(texts, key=len)
    while len(seen) < rows and not repeat:
        place = generator.randrange(len(texts))
        near = min(len(texts) - 1, max(0, place + generator.randint(-50, 50)))
        first, second = by_length[place].split(), by_length[near].split()
        text = " ".join(first[: len(first) // 2] + second[len(second) // 2 :])
        if text not in seen:
            seen.add(text)
            yield text
    if repeat:
        yield from (texts[number % len(texts)] for number in range(rows))


def run_side(side: str, folder: Path, rows: Path, checkpoint: Path, model: Path, args: argparse.Namespace) -> float:
    """Seconds of a side's process."""
    if side == "here":
        command = ["-m", "lit_textclf", "predict", "--ckpt_path", str(checkpoint), "--data.predict_file", str(rows)]
        return timed([sys.executable, *command, "--output", str(folder / "p.csv"), "--overwrite"])[0]
    command = [__file__, "--peer", side, "--peer_rows", str(rows), "--model", str(model)]
    command += [
        "--peer_precision",
        args.peer_precision,
        "--max_length",
        str(args.max_length),
        "--pipeline_rows",
        str(args.pipeline_rows),
    ]
    seconds, _, out = timed([sys.executable, *command])
    return seconds + float(json.loads(out.strip().splitlines()[-1])["not_run_seconds"])


if __name__ == "__main__":
    main()
