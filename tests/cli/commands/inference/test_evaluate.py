"""`validate` and `test --engine onnx` without Lightning write what they write through Lightning's Trainer."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from lit_textclf import main
from lit_textclf.cli.commands.inference.evaluate import PLAIN
from tests.cli.commands.inference.test_predict import carry
from tests.conftest import sentences, write_csv

pytestmark = pytest.mark.slow

NOT_THE_SAME = ("config.yaml", "metrics.json", "report.html")
"""The config of Lightning has all options of its Trainer; the others are compared without it, the time and rounding."""


def page(path: Path) -> str:
    """A report without the time and the config."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", path.read_text(encoding="utf-8"))
    return re.sub(r"(?s)<details.*?</details>", "", text)


def both(args: Sequence[str], capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, float], list[str]]:
    """Runs a command both ways; asserts that files, metrics and messages are equal, and returns the last two."""
    found, folder = [], Path("lightning_logs/version_0")
    shutil.rmtree(folder.parent, ignore_errors=True)
    for callbacks in ([Callback()], []):
        capfd.readouterr()
        assert callbacks or PLAIN[args[0]].of(args) is not None
        metrics = main(args, callbacks=callbacks)
        captured = capfd.readouterr()
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in NOT_THE_SAME}
        stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        found.append((files, metrics, stored, page(folder / "report.html"), captured.out, captured.err))
        assert (folder / "config.yaml").is_file()
        shutil.rmtree(folder.parent)
    through_lightning, plain = found
    assert plain[0].keys() == through_lightning[0].keys()
    for name, content in plain[0].items():
        assert content == through_lightning[0][name], name
    for ours, theirs in zip(plain[1:3], through_lightning[1:3], strict=True):
        assert list(ours) == list(theirs)
        assert ours == pytest.approx(theirs, abs=1e-6, nan_ok=True)
    assert plain[3:] == through_lightning[3:]
    return plain[1], [*plain[4].splitlines(), *plain[5].splitlines()]


@pytest.fixture
def rows() -> Path:
    """Rows with labels and ids, some of them equal, and one without text."""
    table = [(f"id {row}", text + " very" * (row % 5), label) for row, (text, label) in enumerate(sentences(31))]
    return write_csv(Path("rows.csv"), ["key", "text", "label"], [*table, *table[:5], ("id", "", "positive")])


CASES: dict[str, list[str]] = {
    "as it is": [],
    "threshold": ["--threshold", "0.501"],
    "short batches, ids": ["--data.eval_batch_size", "3", "--data.max_length", "6", "--data.id_column", "key"],
    "input order, padded": ["--data.batch_by_length", "false", "--data.pad_to_max_length", "true"],
    "windows": ["--data.long_text", "window", "--data.max_length", "6", "--data.window_stride", "2"],
    "first rows": ["--data.max_eval_samples", "7"],
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_files_metrics_and_messages(
    case: str, exported: list[str], rows: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    carry("calibration", temperature=1.3, thresholds={"positive": 0.499})
    args = ["test", *exported, "--data.test_file", str(rows), *CASES[case], "--trainer.logger", "false"]
    metrics, lines = both(args, capfd)
    assert {"test_f1_macro", "test_ece", "test_ece_uncalibrated"} <= metrics.keys()
    assert "wrote lightning_logs/version_0/metrics.json lightning_logs/version_0/report.html" in lines


def test_label_sets(exported: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """The model's two logits, read as those of a label set."""
    carry("target", task="multi_label", positive_label=None)
    carry("data", task="multi_label", positive_label=None)
    sets = ["negative", "positive", "negative|positive", ""]
    write_csv(Path("sets.csv"), ["text", "label"], [(text, sets[i % 4]) for i, (text, _) in enumerate(sentences(24))])
    args = ["validate", *exported, "--data.validation_file", "sets.csv", "--trainer.logger", "false"]
    metrics, _ = both(args, capfd)
    assert "val_exact_match" in metrics


def test_what_needs_lightning_goes_there(exported: list[str], rows: Path) -> None:
    args = ["test", *exported, "--data.test_file", str(rows)]
    assert PLAIN["test"].of(args) is None  # TensorBoard's events
    assert PLAIN["test"].of([*args, "--trainer.logger", "false", "--trainer.limit_test_batches", "1"]) is None
    carry("model", metrics={"kappa": "torchmetrics.classification.MulticlassCohenKappa"})
    assert PLAIN["test"].of([*args, "--trainer.logger", "false"]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        ["--threshold", "2"], ["--data.labels", "[positive, negative]"], ["--data.test_file", "none.csv"],
        ["--data.max_length", "50"], ["--data.label_column", "key"], ["--data.eval_batch_size", "many"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_same_errors_and_no_folder(
    wrong: list[str], exported: list[str], rows: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = []
    shutil.rmtree("lightning_logs", ignore_errors=True)
    for callbacks in ([Callback()], []):
        with pytest.raises(SystemExit) as stopped:
            main(["test", *exported, "--data.test_file", str(rows), "--trainer.logger", "false", *wrong],
                 callbacks=callbacks)  # fmt: skip
        assert stopped.value.code == 2
        lines.append([line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")])
        assert not list(Path("lightning_logs").glob("version_*"))
    assert lines[0] == lines[1]
    assert len(lines[0]) == 1
