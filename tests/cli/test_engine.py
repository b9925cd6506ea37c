"""`--engine onnx`: the same commands, metrics, tables and files as with a checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lit_textclf import main
from tests.conftest import sentences, write_csv

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_figures")]


@pytest.mark.parametrize(("command", "split"), [("validate", "validation"), ("test", "test")])
def test_measures_as_a_checkpoint(
    command: str, split: str, exported: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [f"--data.{split}_file", str(reviews[split])]
    expected = main([command, "--ckpt_path", "last", *rows, "--trainer.precision", "32-true"])
    capfd.readouterr()
    shutil.rmtree("lightning_logs")  # neither checkpoint nor config is needed
    found = main([command, *exported, *rows])
    assert found == pytest.approx(expected, abs=1e-6)
    captured = capfd.readouterr()
    assert f"{split} of model/model.onnx" in captured.out
    assert "engine: onnxruntime, CPUExecutionProvider" in captured.err
    written, report = map(Path, captured.out.splitlines()[-1].removeprefix("wrote ").split())
    assert "model/model.onnx" in report.read_text(encoding="utf-8")
    assert (report.parent / "errors.csv").is_file()
    assert json.loads(written.read_text(encoding="utf-8")) == found


def test_predicts_one_text(exported: list[str]) -> None:
    main(["predict", *exported, "--text", "the film was very good", "--output", "one.csv"])
    lines = Path("one.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "row,label,score,prob_negative,prob_positive"
    assert len(lines) == 2


def test_batch_size_and_order_change_nothing(exported: list[str]) -> None:
    texts = [(text,) for text, _ in sentences(40)]
    file = write_csv(Path("rows.csv"), ["text"], texts)
    found = []
    for size in ("1", "7", "64"):
        main(["predict", *exported, "--data.predict_file", str(file), "--data.eval_batch_size", size, "--overwrite"])
        rows = [line.split(",") for line in Path("predictions.csv").read_text(encoding="utf-8").splitlines()[1:]]
        assert [row[0] for row in rows] == [str(number) for number in range(40)]
        found.append([float(row[2]) for row in rows])
    assert found[1] == pytest.approx(found[0], abs=1e-6)
    assert found[2] == pytest.approx(found[0], abs=1e-6)


@pytest.mark.slow
def test_rows_that_training_held_out_are_held_out_here(
    fit_args: list[str], reviews: dict[str, Path], fails: Callable[[Sequence[str]], str]
) -> None:
    """The folder knows what was trained on, as a checkpoint does."""
    main([*fit_args, "--data.validation_file", "null", "--data.validation_split", "0.3"])
    main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    own = ["validate", "--engine", "onnx", "--model_dir", "model", "--data.train_file", str(reviews["train"])]
    assert "val_accuracy" in main([*own, "--data.validation_split", "0.3"])
    assert "were trained on" in fails([*own, "--data.validation_split", "0.6"])


def test_labels_are_the_models(exported: list[str], fails: Callable[[Sequence[str]], str]) -> None:
    file = write_csv(Path("other.csv"), ["text", "label"], [("good", "positive"), ("bad", "neutral")])
    line = fails(["test", *exported, "--data.test_file", str(file)])
    assert "neutral" in line
    line = fails(["test", *exported, "--data.test_file", str(file), "--data.labels", "[positive, negative]"])
    assert "model/model.onnx" in line


def test_another_model_does_not_resume_the_parts(exported: list[str], fails: Callable[[Sequence[str]], str]) -> None:
    """Parts of an interrupted prediction are identified by the contents of the model."""
    from lit_textclf.export.onnx_runtime import digest_of_folder

    before = digest_of_folder(Path("model"), "CPUExecutionProvider")
    assert digest_of_folder(Path("model"), "CPUExecutionProvider") == before
    assert digest_of_folder(Path("model"), "CUDAExecutionProvider") != before
    with Path("model/lit_textclf.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    assert digest_of_folder(Path("model"), "CPUExecutionProvider") != before


def test_precision_is_the_models_own(exported: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main(["predict", *exported, "--text", "good", "--trainer.precision", "bf16-mixed"])
    assert "trainer.precision bf16-mixed is ignored" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--engine", "onnx"], "needs --model_dir"),
        (["--model_dir", "model"], "--engine onnx"),
        (["--execution_provider", "CUDAExecutionProvider", "--ckpt_path", "last"], "--engine onnx"),
        (["--engine", "onnx", "--model_dir", "model", "--ckpt_path", "last"], "remove --ckpt_path"),
        (["--engine", "onnx", "--model_dir", "nowhere"], "nowhere: no such folder"),
        (["--engine", "onnx", "--model_dir", "."], "has no model.onnx"),
        (["--engine", "onnx", "--model_dir", "model", "--execution_provider", "CPUExecutionProvide"],
         "did you mean 'CPUExecutionProvider'"),
        (["--engine", "tensorflow"], "engine"),
        ([], "--engine onnx --model_dir DIR"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(
    options: list[str], words: str, exported: list[str], fails: Callable[[Sequence[str]], str]
) -> None:
    assert words in fails(["predict", *options, "--text", "good"])
    assert not Path("predictions.csv").exists()


@pytest.mark.parametrize(
    "name", ["model.onnx", "model.onnx.data", "lit_textclf.json", "config.json", "trained_on.safetensors"]
)
def test_damaged_files(name: str, exported: list[str], fails: Callable[[Sequence[str]], str]) -> None:
    path = Path("model", name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    line = fails(["predict", *exported, "--text", "good"])
    assert "model" in line
    assert "export it again" in line
    assert not Path("predictions.csv").exists()
