"""Checkpoints of earlier releases are resumed, tested, used and exported.

`tests/checkpoints/VERSION/` was made by that version's own code, on one CPU in float32: `last.ckpt`, a fit with seed 7
that was stopped at step 14 of 36, within its third epoch; the rows it read; and `predictions.csv`, the predictions for
`test.csv` after that code had resumed the checkpoint and trained to the end.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch

from lit_textclf import TextClassifier, main

pytestmark = pytest.mark.usefixtures("no_figures")

RELEASES = sorted((Path(__file__).parent.parent / "checkpoints").iterdir())
LAST = Path("lightning_logs/version_0/checkpoints/last.ckpt")
ON_CPU = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.precision", "32-true"]
FIT = [
    "fit", "--model.from_scratch", "{hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "intermediate_size: 64, max_position_embeddings: 48}", "--model.tokenizer_name_or_path", ".",
    "--data.train_file", "train.csv", "--data.validation_file", "validation.csv", "--data.max_length", "16",
    "--data.batch_size", "8", "--model.learning_rate", "3e-3", "--trainer.max_epochs", "6",
    "--trainer.checkpoint_every_n_steps", "2", *ON_CPU,
]  # fmt: skip


@pytest.fixture(params=RELEASES, ids=lambda folder: folder.name)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The release's folder, its files copied into the working folder, as the run left them."""
    shutil.copytree(request.param, tmp_path, dirs_exist_ok=True)
    LAST.parent.mkdir(parents=True)
    shutil.move("last.ckpt", LAST)
    return request.param


def predictions(path: Path) -> list[float]:
    with path.open(encoding="utf-8", newline="") as file:
        return [float(row["prob_positive"]) for row in csv.DictReader(file)]


def test_there_is_a_checkpoint_of_each_release() -> None:
    assert [folder.name for folder in RELEASES] == ["0.1.0"]


def test_it_is_resumed_to_the_numbers_of_its_own_code(release: Path) -> None:
    """A callback whose state is not found would go on with other dropout and order: that moves the third digit."""
    before = torch.load(LAST, weights_only=True)
    main([*FIT, "--ckpt_path", "last"])
    after = torch.load(LAST, weights_only=True)
    assert (before["global_step"], after["global_step"]) == (14, 36)
    assert after["callbacks"].keys() - before["callbacks"].keys() == {"AutoEpochs"}
    assert before["callbacks"].keys() <= after["callbacks"].keys()
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "test.csv", "--output", "now.csv", *ON_CPU])
    assert predictions(Path("now.csv")) == pytest.approx(predictions(release / "predictions.csv"), abs=1e-4)


def test_it_is_tested_and_exported(release: Path) -> None:
    metrics = main(["test", "--ckpt_path", "last", "--data.test_file", "test.csv", *ON_CPU])
    assert metrics["test_accuracy"] in {number / 15 for number in range(16)}
    main(["export", "--ckpt_path", "last", "--output", "exported"])
    classifier = TextClassifier.load_from_checkpoint(LAST)
    from transformers import pipeline

    text = "the film was very good"
    exported = pipeline("text-classification", model="exported")(text)[0]
    assert exported["label"] == classifier.classify([text])[0]["label"]
    assert exported["score"] == pytest.approx(classifier.classify([text])[0]["score"], abs=1e-5)
