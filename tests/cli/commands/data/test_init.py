"""`init`: a config that `fit` takes as it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lit_textclf import TextClassifier, TextDataModule, main
from lit_textclf.cli.sections import NOT_OPTIONS, parser_of
from tests.conftest import sentences, write_csv


def test_fit_takes_it_as_it_is(tiny_bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [(text, "no" if index % 5 else "yes", "1") for index, (text, _) in enumerate(sentences(60))]
    write_csv(Path("data.csv"), ["sentence", "label", "other"], rows)
    main(["init", "--data.train_file", "data.csv", "--model.model_name_or_path", str(tiny_bert)])
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == "wrote config.yaml"
    assert err.splitlines()[-2:] == [
        "next: lit-textclf baseline --config config.yaml, for the scores that a model must beat",
        "next: lit-textclf fit --config config.yaml",
    ]
    text = Path("config.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    found = {
        "train_file": "data.csv", "text_column": "sentence", "text_pair_column": None, "task": "single_label",
        "labels": ["no", "yes"], "max_length": 32, "batch_size": 32, "validation_split": 0.1,
    }  # fmt: skip
    assert {name: config["data"][name] for name in found} == found
    assert config["model"]["class_weights"] == "balanced"
    for section, owner in (("data", TextDataModule), ("model", TextClassifier)):
        options = [name for name in inspect.signature(owner).parameters if name not in NOT_OPTIONS]
        assert list(config[section]) == options
        lines = text.splitlines()
        for name in options:  # each under a comment
            (line,) = [number for number, line in enumerate(lines) if line.startswith(f"  {name}:")]
            assert lines[line - 1].startswith("  # ")
    metrics = main(["fit", "--config", "config.yaml", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"])
    assert metrics["epochs"] == 1


def test_labels_that_yaml_would_misread_and_what_was_given(tiny_bert: Path, fails: Callable[[list[str]], str]) -> None:
    rows = [(text, "no" if index % 2 else "1") for index, (text, _) in enumerate(sentences(40))]
    write_csv(Path("data.csv"), ["text", "label"], rows)
    args = ["init", "--data.train_file", "data.csv", "--model.model_name_or_path", str(tiny_bert), "--output", "c.yaml"]
    main([*args, "--data.max_length", "24"])
    config = yaml.safe_load(Path("c.yaml").read_text(encoding="utf-8"))
    assert config["data"]["labels"] == ["1", "no"]
    assert config["data"]["max_length"] == 24
    main(["fit", "--config", "c.yaml", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"])
    before = Path("c.yaml").read_bytes()
    assert "c.yaml: exists already; add --overwrite" in fails(args)
    assert Path("c.yaml").read_bytes() == before
    main([*args, "--overwrite"])


def test_severe_findings_are_written_and_reported(tiny_bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [*sentences(20), ("the film was very good 0", "negative"), (sentences(1)[0][0], "negative")]
    write_csv(Path("data.csv"), ["text", "label"], rows)
    main(["init", "--data.train_file", "data.csv", "--model.model_name_or_path", str(tiny_bert)])
    assert "severe: train: 1 text has more than one label" in capfd.readouterr().err
    assert "# severe: train: 1 text has" in Path("config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "odd",
    [
        "1e3", "yes", "null", "a\x85b", "a: b",
        *(pytest.param(odd, marks=pytest.mark.slow) for odd in ("1E5", "0x1F", "1:30", "[a]", "~", "#x")),
    ],
)  # fmt: skip
def test_odd_labels_and_few_rows(odd: str, tiny_bert: Path) -> None:
    write_csv(
        Path("data.csv"),
        ["text", "label"],
        [(text, odd if index % 2 else "z") for index, (text, _) in enumerate(sentences(6))],
    )
    main(["init", "--data.train_file", "data.csv", "--model.model_name_or_path", str(tiny_bert)])
    metrics = main(["fit", "--config", "config.yaml", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"])
    assert "val_accuracy" in metrics


def test_the_model_limits_the_length(tiny_bert: Path, fails: Callable[[list[str]], str]) -> None:
    rows = [(f"{text} " * 20, label) for text, label in sentences(60)]
    write_csv(Path("data.csv"), ["text", "label"], rows)
    write_csv(Path("pairs.csv"), ["text_a", "text_b", "label"], [(text, text, label) for text, label in rows])
    args = ["init", "--model.model_name_or_path", str(tiny_bert), "--overwrite", "--data.train_file"]
    main([*args, "data.csv"])
    assert yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))["data"]["max_length"] == 48
    assert "window reads single texts" in fails([*args, "pairs.csv", "--data.long_text", "window"])
    options = ["--data.long_text", "window", "--data.max_length", "20", "--data.window_stride", "30"]
    assert "data.window_stride 30" in fails([*args, "data.csv", *options])
    before = Path("data.csv").read_bytes()
    assert "is an input of this command" in fails([*args, "data.csv", "--output", "data.csv"])
    assert Path("data.csv").read_bytes() == before
    assert "a folder; --output names a file" in fails([*args, "data.csv", "--output", ""])


CLASSES = {
    "strategy": (
        ["--trainer.strategy.class_path", "lightning.pytorch.strategies.DDPStrategy", "--trainer.strategy.timeout",
         "0:10:00"],
        "trainer", "lightning.pytorch.strategies.DDPStrategy",
    ),
    "callbacks": (
        ["--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping", "--trainer.callbacks.monitor", "val_loss"],
        "trainer", "lightning.pytorch.callbacks.EarlyStopping",
    ),
    "logger": (
        ["--trainer.logger", "lightning.pytorch.loggers.CSVLogger", "--trainer.logger.save_dir", "logs"],
        "trainer", "lightning.pytorch.loggers.CSVLogger",
    ),
    "plugins": (
        ["--trainer.plugins", "lightning.pytorch.plugins.AsyncCheckpointIO"],
        "trainer", "lightning.pytorch.plugins.AsyncCheckpointIO",
    ),
    "optimizer": (
        ["--model.optimizer", "{class_path: torch.optim.SGD, init_args: {momentum: 0.9}}", "--model.learning_rate",
         "0.1"],
        "model", "torch.optim.SGD",
    ),
}  # fmt: skip


@pytest.mark.parametrize("option", CLASSES)
def test_a_class_path_stays(option: str, tiny_bert: Path) -> None:
    """With its arguments, one of which YAML has no type for; the parser of `fit` reads the same."""
    typed, section, path = CLASSES[option]
    write_csv(Path("data.csv"), ["text", "label"], sentences(40))
    main(["init", "--data.train_file", "data.csv", "--model.model_name_or_path", str(tiny_bert), *typed])
    written = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))[section][option]
    (found,) = written if isinstance(written, list) else [written]
    assert found["class_path"] == path
    parser = parser_of("fit", "")
    read = yaml.safe_load(parser.dump(parser.parse_args(["--config", "config.yaml"])))
    assert read[section][option] == written
