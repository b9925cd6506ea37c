"""`classify` from Python: what one text takes beyond the tokenizer and the model, and many texts beside `predict`.

All sides run in one process, in turn, with one model in float32. One text: the tokenizer and the classifier's forward
alone, `classify` of a model as it was loaded (in training mode) and in evaluation mode, and transformers' pipeline.
Many texts: `classify` of a list, and `Trainer.predict` from a file of rows to the written file, with a loaded model.

Example::

    python benchmarks/classify.py --predict_file sst2/train.csv --model MODEL
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from predict import prepare


def in_turn(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def one_text(classifier: Any, folder: Path, texts: list[str], args: argparse.Namespace) -> None:
    """Prints milliseconds of one text, and what they are above the tokenizer and the model."""
    import torch
    from transformers import pipeline

    pipe = pipeline("text-classification", model=str(folder), tokenizer=str(folder), device=-1, dtype=torch.float32)
    tokenizer = classifier.tokenizer

    @torch.inference_mode()
    def alone(text: str) -> None:
        classifier(**tokenizer(text, truncation=True, max_length=args.max_length, return_tensors="pt"))

    found: dict[str, list[float]] = {}
    for number in range(args.texts):
        text = texts[number % len(texts)]
        classifier.eval()
        sides: dict[str, Callable[[], Any]] = {
            "tokenizer and model": lambda text=text: alone(text),
            "`classify`, evaluation mode": lambda text=text: classifier.classify(text),
            "`pipeline`": lambda text=text: pipe(text, truncation=True, max_length=args.max_length, top_k=None),
        }
        for name, seconds in in_turn(sides, 1).items():
            found.setdefault(name, []).extend(seconds)
        classifier.train()
        trained = in_turn({"`classify`, as loaded": lambda text=text: classifier.classify(text)}, 1)
        for name, seconds in trained.items():
            found.setdefault(name, []).extend(seconds)
    base = found["tokenizer and model"]
    print("| one text | ms | above tokenizer and model |\n|---|---|---|")
    for name, seconds in found.items():
        above = statistics.median(one - other for one, other in zip(seconds, base, strict=True))
        print(f"| {name} | {1000 * statistics.median(seconds):.2f} | {1000 * above:.2f} |")


def many_texts(checkpoint: Path, rows: Path, texts: list[str], folder: Path, rounds: int) -> None:
    """Prints seconds of all texts, and the ratio to `predict`."""
    from lit_textclf import PredictionWriter, TextClassifier, TextDataModule, Trainer

    model = TextClassifier.load_from_checkpoint(checkpoint)
    writer = PredictionWriter(folder / "classify.csv", overwrite=True)
    trainer = Trainer(
        callbacks=[writer], logger=False, precision="32-true", accelerator="cpu", enable_progress_bar=False
    )

    def predict() -> None:
        trainer.predict(model, datamodule=TextDataModule(predict_file=rows), return_predictions=False)

    found = in_turn({"`predict`": predict, "`classify`": lambda: model.classify(texts)}, rounds)
    print(f"\n| {len(texts):,} texts | seconds | rows/s | ratio to `predict` |\n|---|---|---|---|")
    for name, seconds in found.items():
        ratios = [mine / theirs for mine, theirs in zip(seconds, found["`predict`"], strict=True)]
        median = statistics.median(seconds)
        print(f"| {name} | {median:.2f} | {len(texts) / median:,.0f} | {statistics.median(ratios):.2f} |")


def main() -> None:
    """Trains a checkpoint on a few rows and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict_file", required=True, help="any file or folder that predict reads, with labels")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--rows", type=int, default=1_000, help="number of texts of the second table, all different")
    parser.add_argument("--texts", type=int, default=200, help="number of texts of the first table")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the second table")
    parser.add_argument("--max_length", type=int, default=128)
    args = parser.parse_args()
    args.repeat = False
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        from lit_textclf import TextClassifier

        folder = Path(name)
        rows, checkpoint, model = prepare(folder, args)
        with rows.open(encoding="utf-8", newline="") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        classifier = TextClassifier.load_from_checkpoint(checkpoint)
        one_text(classifier, model, texts, args)
        many_texts(checkpoint, rows, texts, folder, args.rounds)


if __name__ == "__main__":
    main()
