"""What `export` writes is loaded by transformers alone, and says what the checkpoint says."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_textclf import main
from tests.conftest import sentences, write_csv

TEXTS = [text for text, _ in sentences(12)]


def pipeline_of(folder: str, **options: Any) -> Any:
    from transformers import pipeline

    return pipeline("text-classification", model=folder, device="cpu", **options)


def rows_predicted(file: Path) -> list[dict[str, str]]:
    main(["predict", "--ckpt_path", "last", "--data.predict_file", str(file), "--overwrite", "--trainer.precision",
          "32-true"])  # fmt: skip
    with Path("predictions.csv").open(encoding="utf-8", newline="") as content:
        return list(csv.DictReader(content))


def test_one_label(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main(fit_args)
    main(["export", "--ckpt_path", "last", "--output", "model"])
    captured = capfd.readouterr()
    assert captured.out.splitlines()[-1] == "wrote model"
    assert "export: BertForSequenceClassification loads in transformers" in captured.err
    assert {path.name for path in Path("model").iterdir()} >= {
        "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"
    }  # fmt: skip
    assert not list(Path().glob(".model*"))
    config = json.loads(Path("model/config.json").read_text(encoding="utf-8"))
    assert config["problem_type"] == "single_label_classification"
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert json.loads(Path("model/tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"] == 16
    expected = rows_predicted(write_csv(Path("rows.csv"), ["text"], [(text,) for text in [*TEXTS, "good " * 40]]))
    found = pipeline_of("model")([*TEXTS, "good " * 40], truncation=True)
    for row, answer in zip(expected, found, strict=True):
        assert answer["label"] == row["label"]
        assert answer["score"] == pytest.approx(float(row["score"]), abs=1e-5)
    card = Path("model/README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["pipeline_tag"] == "text-classification"
    values = {value["name"]: value["value"] for value in head["model-index"][0]["results"][0]["metrics"]}
    assert values["val_accuracy"] == metrics["val_accuracy"]
    for part in ("`negative`", "| `model.learning_rate` | 0.001 |", "train.csv", "longer than 16 tokens"):
        assert part in card
    assert str(Path().resolve()) not in card


@pytest.mark.usefixtures("fitted")
def test_the_card_is_one_for_the_hub() -> None:
    from huggingface_hub import ModelCard

    main(["export", "--ckpt_path", "last", "--output", "model"])
    card = ModelCard.load("model/README.md")
    assert card.data.to_dict()["library_name"] == "transformers"
    assert {result.metric_type for result in card.data.eval_results} >= {"accuracy", "f1_macro"}


def test_a_set_of_labels(fit_args: list[str]) -> None:
    rows = [(text, "|".join([label, *(["long"] if "very very" in text else [])])) for text, label in sentences(48)]
    train = write_csv(Path("sets.csv"), ["text", "label"], rows)
    main(
        [*fit_args, "--data.train_file", str(train), "--data.validation_file", str(train), "--data.task", "multi_label"]
    )
    main(["export", "--ckpt_path", "last", "--output", "model"])
    expected = rows_predicted(write_csv(Path("rows.csv"), ["text"], [(text,) for text in TEXTS]))
    for row, answers in zip(expected, pipeline_of("model", top_k=None)(TEXTS), strict=True):
        assert {answer["label"] for answer in answers} == {"long", "negative", "positive"}
        for answer in answers:
            assert answer["score"] == pytest.approx(float(row[f"prob_{answer['label']}"]), abs=1e-5)


def test_a_number_for_a_pair(fit_args: list[str]) -> None:
    rows = [(text, text[::-1], f"{number / 7}") for number, (text, _) in enumerate(sentences(24))]
    train = write_csv(Path("pairs.csv"), ["text_a", "text_b", "label"], rows)
    main([*fit_args, "--data.train_file", str(train), "--data.validation_file", str(train)])
    main(["export", "--ckpt_path", "last", "--output", "model"])
    expected = rows_predicted(write_csv(Path("rows.csv"), ["text_a", "text_b"], [row[:2] for row in rows]))
    found = pipeline_of("model")([{"text": row[0], "text_pair": row[1]} for row in rows], truncation=True)
    for row, answer in zip(expected, found, strict=True):
        assert answer["score"] == pytest.approx(float(row["prediction"]), abs=1e-5)
    card = Path("model/README.md").read_text(encoding="utf-8")
    assert "text_pair" in card
    assert "not a probability" in card


def test_windows_are_not_carried_and_that_is_said(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "1", "--data.long_text", "window"])
    main(["export", "--ckpt_path", "last", "--output", "model"])
    assert "data.long_text window is not carried" in capfd.readouterr().err
    assert "data.long_text: window" in Path("model/README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("fitted")
def test_a_folder_that_is_there(fails: Callable[[Sequence[str]], str]) -> None:
    command = ["export", "--ckpt_path", "last", "--output", "model"]
    Path("model").mkdir()
    main(command)  # an empty one is none
    Path("model/own.txt").write_text("precious", encoding="utf-8")
    assert "model: exists already; add --overwrite" in fails(command)
    assert Path("model/own.txt").exists()
    main([*command, "--overwrite"])
    assert not Path("model/own.txt").exists()
    Path("work").mkdir()
    Path("work/thesis.txt").write_text("precious", encoding="utf-8")
    assert "which export did not write" in fails([*command[:-1], "work", "--overwrite"])
    assert Path("work/thesis.txt").read_text(encoding="utf-8") == "precious"
    Path("file").touch()
    assert "file: exists already; choose another --output" in fails([*command[:-1], "file", "--overwrite"])
    assert "none/model: the folder none does not exist" in fails([*command[:-1], "none/model"])
    assert "export needs --ckpt_path" in fails(["export", "--output", "x"])
    assert "no such checkpoint" in fails(["export", "--ckpt_path", "x.ckpt", "--output", "x"])
    assert "tflite" in fails([*command, "--overwrite", "--format", "tflite"])
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith(".")) == []


@pytest.mark.slow
def test_transformers_alone_loads_it(fit_args: list[str]) -> None:
    """In a process in which this project is never imported, without a network."""
    main([*fit_args, "--trainer.max_epochs", "1"])
    main(["export", "--ckpt_path", "last", "--output", "model"])
    script = (
        "import sys; from transformers import pipeline\n"
        "print(pipeline('text-classification', model='model')('the film was good')[0]['label'])\n"
        "assert not [name for name in sys.modules if name.startswith(('lit_textclf', 'lightning'))]\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("negative", "positive")
