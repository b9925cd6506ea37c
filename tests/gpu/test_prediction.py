"""`predict` and the metrics on a GPU, against those on a CPU."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from lit_textclf import Target, main
from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.tasks.table import rules_of
from tests.conftest import sentences, write_csv
from tests.gpu.conftest import DEVICE, ON_GPU

TARGETS = {
    "two labels": Target("single_label", ("no", "yes"), "yes"),
    "five labels": Target("single_label", tuple("abcde")),
    "label sets": Target("multi_label", tuple("abc")),
    "values": Target("regression"),
}


def predicted(*options: str) -> list[dict[str, str]]:
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "many.csv", "--overwrite", *options])
    with Path("predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_the_labels_of_a_cpu(gpu_args: list[str], precision: str) -> None:
    """In many batches and parts; the rows are in order."""
    gpu_args += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "20"]  # some rows stay unclear
    main(gpu_args)
    write_csv(Path("many.csv"), ["text"], [(text,) for text, _ in sentences(5_000)])
    options = ("--data.eval_batch_size", "16", "--trainer.accelerator")
    ours = predicted(*options, DEVICE, "--trainer.precision", precision)
    theirs = predicted(*options, "cpu", "--trainer.precision", "32-true")
    assert [row["row"] for row in ours] == [str(index) for index in range(5_000)]
    limit = 1e-5 if precision == "32-true" else 0.05
    for one, other in zip(ours, theirs, strict=True):
        near = abs(float(other["prob_positive"]) - 0.5) < limit
        assert one["label"] == other["label"] or near
        assert float(one["prob_positive"]) == pytest.approx(float(other["prob_positive"]), abs=limit)


@pytest.mark.parametrize("name", TARGETS)
def test_the_metrics_of_a_cpu(name: str) -> None:
    target = TARGETS[name]
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, target.num_outputs, generator=generator)
    truth = {
        "single_label": torch.randint(target.num_outputs, (200,), generator=generator),
        "multi_label": torch.randint(2, (200, target.num_outputs), generator=generator).float(),
        "regression": torch.randn(200, generator=generator),
    }[target.task]
    found = []
    for device in ("cuda" if ON_GPU else "cpu", "cpu"):
        metrics = StageMetrics(target, "val_").to(device)
        for part, of in zip(logits.to(device).split(32), truth.to(device).split(32), strict=True):
            metrics.update(part, of, rules_of(target).loss(part, of))
        found.append(metrics.compute())
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert not any(math.isnan(value) for value in found[0].values())
