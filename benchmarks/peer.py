"""The other side of every comparison: `transformers.Trainer` on the same rows, with the same settings.

Example::

    python benchmarks/peer.py --data_dir DATA --task sst2 --model MODEL --output peer_sst2.json
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import PRECISIONS, best_precision
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a CSV file, or of JSON lines with label lists, as dictionaries."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file, strict=True))


def hold_out_validation(folder: Path, rows: dict[str, list[dict[str, Any]]], share: float) -> None:
    """Moves the training rows that lit_textclf would hold out to `validation`, so that both sides have the same."""
    from lit_textclf.data.readers.tables import ReadOptions
    from lit_textclf.data.rows.columns import ColumnNames
    from lit_textclf.data.rows.holdout import hold_out
    from lit_textclf.data.rows.read import read_files
    from lit_textclf.data.rows.text_keys import text_keys

    read = read_files(str(folder / "train.csv"), ColumnNames(), ReadOptions(), option="--data_dir")
    codes = np.unique([row["label"] for row in rows["train"]], return_inverse=True)[1]
    train, _, validation = hold_out(text_keys(read), codes, None, share)
    rows["train"], rows["validation"] = [rows["train"][i] for i in train], [rows["train"][i] for i in validation]


class Encoded(torch.utils.data.Dataset):
    """Tokenized rows with their labels, as Trainer takes them."""

    def __init__(self, rows: list[dict[str, str]], tokenizer: Any, labels: list[str] | None, max_length: int) -> None:
        pair = "text_b" in rows[0]
        first = [row["text_a" if pair else "text"] for row in rows]
        second = [row["text_b"] for row in rows] if pair else None
        self.encodings = tokenizer(first, second, truncation=True, max_length=max_length)
        self.labels = [_encode(row["label"], labels) for row in rows]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {**{k: v[i] for k, v in self.encodings.items()}, "labels": self.labels[i]}


def _encode(label: Any, labels: list[str] | None) -> Any:
    """A class's index, a row of zeros and ones for a list of names, or a number."""
    if isinstance(label, list):
        return [float(name in label) for name in labels or ()]
    return labels.index(label) if labels else float(label)


def scores(logits: np.ndarray, targets: np.ndarray, labels: list[str] | None) -> dict[str, float]:
    """Accuracy, F1 of the last label and macro F1; Pearson's r and MSE for regression; F1s of label sets."""
    if labels is not None and targets.ndim == 2:
        sets = (logits >= 0).astype(int)
        return {
            "f1_micro": float(f1_score(targets, sets, average="micro", zero_division=0)),
            "f1_macro": float(f1_score(targets, sets, average="macro", zero_division=0)),
            "exact_match": float((targets == sets).all(-1).mean()),
        }
    if labels is None:
        return {
            "pearson": float(pearsonr(logits.ravel(), targets).statistic),
            "spearman": float(spearmanr(logits.ravel(), targets).statistic),
            "mse": float(np.mean((logits.ravel() - targets) ** 2)),
        }
    predicted = logits.argmax(-1)
    result = {
        "accuracy": float(accuracy_score(targets, predicted)),
        "f1_macro": float(f1_score(targets, predicted, average="macro")),
        "mcc": float(matthews_corrcoef(targets, predicted)),
    }
    if len(labels) == 2:
        result["f1"] = float(f1_score(targets, predicted, pos_label=1))
    return result


class LoopSeconds(TrainerCallback):
    """The seconds of the training loop: its epochs, without what is set up before."""

    def __init__(self) -> None:
        self.seconds = self._started = 0.0

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stops the clock."""
        self.seconds += time.perf_counter() - self._started


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Fine-tunes with Trainer; returns the metrics of the last epoch and the seconds of the training loop."""
    set_seed(args.seed)
    folder = Path(args.data_dir) / args.task
    files = [*sorted(folder.glob("*.csv")), *sorted(folder.glob("*.jsonl"))]
    rows = {path.stem: read_rows(path) for path in files if "unlabelled" not in path.stem}
    several = isinstance(rows["train"][0]["label"], list)
    names = sorted({name for row in rows["train"] for name in (row["label"] if several else [row["label"]])})
    labels = None if not several and any("." in name for name in names) else names
    if args.validation_split:
        hold_out_validation(folder, rows, args.validation_split)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    data = {split: Encoded(part, tokenizer, labels, args.max_length) for split, part in rows.items()}
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model,
        num_labels=len(labels) if labels else 1,
        problem_type=f"{'multi' if several else 'single'}_label_classification" if labels else "regression",
    )
    precision = args.precision if args.precision != "auto" else PRECISIONS[best_precision()]
    tuned = {
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "train_sampling_strategy": "group_by_length",
        "optim": "adamw_torch_fused",
    }
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model,
            TrainingArguments(
                out,
                num_train_epochs=args.epochs,
                learning_rate=args.learning_rate,
                per_device_train_batch_size=args.batch_size,
                per_device_eval_batch_size=64,
                weight_decay=args.weight_decay,
                warmup_steps=args.warmup_ratio,
                seed=args.seed,
                save_strategy="no",
                report_to="none",
                dataloader_num_workers=args.workers,
                use_cpu=not torch.cuda.is_available(),
                eval_strategy="no",
                **(tuned if args.tuned else {"optim": "adamw_torch"}),
            ),
            train_dataset=data["train"],
            data_collator=DataCollatorWithPadding(
                tokenizer, padding="max_length" if args.padded else True, max_length=args.max_length
            ),
        )
        clock = LoopSeconds()
        trainer.add_callback(clock)
        trainer.train()
        result: dict[str, Any] = {"task": args.task, "seed": args.seed, "train_seconds": clock.seconds}
        result["rows_per_second"] = args.epochs * len(data["train"]) / clock.seconds
        for split in data:
            if split != "train" and split in args.splits:
                out_split = trainer.predict(data[split])
                found = scores(out_split.predictions, out_split.label_ids, labels)
                result.update({f"{split}_{name}": value for name, value in found.items()})
    return result


def main() -> None:
    """Parses the arguments, runs, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with TASK/{train,validation,test}.{csv,jsonl}")
    parser.add_argument("--task", required=True)
    parser.add_argument("--model", required=True, help="a folder or hub name")
    parser.add_argument("--output", help="JSON file to write")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--warmup_ratio", type=float, default=0.1)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--validation_split", type=float, help="share of the training rows to hold out")
    parser.add_argument("--splits", nargs="*", default=["validation", "test"], help="splits to predict and score")
    parser.add_argument("--padded", action="store_true", help="pad every row to --max_length, as run_glue.py does")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", *PRECISIONS.values()], help="of a tuned Trainer"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare its batches")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--tuned", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    text = json.dumps(run(args), indent=2)
    print(text)
    if args.output:
        Path(args.output).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
