"""With parameters of another type, the labels of a batch keep every digit: metrics are those of the predictions."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error

from lit_textclf import TextClassifier, TextDataModule, main
from tests.conftest import sentences, write_csv
from tests.lightning.conftest import QUIET

VALUES = [index / 7 for index in range(24)]
"""bf16 has three digits of them."""
SETS = [["a", "b", "a|b", ""][index % 4] for index in range(24)]
RUN = ["--trainer.accelerator", "cpu", "--trainer.devices", "1"]
VALIDATED = Path("lightning_logs/version_0/outcomes.csv")
CHECKPOINT = "fitted/lightning_logs/version_0/checkpoints/best.ckpt"


def fit(model: Path, precision: str, labels: list[str], task: str = "regression") -> None:
    rows = [(text, label) for (text, _), label in zip(sentences(24), labels, strict=True)]
    write_csv(Path("data.csv"), ["text", "label"], rows)
    main([
        "fit", *RUN, "--trainer.precision", precision, "--model.model_name_or_path", str(model), "--metrics.baseline",
        "false", "--data.task", task, "--data.train_file", "data.csv", "--data.validation_file", "data.csv",
        "--data.max_length", "16", "--trainer.max_epochs", "1", "--trainer.default_root_dir", "fitted",
    ])  # fmt: skip


def evaluate(command: str, precision: str, option: str) -> dict[str, float]:
    return main([command, *RUN, "--trainer.precision", precision, "--ckpt_path", CHECKPOINT, option, "data.csv"])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_values(precision: str, tiny_bert: Path) -> None:
    fit(tiny_bert, precision, [repr(value) for value in VALUES])
    metrics = evaluate("validate", precision, "--data.validation_file")
    found = read(VALIDATED)
    assert [float(row["label"]) for row in found] == pytest.approx(VALUES, rel=1e-6)
    predicted = [float(row["prediction"]) for row in found]
    assert metrics["val_mse"] == pytest.approx(mean_squared_error(VALUES, predicted), rel=1e-6)
    metrics = evaluate("predict", precision, "--data.predict_file")
    predicted = [float(row["prediction"]) for row in read(Path("predictions.csv"))]
    assert metrics["predict_mse"] == pytest.approx(mean_squared_error(VALUES, predicted), rel=1e-6)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_label_sets(precision: str, tiny_bert: Path) -> None:
    truth = np.array([[name in label for name in "ab"] for label in SETS])
    fit(tiny_bert, precision, SETS, "multi_label")
    metrics = evaluate("validate", precision, "--data.validation_file")
    found = read(VALIDATED)
    assert [row["label"] for row in found] == SETS
    decided = np.array([[name in row["predicted"] for name in "ab"] for row in found])
    assert metrics["val_f1_macro"] == pytest.approx(f1_score(truth, decided, average="macro", zero_division=0))
    assert metrics["val_exact_match"] == pytest.approx(accuracy_score(truth, decided))
    metrics = evaluate("predict", precision, "--data.predict_file")
    decided = np.array([[name in row["labels"] for name in "ab"] for row in read(Path("predictions.csv"))])
    assert metrics["predict_f1_macro"] == pytest.approx(f1_score(truth, decided, average="macro", zero_division=0))


def test_of_the_plain_trainer(tiny_bert: Path) -> None:
    """Also in the second call of a Trainer."""
    fit(tiny_bert, "32-true", [repr(value) for value in VALUES])
    seen: list[torch.Tensor] = []

    class Watch(pl.Callback):
        def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any) -> None:
            seen.append(batch["target"])

    trainer = pl.Trainer(**{**QUIET, "precision": "bf16-true"}, callbacks=[Watch()])
    model = TextClassifier.load_from_checkpoint(CHECKPOINT)
    data = TextDataModule(validation_file="data.csv", max_length=16, eval_batch_size=8)
    for _ in range(2):
        trainer.validate(model, data, verbose=False)
    assert {target.dtype for target in seen} == {torch.float32}
    assert torch.cat(seen).sort().values.tolist() == pytest.approx(sorted(2 * VALUES), rel=1e-6)
