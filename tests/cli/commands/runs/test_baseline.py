"""The command `baseline`: its numbers, its run folders, and `compare` with them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from sklearn.metrics import accuracy_score, f1_score

from lit_textclf import main
from lit_textclf.classifier.tasks.rules import TaskRules
from tests.conftest import sentences, write_csv

Fails = Callable[[Sequence[str]], str]
LOGS = Path("lightning_logs")


def test_numbers_and_files(reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main(["baseline", "--data.train_file", str(reviews["train"]), "--data.test_file", str(reviews["test"])])
    captured = capfd.readouterr()
    assert "test, 15 rows" in captured.out
    assert captured.err.splitlines()[-1] == (
        "next: lit-textclf compare lightning_logs/baseline_most_frequent_0 lightning_logs/baseline_tfidf_0 RUN"
    )
    labels = [label for _, label in sentences(79)[64:]]
    for name in ("most_frequent", "tfidf"):
        folder = LOGS / f"baseline_{name}_0"
        with (folder / "outcomes.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["label"] for row in rows] == labels
        predicted = [row["predicted"] for row in rows]
        written = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert written["test_accuracy"] == pytest.approx(accuracy_score(labels, predicted))
        assert written["test_f1_macro"] == pytest.approx(f1_score(labels, predicted, average="macro"))
        assert metrics[f"baseline_{name}_accuracy"] == written["test_accuracy"]
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        assert (config["baseline"], config["data"]["test_file"]) == (name, str(reviews["test"]))
    assert metrics["baseline_tfidf_accuracy"] == 1


def test_the_same_numbers_as_fit(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    of_fit = main([*fit_args, "--data.max_train_samples", "20", "--trainer.max_epochs", "1"])
    metrics = main(["baseline", "--config", str(LOGS / "version_0/config.yaml")])
    assert "validation, 16 rows" in capfd.readouterr().out
    found = {name: value for name, value in of_fit.items() if name.startswith("baseline_")}
    assert "baseline_probe_accuracy" in found
    assert {name: metrics[name] for name in found} == pytest.approx(found)
    compared = main(["compare", str(LOGS), "--resamples", "100"])
    assert {run["name"] for run in compared["runs"]} == {
        "baseline_most_frequent_0", "baseline_probe_0", "baseline_tfidf_0", "version_0",
    }  # fmt: skip
    assert (compared["rows"], compared["all_rows"]) == (16, True)
    assert set(compared["settings"]) == {"baseline", "seed_everything"}


@pytest.mark.slow
def test_the_frozen_encoder_is_measured_on_request(
    reviews: dict[str, Path], tiny_bert: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the test rows, with the numbers of `test` after a `fit` that does not move the weights."""
    monkeypatch.setattr(TaskRules, "start_share", 1.0)  # the head of `fit` starts as the linear model that is measured
    files = [f"--data.{split}_file={reviews[split]}" for split in ("train", "test")]
    model = [f"--model.model_name_or_path={tiny_bert}", "--model.pooling=mean", "--data.max_length=16"]
    on_cpu = ["--trainer.accelerator=cpu", "--trainer.precision=32-true"]
    metrics = main(["baseline", *files, *model, *on_cpu])
    err = capfd.readouterr().err
    assert re.search(r"^baseline: most_frequent and tfidf in \d+ s, probe in \d+ s$", err, re.MULTILINE)
    assert "test: 15 rows" in err
    main(
        ["fit", *files, *model, *on_cpu, "--model.learning_rate=1e-12", "--trainer.max_epochs=1", "--data.batch_size=8"]
    )
    found = main(["test", "--ckpt_path", "last", "--data.test_file", str(reviews["test"]), *on_cpu])
    measured = json.loads((LOGS / "baseline_probe_0/metrics.json").read_text(encoding="utf-8"))
    assert {name: found[name] for name in measured} == pytest.approx(measured, abs=1e-5)
    assert metrics["baseline_probe_accuracy"] == found["test_accuracy"]
    with (LOGS / "baseline_probe_0/outcomes.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 15
    config = yaml.safe_load((LOGS / "baseline_probe_0/config.yaml").read_text(encoding="utf-8"))
    assert (config["model"]["model_name_or_path"], config["model"]["pooling"]) == (str(tiny_bert), "mean")


def test_values(reviews: dict[str, Path]) -> None:
    rows = [(text, str(index % 5 + 0.5)) for index, (text, _) in enumerate(sentences(48))]
    write_csv(reviews["train"], ["text", "label"], rows)
    metrics = main(["baseline", "--data.train_file", str(reviews["train"]), "--data.validation_split", "0.25"])
    assert metrics["baseline_mean_r2"] <= 0
    assert {path.name for path in LOGS.iterdir()} == {"baseline_mean_0", "baseline_tfidf_0"}
    written = json.loads((LOGS / "baseline_mean_0/metrics.json").read_text(encoding="utf-8"))
    assert written["val_pearson"] is None  # a constant has no correlation
    assert written["val_mse"] == pytest.approx(written["val_loss"])


def test_mistakes(reviews: dict[str, Path], fails: Fails) -> None:
    train = ["--data.train_file", str(reviews["train"])]
    assert "baseline needs rows to measure on: type --data.test_file FILE" in fails(["baseline", *train])
    assert "no training rows: type --data.train_file FILE" in fails(["baseline"])
    write_csv(reviews["test"], ["text", "label"], [("good film", "unheard")])
    assert "the label 'unheard' is unknown" in fails(["baseline", *train, "--data.test_file", str(reviews["test"])])
    assert not LOGS.exists()
