"""`load`: a checkpoint and an ONNX folder answer alike."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from lit_textclf import TextClassifier, UserError, load, main
from lit_textclf.export.load import OnnxClassifier
from lit_textclf.export.onnx_model import OnnxModel
from lit_textclf.export.onnx_runtime import read_model_folder
from tests.conftest import sentences, write_csv

pytestmark = pytest.mark.slow

TEXTS = ["the film was very good", "", "a bad meal " * 20, "good", "the book was not good " * 5]


def by_torch(folder: str) -> TextClassifier:
    """The classifier of a folder, whose logits ONNX Runtime computes from torch's tensors."""
    stored = read_model_folder(Path(folder))
    classifier = TextClassifier(**stored.model, **stored.carried())
    classifier.attach(OnnxModel(stored.path, folded=stored.calibration))
    classifier.remember(stored.data, None)
    return classifier


def change(folder: str, section: str, **values: Any) -> None:
    path = Path(folder, "lit_textclf.json")
    carried = json.loads(path.read_text(encoding="utf-8"))
    carried[section].update(values)
    path.write_text(json.dumps(carried), encoding="utf-8")


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize(
    "options",
    [{}, {"max_length": 7}, {"long_text": "head_tail", "max_length": 7},
     {"long_text": "window", "max_length": 9, "window_stride": 3}],
    ids=["as trained", "short", "head and tail", "windows"],
)  # fmt: skip
def test_the_same_numbers_as_through_torch(options: dict[str, Any]) -> None:
    change("model", "data", **options)
    change("model", "calibration", temperature=1.7)
    if "window_stride" in options:
        change("model", "model", window_pooling="max")
    found = load("model")
    assert isinstance(found, OnnxClassifier)
    expected = by_torch("model")
    assert found.max_tokens == expected.max_tokens == 48
    assert found.classify(TEXTS, batch_size=2) == expected.classify(TEXTS, batch_size=2)
    assert found.classify("good") == expected.classify("good")
    assert found.classify(TEXTS, max_length=5) == expected.classify(TEXTS, max_length=5)
    assert found.classify([]) == []


@pytest.mark.usefixtures("exported")
def test_a_checkpoint() -> None:
    answer = load("lightning_logs/version_0").classify("good")
    expected = load("model").classify("good")
    assert answer["label"] == expected["label"]
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)


@pytest.mark.usefixtures("exported")
def test_a_pickled_classifier_answers_alike() -> None:
    found = load("model")
    assert isinstance(found, OnnxClassifier)
    found.thresholds = {"positive": 0.01}
    copy = pickle.loads(pickle.dumps(found))
    assert copy.classify(TEXTS) == found.classify(TEXTS)
    assert copy.thresholds == found.thresholds


@pytest.mark.usefixtures("exported")
def test_what_cannot_be_loaded() -> None:
    with pytest.raises(UserError, match="nowhere: no such file or folder; name a checkpoint, the folder of a run"):
        load("nowhere")
    with pytest.raises(UserError, match="has neither a checkpoint nor an exported model"):
        load(".")
    with pytest.raises(UserError, match=r"classify: texts\[1\] is 3: must be a string"):
        load("model").classify(["good", 3])  # type: ignore[list-item]
    Path("model/tokenizer_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"model: damaged .*; export it again"):
        load("model")
    Path("model/model.safetensors").touch()
    Path("model/model.onnx").unlink()
    with pytest.raises(UserError, match="model"):
        load("model")


@pytest.mark.usefixtures("exported")
def test_a_folder_for_transformers() -> None:
    """Its weights have the temperature; long texts are cut as in training."""
    main(["export", "--ckpt_path", "lightning_logs/version_0/checkpoints/best.ckpt", "--output", "hf"])
    found, expected = (load(path).classify(TEXTS) for path in ("hf", "lightning_logs/version_0"))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_a_folder_for_transformers_of_another_task(task: str, tiny_bert: Path) -> None:
    labels = ["a", "b", "a|b", ""] if task == "multi_label" else ["100.5", "2", "30", "7.25"]
    rows = [(text, labels[index % 4]) for index, (text, _) in enumerate(sentences(24))]
    write_csv(Path("data.csv"), ["text", "label"], rows)
    main([
        "fit", "--model.model_name_or_path", str(tiny_bert), "--data.train_file", "data.csv", "--data.task", task,
        "--data.max_length", "16", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.precision",
        "32-true",
    ])  # fmt: skip
    main(["export", "--ckpt_path", "last", "--output", "hf"])
    found, expected = (load(path).classify(TEXTS) for path in ("hf", "last"))
    for ours, theirs in zip(found, expected, strict=True):
        if task == "regression":
            assert ours["prediction"] == pytest.approx(theirs["prediction"], rel=1e-4)
        else:
            assert ours["labels"] == theirs["labels"]
            assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
