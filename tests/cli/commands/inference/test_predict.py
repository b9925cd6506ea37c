"""`predict --engine onnx` without Lightning writes what it writes through Lightning's Trainer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback

from lit_textclf import main
from lit_textclf.cli.commands.inference.predict import PlainPrediction
from tests.conftest import sentences, write_csv

pytestmark = pytest.mark.slow

Fails = Callable[[Sequence[str]], str]


def carry(section: str, **values: Any) -> None:
    """Changes what the exported folder carries."""
    path = Path("model/lit_textclf.json")
    carried = json.loads(path.read_text(encoding="utf-8"))
    carried[section].update(values)
    path.write_text(json.dumps(carried), encoding="utf-8")


def said(text: str) -> list[str]:
    """Lines without the speed."""
    return [re.sub(r"in [\d.]+ s, [\d,]+ rows/s", "in S", line) for line in text.splitlines()]


def both(
    args: Sequence[str], output: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[bytes, dict[str, float], list[str]]:
    """Runs a command both ways; asserts that bytes, metrics and messages are equal, and returns them."""
    found = []
    monkeypatch.setattr("lit_textclf.data.batches.parts.PART_BATCHES", 2)
    for callbacks in ([Callback()], []):
        capfd.readouterr()
        assert callbacks or PlainPrediction.of(args) is not None
        metrics = main(args, callbacks=callbacks)
        captured = capfd.readouterr()
        paths = sorted(Path(output).iterdir()) if Path(output).is_dir() else [Path(output)]
        content = b"\n".join(path.read_bytes() for path in paths)
        for path in paths:
            path.unlink()
        found.append((content, metrics, said(captured.out), said(captured.err)))
    through_lightning, plain = found
    assert plain[0] == through_lightning[0]
    assert list(plain[1]) == list(through_lightning[1])
    assert plain[1] == pytest.approx(through_lightning[1], abs=1e-6, nan_ok=True)
    assert plain[2:] == through_lightning[2:]
    return plain[0], plain[1], [*plain[2], *plain[3]]


@pytest.fixture
def rows() -> Path:
    """Rows with labels, ids and further columns, some of them equal."""
    labelled = enumerate(sentences(31))
    table = [(f"id {row}", text + " very" * (row % 5), label, row * 0.5) for row, (text, label) in labelled]
    return write_csv(
        Path("rows.csv"), ["key", "text", "label", "more"], [*table, *table[:5], ("id", "", "positive", 0)]
    )


CASES: dict[str, list[str]] = {
    "file": [],
    "threshold": ["--threshold", "0.501"],
    "stored threshold": ["--threshold", "best"],
    "min_score": ["--min_score", "0.502", "--with_logits"],
    "columns": ["--keep_columns", "--data.id_column", "key", "--output_encoding", "utf-8-sig"],
    "short batches": ["--data.eval_batch_size", "3", "--data.max_length", "6"],
    "input order, padded": ["--data.batch_by_length", "false", "--data.pad_to_max_length", "true"],
    "windows": ["--data.long_text", "window", "--data.max_length", "6", "--data.window_stride", "2"],
    "first rows": ["--data.max_predict_samples", "7"],
    "other positive label": ["--data.positive_label", "negative"],
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_bytes_metrics_and_messages(
    case: str, exported: list[str], rows: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    carry("calibration", temperature=1.3, thresholds={"positive": 0.499})
    args = ["predict", *exported, "--data.predict_file", str(rows), *CASES[case], "--output", "p.csv"]
    content, metrics, lines = both(args, "p.csv", capfd, monkeypatch)
    assert content
    assert "predict_f1_macro" in metrics
    assert "wrote p.csv" in lines


def test_a_text(exported: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    content, metrics, _ = both(
        ["predict", *exported, "--text", "null", "--output", "p.csv"], "p.csv", capfd, monkeypatch
    )
    assert content.count(b"\n") == 2
    assert not metrics


def test_a_folder(exported: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        write_csv(Path(f"{name}.csv"), ["text", "label"], sentences(9))
    write_csv(Path("c.csv"), ["text"], [("good",)])
    args = ["predict", *exported, "--data.predict_file", "[a.csv, b.csv, c.csv]", "--output", "out/"]
    _, metrics, lines = both(args, "out", capfd, monkeypatch)
    assert metrics
    assert any("2 of 3 files" in line for line in lines)


def test_a_config_and_the_environment(
    exported: list[str], rows: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own.yaml").write_text("engine: onnx\nmodel_dir: model\ndata: {eval_batch_size: 5}\n", encoding="utf-8")
    monkeypatch.setenv("LIT_TEXTCLF_OUTPUT", "p.csv")
    both(["predict", "--config", "own.yaml", "--data.predict_file", str(rows)], "p.csv", capfd, monkeypatch)


def test_a_stopped_prediction_is_resumed(
    exported: list[str], rows: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lit_textclf.export.load import OnnxClassifier

    args = ["predict", *exported, "--data.predict_file", str(rows), "--data.eval_batch_size", "2"]
    content, _, _ = both([*args, "--output", "p.csv"], "p.csv", capfd, monkeypatch)
    compute, done = OnnxClassifier.logits_of, list[int]()

    def stop(self: OnnxClassifier, batch: Any) -> Any:
        done.append(1)
        if len(done) == 6:
            raise KeyboardInterrupt
        return compute(self, batch)

    monkeypatch.setattr(OnnxClassifier, "logits_of", stop)
    with pytest.raises(SystemExit) as stopped:
        main([*args, "--output", "p.csv"])
    assert stopped.value.code == 1
    kept = re.search(r"predict: kept (\d+ of \d+ parts)", capfd.readouterr().err)
    assert kept is not None
    main([*args, "--output", "p.csv"])
    assert f"predict: resuming: {kept[1]}" in capfd.readouterr().err
    assert Path("p.csv").read_bytes() == content
    assert not Path("p.csv.parts").exists()


def test_metrics_of_torchmetrics_are_measured(exported: list[str], rows: Path) -> None:
    carry("model", metrics={"kappa": "torchmetrics.classification.MulticlassCohenKappa"})
    args = ["predict", *exported, "--data.predict_file", str(rows), "--output", "p.csv"]
    assert PlainPrediction.of(args) is None
    assert "predict_kappa" in main(args)


def test_options_of_lightning_alone_go_there(exported: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main(["predict", *exported, "--text", "good", "--trainer.precision", "bf16-mixed", "--overwrite"])
    assert "trainer.precision bf16-mixed is ignored" in capfd.readouterr().err


def test_other_processes_are_not_used_and_that_is_said(exported: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main(["predict", *exported, "--text", "good", "--data.num_workers", "2", "--output", "p.csv"])
    assert "data.num_workers 2 is ignored" in capfd.readouterr().err


def test_a_loss_of_nan_is_the_same_error(
    exported: list[str], rows: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model itself gives NaN, so the same happens in both ways."""
    from lit_textclf.export.onnx_runtime import OnnxSession

    compute = OnnxSession.run
    monkeypatch.setattr(OnnxSession, "run", lambda self, inputs: compute(self, inputs) * float("nan"))
    args = ["predict", *exported, "--data.predict_file", str(rows), "--output", "p.csv", "--overwrite"]
    lines = []
    for callbacks in ([Callback()], []):
        with pytest.raises(SystemExit) as stopped:
            main(args, callbacks=callbacks)
        assert stopped.value.code == 2
        lines.append([line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")])
    assert lines[0] == lines[1]
    assert "predict_loss is NaN" in lines[0][0]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--data.batch_size", "many"], ["--batch"], ["--threshold", "2"], ["--min_score", "7"], ["--format", "tsv"],
        ["--data.labels", "[positive, negative]"], ["--data.predict_file", "rows.csv"], ["--output", "p.parquet"],
        ["--data.max_length", "50"], ["--text", "two"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_same_errors(wrong: list[str], exported: list[str], rows: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = []
    for callbacks in ([Callback()], []):
        with pytest.raises(SystemExit) as stopped:
            main(["predict", *exported, "--text", "good", *wrong], callbacks=callbacks)
        assert stopped.value.code == 2
        lines.append([line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")])
    assert lines[0] == lines[1]
    assert len(lines[0]) == 1
