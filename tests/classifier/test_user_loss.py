"""`model.loss`: a training loss of the user's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lit_textclf import Target, TextClassifier, UserError, main
from lit_textclf.classifier.losses import TrainingLoss
from lit_textclf.classifier.tasks.table import RULES

BINARY = Target("single_label", ("ham", "spam"))
MODULE = """
import torch
from torch import nn
from torch.nn import functional as F

class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma = gamma
        self.register_buffer("one", torch.ones(()))

    def forward(self, logits, targets):
        loss = F.cross_entropy(logits, targets, reduction="none")
        return (self.one * (1 - torch.exp(-loss)) ** self.gamma * loss).mean()

class Trained(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)

class Silent:
    pass

def doubled(logits, targets, factor=2.0):
    return factor * F.cross_entropy(logits, targets)

def of_rows(logits, targets):
    return F.cross_entropy(logits, targets, reduction="none")
"""


@pytest.fixture
def losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "users_losses.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    yield
    sys.modules.pop("users_losses", None)


def test_by_hand(losses: None) -> None:
    """Focal loss (Lin et al. 2017): (1 - p)^gamma times cross entropy; gamma 0 is cross entropy."""
    logits, targets = torch.tensor([[0.0, 1.0], [2.0, -1.0]]), torch.tensor([1, 1])
    plain = RULES["single_label"].loss(logits, targets)
    chance = logits.softmax(-1)[:, 1]
    focal = TrainingLoss(BINARY, {"class_path": "users_losses.FocalLoss", "init_args": {"gamma": 3.0}})
    assert focal(logits, targets).item() == pytest.approx(float((-((1 - chance) ** 3) * chance.log()).mean()), rel=1e-6)
    assert TrainingLoss(BINARY, {"class_path": "users_losses.FocalLoss", "init_args": {"gamma": 0.0}})(
        logits, targets
    ).item() == pytest.approx(plain.item())
    assert TrainingLoss(BINARY, "users_losses.doubled")(logits, targets) == 2 * plain
    three = {"class_path": "users_losses.doubled", "init_args": {"factor": 3.0}}
    assert TrainingLoss(BINARY, three)(logits, targets) == 3 * plain
    assert TrainingLoss(BINARY, "torch.nn.CrossEntropyLoss")(logits, targets) == plain


def test_without_one_the_task_decides() -> None:
    logits, targets = torch.tensor([[0.0, 1.0], [2.0, -1.0]]), torch.tensor([1, 0])
    weights = torch.tensor([1.0, 3.0])
    loss = TrainingLoss(BINARY, None, weights, 0.1)
    assert torch.equal(loss(logits, targets), F.cross_entropy(logits, targets, weight=weights, label_smoothing=0.1))
    assert not loss.is_measured_loss
    assert TrainingLoss(BINARY).is_measured_loss


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("users_losses.Focal", "has no 'Focal'; did you mean 'FocalLoss'"),
        ("users_losses.Silent", "must be callable with (logits, targets)"),
        ("users_losses.Trained", "has trainable parameters"),
        ("users_losses.of_rows", "must return a scalar, got a tensor of shape (2,)"),
        ({"class_path": "users_losses.FocalLoss", "init_args": {"gama": 1}}, "'gama'"),
    ],
)
def test_what_cannot_be_used(losses: None, spec: object, said: str) -> None:
    with pytest.raises(UserError) as raised:
        TrainingLoss(BINARY, spec)(torch.zeros(2, 2), torch.tensor([0, 1]))  # type: ignore[arg-type]
    assert str(raised.value).startswith("model.loss users_losses.")
    assert said in str(raised.value)


def test_options_of_the_replaced_loss_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.loss .*remove model\.label_smoothing"):
        TextClassifier(loss="no_such.Loss", label_smoothing=0.1)
    with pytest.raises(UserError, match=r"model\.loss .*remove model\.class_weights"):
        TextClassifier(loss="no_such.Loss", class_weights="balanced")
    with pytest.raises(UserError, match=r"model\.loss 'Loss': must be a dotted name"):
        TextClassifier(loss="Loss")


@pytest.mark.slow
def test_from_fit_to_predict_without_the_class(
    losses: None, fit_args: list[str], reviews: dict[str, Path], monkeypatch: pytest.MonkeyPatch,
    fails: Callable[[Sequence[str]], str],
) -> None:  # fmt: skip
    """What is measured is the task's own loss; the checkpoint needs the class only where training begins."""
    spec = {"class_path": "users_losses.FocalLoss", "init_args": {"gamma": 1.0}}
    metrics = main([*fit_args, "--model.loss", json.dumps(spec)])
    best = next(Path("lightning_logs").rglob("best.ckpt"))
    assert torch.load(best, weights_only=True)["hyper_parameters"]["loss"] == spec
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if not folder.endswith("plugins")])
    sys.modules.pop("users_losses")
    shared = ["--ckpt_path", str(best.absolute()), "--trainer.precision", "32-true", "--trainer.accelerator", "cpu"]
    again = main(["validate", *shared, "--data.validation_file", str(reviews["validation"])])
    assert again["val_loss"] == pytest.approx(metrics["val_loss"], abs=1e-6)
    assert len(TextClassifier.load_from_checkpoint(best).classify(["the film was good"])) == 1
    assert "no module 'users_losses'" in fails([*fit_args, "--model.loss", "users_losses.FocalLoss"])


def test_a_loop_of_your_own_configures_the_classifier(tiny_bert: Path) -> None:
    model = TextClassifier(str(tiny_bert), class_weights={"ham": 1.0, "spam": 3.0})
    model.configure(BINARY)
    batch = {"inputs": {"input_ids": torch.tensor([[2, 5, 3], [2, 6, 3]])}, "target": torch.tensor([0, 1])}
    model.configure_model()
    model.eval()
    logits = model.logits_of(batch)  # type: ignore[arg-type]
    expected = F.cross_entropy(logits, batch["target"], weight=torch.tensor([1.0, 3.0]))  # type: ignore[arg-type]
    assert model.training_step(batch).item() == pytest.approx(expected.item())  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"balanced: call configure\(data\.target"):
        TextClassifier(str(tiny_bert), class_weights="balanced").configure(BINARY)
    plain = TextClassifier(str(tiny_bert))
    plain.target = BINARY
    plain.configure_model()
    assert torch.isfinite(plain.training_step(batch))  # type: ignore[arg-type]
