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
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file as dictionaries."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


class Encoded(torch.utils.data.Dataset):
    """Tokenized rows with their labels, as Trainer takes them."""

    def __init__(self, rows: list[dict[str, str]], tokenizer: Any, labels: list[str] | None, max_length: int) -> None:
        pair = "text_b" in rows[0]
        first = [row["text_a" if pair else "text"] for row in rows]
        second = [row["text_b"] for row in rows] if pair else None
        self.encodings = tokenizer(first, second, truncation=True, max_length=max_length)
        self.labels = [labels.index(row["label"]) if labels else float(row["label"]) for row in rows]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {**{k: v[i] for k, v in self.encodings.items()}, "labels": self.labels[i]}


def scores(logits: np.ndarray, targets: np.ndarray, labels: list[str] | None) -> dict[str, float]:
    """Accuracy, F1 of the last label and macro F1; Pearson's r and MSE for regression."""
    if labels is None:
        return {
            "pearson": float(pearsonr(logits.ravel(), targets).statistic),
            "mse": float(np.mean((logits.ravel() - targets) ** 2)),
        }
    predicted = logits.argmax(-1)
    result = {
        "accuracy": float(accuracy_score(targets, predicted)),
        "f1_macro": float(f1_score(targets, predicted, average="macro")),
    }
    if len(labels) == 2:
        result["f1"] = float(f1_score(targets, predicted, pos_label=1))
    return result


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Fine-tunes with Trainer; returns the metrics of the last epoch and the seconds of the training loop."""
    set_seed(args.seed)
    folder = Path(args.data_dir) / args.task
    rows = {p.stem: read_rows(p) for p in sorted(folder.glob("*.csv")) if "unlabelled" not in p.stem}
    names = sorted({row["label"] for row in rows["train"]})
    labels = None if any("." in name for name in names) else names
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    data = {split: Encoded(part, tokenizer, labels, args.max_length) for split, part in rows.items()}
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model,
        num_labels=len(labels) if labels else 1,
        problem_type="single_label_classification" if labels else "regression",
    )
    tuned = {"bf16": True, "train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"}
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model,
            TrainingArguments(
                out,
                num_train_epochs=args.epochs,
                learning_rate=args.learning_rate,
                per_device_train_batch_size=args.batch_size,
                per_device_eval_batch_size=64,
                weight_decay=0.01,
                warmup_steps=args.warmup_ratio,
                seed=args.seed,
                save_strategy="no",
                report_to="none",
                use_cpu=not torch.cuda.is_available(),
                eval_strategy="no",
                **(tuned if args.tuned else {"optim": "adamw_torch"}),
            ),
            train_dataset=data["train"],
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        started = time.perf_counter()
        trainer.train()
        result: dict[str, Any] = {"task": args.task, "seed": args.seed, "train_seconds": time.perf_counter() - started}
        for split in data:
            if split != "train":
                out_split = trainer.predict(data[split])
                found = scores(out_split.predictions, out_split.label_ids, labels)
                result.update({f"{split}_{name}": value for name, value in found.items()})
    return result


def main() -> None:
    """Parses the arguments, runs, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with TASK/{train,validation,test}.csv")
    parser.add_argument("--task", required=True)
    parser.add_argument("--model", required=True, help="a folder or hub name")
    parser.add_argument("--output", help="JSON file to write")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--warmup_ratio", type=float, default=0.1)
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--tuned", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    text = json.dumps(run(args), indent=2)
    print(text)
    if args.output:
        Path(args.output).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
