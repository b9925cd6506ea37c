"""A metric is one line of the table: it is then logged, shown and compared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit_textclf import main
from lit_textclf.classifier.metrics import table
from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.metrics.table import (
    METRICS,
    MetricEntry,
    baseline_metric_of,
    higher_is_better,
    monitor_of,
    quality_of,
    shown_in,
    task_of,
)
from lit_textclf.data.labels.target import Target

pytestmark = pytest.mark.usefixtures("no_figures")


def test_directions_are_those_of_torchmetrics() -> None:
    targets = [
        Target("single_label", ("a", "b")), Target("multi_label", ("a", "b")), Target("regression"),
    ]  # fmt: skip
    for target in targets:
        for name, metric in StageMetrics(target, "val_").loggable().items():
            if name == "val_loss":
                continue
            assert metric.higher_is_better in (higher_is_better(name), None), name
    assert [higher_is_better(name) for name in ("test_loss", "val_ece", "val_f1_mean")] == [False, False, True]
    assert [higher_is_better(name) for name in ("seconds", "val_temperature", "val_accuracy_std")] == [None] * 3


def test_orders() -> None:
    assert shown_in("head") == ["accuracy", "exact_match", "f1_macro", "f1", "pearson", "spearman", "mae", "loss"]
    assert shown_in("progress_bar") == ["loss", "f1_macro"]
    assert shown_in("epoch_line") == ["loss", "accuracy", "f1_macro", "exact_match", "pearson"]
    assert shown_in("interval") == [
        "accuracy", "f1", "f1_macro", "f1_micro", "exact_match", "pearson", "mse", "mae", "loss",
    ]  # fmt: skip


def test_the_metrics_that_decide() -> None:
    assert monitor_of("single_label") == monitor_of("multi_label") == ("val_f1_macro", "max")
    assert monitor_of("regression") == ("val_loss", "min")
    found = [quality_of(task) for task in ("single_label", "multi_label", "regression")]
    assert found == ["val_accuracy", "val_f1_micro", "val_pearson"]
    found = [baseline_metric_of(task) for task in ("single_label", "multi_label", "regression")]
    assert found == ["val_accuracy", "val_f1_micro", "val_mse"]
    assert set(shown_in("baseline")) <= set(shown_in("interval"))


def test_the_task_of_metrics() -> None:
    assert task_of(["test_mse", "seconds"]) == "regression"
    assert task_of(["val_exact_match_mean"]) == "multi_label"
    assert task_of(["test_f1"]) == "single_label"
    assert task_of(["val_f1_macro", "val_loss"]) is None


def test_torch_is_not_imported() -> None:
    code = "import sys, lit_textclf.classifier.metrics.table; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_new_metric_is_one_line(
    fit_args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reviews: dict[str, Path]
) -> None:
    kappa = MetricEntry(
        "kappa", True, {"single_label": "torchmetrics.classification.MulticlassCohenKappa"}, chart="agreement",
        head=9, epoch_line=9,
    )  # fmt: skip
    monkeypatch.setattr(table, "METRICS", (*METRICS, kappa))
    main([*fit_args, "--trainer.max_epochs", "1"])
    main([*fit_args, "--model.learning_rate", "1e-2", "--trainer.max_epochs", "6", "--model.head_init", "random"])
    assert ", val_kappa " in next(line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch 1"))
    event = next(Path("lightning_logs/version_0").glob("events*"))
    assert b"agreement" in event.read_bytes()  # the chart
    tested = main(["test", "--ckpt_path", "last", "--data.test_file", str(reviews["test"])])
    assert 0 < tested["test_kappa"] <= 1
    page = Path("lightning_logs/version_2/report.html").read_text(encoding="utf-8")
    assert f"<div><b>{tested['test_kappa']:.4f}</b>kappa</div>" in page
    capsys.readouterr()
    main(["compare", "lightning_logs/version_0", "lightning_logs/version_1", "--resamples", "100"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "val_kappa" in line]
    assert "*" in line


def test_values_do_not_depend_on_what_is_added() -> None:
    target = Target("single_label", ("a", "b", "c"))
    logits, truth = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    found = []
    for added in (None, {"kappa": "torchmetrics.classification.MulticlassCohenKappa"}):
        metrics = StageMetrics(target, "val_", added)
        metrics.update(logits, truth, torch.tensor(0.5))
        found.append(metrics.compute())
    assert found[1].keys() - found[0].keys() == {"val_kappa"}
    assert found[0].items() <= found[1].items()
