"""The ONNX model says what the checkpoint says, at any batch size and length; int8 weights are refused if they cost."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_textclf import TextClassifier, main
from lit_textclf.classifier.metrics.table import quality_of
from lit_textclf.export.onnx import largest_difference
from lit_textclf.export.onnx_model import OnnxModel
from lit_textclf.export.quantize import quantize_int8
from tests.conftest import sentences, write_csv

pytestmark = pytest.mark.slow


def columns(file: str) -> dict[str, list[str]]:
    with Path(file).open(encoding="utf-8", newline="") as content:
        rows = list(csv.DictReader(content))
    return {name: [row[name] for row in rows] for name in rows[0]}


def assert_same_predictions(file: Path, *, at_most: float = 1e-6) -> None:
    """The checkpoint at 32-true and the folder `model` predict a file alike."""
    shared = ["--data.predict_file", str(file), "--with_logits"]
    main(["predict", "--ckpt_path", "last", *shared, "--trainer.precision", "32-true", "--output", "torch.csv"])
    main(["predict", "--engine", "onnx", "--model_dir", "model", *shared, "--output", "onnx.csv"])
    ours, theirs = columns("torch.csv"), columns("onnx.csv")
    assert list(ours) == list(theirs)
    for name, values in ours.items():
        if name.startswith(("logit_", "prediction")):
            np.testing.assert_allclose(np.float64(theirs[name]), np.float64(values), atol=at_most)
        elif name in ("row", "label", "labels"):
            assert theirs[name] == values


@pytest.mark.slow
@pytest.mark.usefixtures("fitted")
def test_one_label(capfd: pytest.CaptureFixture[str]) -> None:
    main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    captured = capfd.readouterr()
    assert captured.out.splitlines()[-1] == "wrote model"
    assert "export: ONNX of opset 23" in captured.err
    assert captured.err.splitlines()[-1].startswith("next: lit-textclf predict --engine onnx --model_dir model")
    names = {path.name for path in Path("model").iterdir()}
    assert names == {
        "model.onnx", "model.onnx.data", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md",
        "lit_textclf.json", "trained_on.safetensors",
    }  # fmt: skip
    assert not list(Path().glob(".model*"))
    texts = [*(text for text, _ in sentences(30)), "good " * 40, ""]
    assert_same_predictions(write_csv(Path("rows.csv"), ["text"], [(text,) for text in texts]))


@pytest.mark.usefixtures("exported")
def test_the_file_alone_with_the_tokenizer_of_transformers() -> None:
    """What the model card tells."""
    import onnxruntime
    from transformers import AutoTokenizer

    texts = ["the film was very good", "the book was bad " * 9, "a"]
    tokenizer = AutoTokenizer.from_pretrained("model")
    session = onnxruntime.InferenceSession("model/model.onnx")
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
    logits = session.run(["logits"], {given.name: inputs[given.name] for given in session.get_inputs()})[0]
    checkpoint = next(Path("lightning_logs").rglob("last.ckpt"))
    expected = TextClassifier.load_from_checkpoint(checkpoint).classify(texts)
    names = ["negative", "positive"]
    assert [names[index] for index in logits.argmax(-1)] == [answer["label"] for answer in expected]
    chances = torch.tensor(logits).softmax(-1).max(-1).values
    np.testing.assert_allclose(chances, [answer["score"] for answer in expected], atol=1e-6)
    card = Path("model/README.md").read_text(encoding="utf-8")
    assert "onnxruntime.InferenceSession" in card
    assert "library_name: onnxruntime" in card


@pytest.mark.slow
def test_pairs(fit_args: list[str]) -> None:
    rows = [(text, text[::-1], label) for text, label in sentences(40)]
    pairs = write_csv(Path("pairs.csv"), ["text_a", "text_b", "label"], rows)
    main([*fit_args, "--data.train_file", str(pairs), "--data.validation_file", str(pairs)])
    main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    assert_same_predictions(pairs)


@pytest.mark.slow
def test_a_number(fit_args: list[str]) -> None:
    rows = [(text, str(len(text) / 10 + 0.05)) for text, _ in sentences(40)]
    numbers = write_csv(Path("numbers.csv"), ["text", "label"], rows)
    main([*fit_args, "--data.train_file", str(numbers), "--data.validation_file", str(numbers)])
    main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    assert_same_predictions(numbers, at_most=1e-5)


@pytest.mark.slow
def test_a_set_of_labels_in_windows(fit_args: list[str]) -> None:
    """Windows are read and pooled by the tool: the folder carries how."""
    rows = [(f"{text} " * 5, "|".join([label, *(["long"] if "very very" in text else [])]))
            for text, label in sentences(40)]  # fmt: skip
    sets = write_csv(Path("sets.csv"), ["text", "label"], rows)
    main(
        [*fit_args, "--data.train_file", str(sets), "--data.validation_file", str(sets), "--data.task", "multi_label",
         "--data.long_text", "window", "--model.window_pooling", "max"]
    )  # fmt: skip
    main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    assert_same_predictions(sets)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["modernbert", "roberta", "distilbert", "electra", "albert"],
)
def test_other_models(name: str, fit_args: list[str], tiny_bert: Path) -> None:
    """ModernBERT's by an older opset."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    if name == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    if name == "electra":
        sizes["embedding_size"] = 16
    config = AutoConfig.for_model(
        name, vocab_size=len(tokenizer), max_position_embeddings=64, pad_token_id=0, cls_token_id=2, sep_token_id=3,
        bos_token_id=2, eos_token_id=3, **sizes,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AutoModelForSequenceClassification.from_config(config).save_pretrained("pretrained")
        tokenizer.save_pretrained("pretrained")
    main([*fit_args, "--model.model_name_or_path", "pretrained", "--trainer.max_epochs", "1"])
    main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    checkpoint = next(Path("lightning_logs").rglob("last.ckpt"))
    classifier = TextClassifier.load_from_checkpoint(checkpoint).eval()
    other = OnnxModel(Path("model/model.onnx"), folded=classifier.calibration)
    assert largest_difference(classifier, other, 16) < 1e-5


@pytest.mark.usefixtures("exported")
def test_another_model_is_noticed() -> None:
    """The check of the export fails where weights differ in one place."""
    classifier = TextClassifier.load_from_checkpoint(next(Path("lightning_logs").rglob("last.ckpt"))).eval()
    other = OnnxModel(Path("model/model.onnx"), folded=classifier.calibration)
    assert largest_difference(classifier, other, 16) < 1e-5
    assert classifier.model is not None
    with torch.no_grad():
        classifier.model.get_parameter("bert.encoder.layer.0.output.dense.weight")[0] += 5.0
    assert largest_difference(classifier, other, 16) > 1e-4


# int8 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_int8_is_measured_on_the_runs_own_validation_rows(
    reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("model").rename("exact")
    main(["export", "--ckpt_path", "last", "--output", "rounded", "--format", "onnx", "--quantize", "int8",
          "--max_accuracy_drop", "1"])  # fmt: skip
    line = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("export: int8"))
    found = {}
    for folder in ("exact", "rounded"):
        found[folder] = main(
            [
                "validate",
                "--engine",
                "onnx",
                "--model_dir",
                folder,
                "--data.validation_file",
                str(reviews["validation"]),
            ]
        )
    for folder, word in (("rounded", "with it"), ("exact", "without")):
        assert f"{found[folder]['val_accuracy']:.4f} {word}" in line
    assert "16 validation rows" in line
    assert found["rounded"]["val_loss"] == pytest.approx(found["exact"]["val_loss"], rel=0.1)
    assert found["rounded"]["val_loss"] != found["exact"]["val_loss"]
    sizes = [sum(file.stat().st_size for file in Path(folder).glob("model.onnx*")) for folder in ("rounded", "exact")]
    assert sizes[0] < sizes[1]
    assert not Path("rounded/model.onnx.data").exists()
    assert "rounded to int8" in Path("rounded/README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("fitted")
def test_int8_that_costs_too_much_is_refused(fails: Callable[[Sequence[str]], str]) -> None:
    """A drop of 0 is more than -1: whatever the figures are, this limit refuses them."""
    line = fails(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx", "--quantize", "int8",
                  "--max_accuracy_drop", "-1"])  # fmt: skip
    assert "--quantize int8 costs" in line
    assert quality_of("single_label") in line
    assert not Path("model").exists()
    assert not list(Path().glob(".model*"))


@pytest.mark.slow
def test_int8_without_what_costs_most(fit_args: list[str]) -> None:
    """The second products of both feed-forward layers, 64 to 32, stay in float32, and their logits are nearer."""
    import onnx

    main([*fit_args, "--model.learning_rate", "1e-2"])
    main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    classifier = TextClassifier.load_from_checkpoint(next(Path("lightning_logs").rglob("last.ckpt"))).eval()
    found = {}
    for narrowing in (True, False):
        made = Path(f"{narrowing}.onnx")
        quantize_int8(Path("model/model.onnx"), made, narrowing=narrowing)
        products = [node for node in onnx.load(made).graph.node if node.op_type == "MatMulInteger"]
        found[narrowing] = (len(products), largest_difference(classifier, OnnxModel(made), 16))
    assert found[True][0] == found[False][0] + 2
    assert found[False][1] < found[True][1]


@pytest.mark.slow
def test_int8_on_other_rows(fitted: Path, reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy(fitted / "checkpoints/last.ckpt", "elsewhere.ckpt")
    main(["export", "--ckpt_path", "elsewhere.ckpt", "--output", "model", "--format", "onnx", "--quantize", "int8",
          "--max_accuracy_drop", "1", "--data.validation_file", str(reviews["test"])])  # fmt: skip
    assert "15 validation rows" in capfd.readouterr().err


@pytest.mark.slow
def test_int8_of_label_sets_counts_the_sets_that_changed(
    fit_args: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [(text, "|".join([label, *(["long"] if "very very" in text else [])])) for text, label in sentences(40)]
    sets = str(write_csv(Path("sets.csv"), ["text", "label"], rows))
    main([*fit_args, "--data.train_file", sets, "--data.validation_file", sets, "--data.task", "multi_label"])
    export = ["export", "--ckpt_path", "last", "--format", "onnx"]
    main([*export, "--output", "exact"])
    capfd.readouterr()
    main([*export, "--output", "rounded", "--quantize", "int8", "--max_accuracy_drop", "1"])
    line = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("export: int8"))
    found = {}
    for folder in ("exact", "rounded"):
        predict = ["predict", "--engine", "onnx", "--model_dir", folder, "--data.predict_file", sets]
        main([*predict, "--output", f"{folder}.csv"])
        found[folder] = columns(f"{folder}.csv")["labels"]
    changed = sum(before != after for before, after in zip(found["exact"], found["rounded"], strict=True))
    assert f"(40 validation rows, {changed} label set{'' if changed == 1 else 's'} changed; " in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--quantize", "int8"], "--format onnx"),
        (["--format", "onnx", "--quantize", "int8"], "set --data.validation_file"),
        (["--format", "onnx", "--quantize", "int4"], "quantize"),
    ],
)
def test_options_that_cannot_be(
    options: list[str], words: str, fitted: Path, fails: Callable[[Sequence[str]], str]
) -> None:
    Path("elsewhere").mkdir()
    shutil.copy(fitted / "checkpoints/last.ckpt", "elsewhere/x.ckpt")
    assert words in fails(["export", "--ckpt_path", "elsewhere/x.ckpt", "--output", "model", *options])
    assert not Path("model").exists()


@pytest.mark.usefixtures("fitted")
def test_without_the_packages(fails: Callable[[Sequence[str]], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    export = ["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"]
    assert "pip install 'lit-textclf[onnx]'" in fails(export)
    assert not Path("model").exists()


def test_what_the_folder_carries(exported_model: Path, finished_run: Path) -> None:
    carried = json.loads((exported_model / "lit_textclf.json").read_text(encoding="utf-8"))
    assert carried["target"]["labels"] == ["negative", "positive"]
    assert carried["data"]["max_length"] == 16
    assert str(finished_run) not in json.dumps(carried)
    assert str(exported_model) not in json.dumps(carried)
