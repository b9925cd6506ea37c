"""`model.metrics`: any metric of torchmetrics or of the user, logged beside ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import cohen_kappa_score, hamming_loss, r2_score
from torch import Tensor
from torchmetrics import Metric

from lit_textclf import main
from lit_textclf.classifier.metrics.stage import StageMetrics, check_metrics
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.messages import UserError

pytestmark = pytest.mark.usefixtures("no_figures")

KAPPA = "torchmetrics.classification.MulticlassCohenKappa"
OWN = f"{__name__}.MeanOfTruth"
THREE = Target("single_label", ("a", "b", "c"))


class MeanOfTruth(Metric):
    """The mean probability of the true label; sees what metrics are given."""

    higher_is_better = True

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.total += preds.gather(1, target[:, None]).sum()
        self.rows += len(target)

    def compute(self) -> Tensor:
        return self.scale * self.total / self.rows


def not_a_metric() -> dict[str, str]:
    return {}


def computed(target: Target, logits: Tensor, truth: Tensor, added: Mapping[str, Any]) -> dict[str, float]:
    metrics = StageMetrics(target, "val_", added)
    for part, of in zip(logits.split(7), truth.split(7), strict=True):
        metrics.update(part, of, torch.tensor(0.0))
    return metrics.compute()


def test_of_one_label() -> None:
    logits, truth = torch.randn(30, 3, generator=torch.Generator().manual_seed(1)), torch.arange(30) % 3
    added = {
        "kappa": KAPPA,
        "any_task": {"class_path": "torchmetrics.CohenKappa", "init_args": {"weights": "quadratic"}},
        "own": {"class_path": OWN, "init_args": {"scale": 100}},
    }
    found = computed(THREE, logits, truth, added)
    predicted = logits.argmax(-1)
    assert found["val_kappa"] == pytest.approx(cohen_kappa_score(truth, predicted))
    assert found["val_any_task"] == pytest.approx(cohen_kappa_score(truth, predicted, weights="quadratic"))
    probabilities = logits.softmax(-1)[torch.arange(30), truth]
    assert found["val_own"] == pytest.approx(100 * float(probabilities.mean()))


def test_of_label_sets_and_of_values() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, truth = torch.randn(30, 2, generator=generator), torch.rand(30, 2, generator=generator).round()
    sets = Target("multi_label", ("a", "b"))
    found = computed(sets, logits, truth, {"hamming": "torchmetrics.classification.MultilabelHammingDistance"})
    assert found["val_hamming"] == pytest.approx(hamming_loss(truth, logits > 0))
    found = computed(Target("regression"), logits[:, :1], truth[:, 0], {"r2": "torchmetrics.regression.R2Score"})
    assert found["val_r2"] == pytest.approx(r2_score(truth[:, 0], logits[:, 0]))


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ({"f1_macro": KAPPA}, "'f1_macro': the name is taken"),
        ({"temperature": KAPPA}, "'temperature': the name is taken"),
        ({"my kappa": KAPPA}, "letters, digits"),
        ({"kappa": {"class": KAPPA}}, "model.metrics.kappa: unknown key 'class'"),
        ({"kappa": "kappa"}, "dotted name"),
    ],
)
def test_names_and_forms_that_cannot_be(added: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_metrics(added)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("torchmetrics.classification.MulticlassKappa", "did you mean"),
        ({"class_path": KAPPA, "init_args": {"weight": "x"}}, "`weight`; change init_args"),
        (f"{__name__}.not_a_metric", "must be a torchmetrics.Metric, not dict"),
        ("torchmetrics.classification.BinaryAUROC", "cannot be updated with predictions \\(3, 3\\)"),
        ({"class_path": "torchmetrics.classification.MulticlassRecall", "init_args": {"average": "none"}},
         "must compute one number"),
    ],
)  # fmt: skip
def test_classes_that_do_not_fit(spec: Any, words: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.metrics\.kappa .*{words}"):
        StageMetrics(THREE, "val_", {"kappa": spec})


def test_through_the_command_line(
    fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str],
    fails: Callable[[Sequence[str]], str],
) -> None:  # fmt: skip
    Path("extra.yaml").write_text(f"model:\n  metrics:\n    kappa: {KAPPA}\n    own: {{class_path: {OWN}}}\n")
    args = [*fit_args, "--config", "extra.yaml"]
    found = main([*args, "--model.learning_rate", "1e-2"])
    assert {"val_kappa", "val_own"} <= json.loads(Path("lightning_logs/version_0/metrics.json").read_text()).keys()
    assert found["val_kappa"] == pytest.approx(found["val_mcc"], abs=0.2)
    capfd.readouterr()
    tested = main(["test", "--ckpt_path", "best", "--data.test_file", str(reviews["test"])])
    assert {"test_kappa", "test_own"} <= tested.keys()
    assert "test_kappa" in capfd.readouterr().out
    assert "test_own" in Path("lightning_logs/version_1/report.html").read_text(encoding="utf-8")
    without = main(["test", "--ckpt_path", "best", "--data.test_file", str(reviews["test"]), "--model.metrics", "null"])
    assert without == {name: value for name, value in tested.items() if name not in ("test_kappa", "test_own")}
    main(["predict", "--ckpt_path", "best", "--text", "good"])
    main(["compare", "lightning_logs/version_0", "lightning_logs/version_1", "--resamples", "100"])
    assert "val_kappa" in capfd.readouterr().out
    assert "no module 'nowhere'" in fails([*fit_args, "--model.metrics", "{x: nowhere.Metric}"])
    assert not Path("lightning_logs/version_3").exists()
