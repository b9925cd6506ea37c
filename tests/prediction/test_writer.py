"""Logits and metrics of predictions are those of test, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lit_textclf import Target, TextClassifier, TextDataModule, main
from lit_textclf.classifier.inference.calibration import Calibration
from tests.conftest import sentences, write_csv

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.mark.parametrize(
    "kind", ["labels", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("thresholds", "sets", "numbers"))]
)
def test_metrics_are_those_of_test_to_the_last_bit(kind: str, fit_args: list[str]) -> None:
    """In one batch, because the last bit of a sum depends on the order of its terms, too."""
    rows = sentences(96)
    if kind == "sets":
        rows = [(text, "|".join([label, *(["long"] if "very very" in text else [])])) for text, label in rows]
    if kind == "numbers":
        rows = [(text, f"{index / 7}") for index, (text, _) in enumerate(rows)]
    task = {"sets": "multi_label", "numbers": "regression"}.get(kind, "single_label")
    file = str(write_csv(Path("rows.csv"), ["text", "label"], rows))
    train = str(write_csv(Path("other.csv"), ["text", "label"], [(f"{text} .", label) for text, label in rows]))
    # One validation label in four is that of another row, so that the model is too sure and has a temperature.
    noisy = [(f"{text} !", rows[index - (index % 4 == 0)][1]) for index, (text, _) in enumerate(rows)]
    validation = str(write_csv(Path("noisy.csv"), ["text", "label"], noisy))
    metrics = main([*fit_args, "--data.train_file", train, "--data.validation_file", validation, "--data.task",
                    task, "--model.learning_rate", "3e-3", "--trainer.max_epochs", "6"])  # fmt: skip
    if kind != "numbers":
        assert metrics["val_temperature"] != 1
    same = ["--ckpt_path", "last", "--trainer.precision", "32-true", "--data.eval_batch_size", "128",
            "--data.batch_by_length", "false"]  # fmt: skip
    if kind == "thresholds":
        same += ["--threshold", "0.3"]
    tested = main(["test", *same, "--data.test_file", file])
    predicted = main(["predict", *same, "--data.predict_file", file])
    assert len(predicted) >= 4
    expected = {name.replace("test_", "predict_"): value for name, value in tested.items()}
    assert predicted == {name: expected[name] for name in predicted}


def test_logits_are_those_of_test_to_the_last_bit(reviews: dict[str, Path], tiny_bert: Path) -> None:
    """A division by the temperature, and a multiplication with it, would change the last bit of one in four."""
    data = TextDataModule(test_file=str(reviews["test"]), max_length=16, labels=["negative", "positive"])
    model = TextClassifier(str(tiny_bert), target=Target("single_label", ("negative", "positive")))
    model.calibration = Calibration(1.7)
    model.configure_model()
    model.eval()
    data.prepare("test", model)
    batch = next(iter(data.test_dataloader()))
    with torch.inference_mode():
        assert torch.equal(model.predict_step(batch).logits, model.test_step(batch)["logits"])
