"""Which parameters decay, and what the learning rate is at each step."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from lit_textclf import TextClassifier, UserError, main
from lit_textclf.classifier.optimizer import (
    adamw,
    build,
    layerwise_groups,
    learning_rate_for,
    parameter_groups,
    schedule,
)  # fmt: skip
from lit_textclf.models.layers import depths


@pytest.fixture(scope="module")
def bert() -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=8,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def test_biases_and_layer_norms_do_not_decay(bert: BertForSequenceClassification) -> None:
    decaying, others = parameter_groups(bert.named_parameters(), 0.01)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    in_group = {id(parameter): group for group in (decaying, others) for parameter in group["params"]}
    assert len(in_group) == len(decaying["params"]) + len(others["params"]) == len(list(bert.parameters()))
    for name, parameter in bert.named_parameters():
        exempt = name.endswith(".bias") or "LayerNorm" in name
        assert in_group[id(parameter)] is (others if exempt else decaying), name
    # Two layers of 16 parameters, 5 of the embeddings, 2 of the pooler and 2 of the classifier.
    assert len(in_group) == 2 * 16 + 5 + 2 + 2
    assert len(decaying["params"]) == 2 * 6 + 3 + 1 + 1


def test_frozen_parameters_are_left_out(bert: BertForSequenceClassification) -> None:
    frozen = {id(parameter) for parameter in bert.bert.embeddings.parameters()}
    try:
        bert.bert.embeddings.requires_grad_(False)
        groups = parameter_groups(bert.named_parameters(), 0.01)
    finally:
        bert.bert.embeddings.requires_grad_(True)
    kept = {id(parameter) for group in groups for parameter in group["params"]}
    assert kept == {id(parameter) for parameter in bert.parameters()} - frozen


def test_layerwise_rates_by_hand(bert: BertForSequenceClassification, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a rate of 8 and a decay of a half: head 8, top layer 8, the layer below 4, embeddings 2."""
    groups = layerwise_groups(bert.named_parameters(), 0.01, 8.0, 0.5, depths(bert))
    assert [(group["name"], group["lr"], group["weight_decay"]) for group in groups] == [
        ("embeddings", 2.0, 0.01), ("embeddings_no_decay", 2.0, 0.0), ("layer_01", 4.0, 0.01),
        ("layer_01_no_decay", 4.0, 0.0), ("layer_02", 8.0, 0.01), ("layer_02_no_decay", 8.0, 0.0), ("head", 8.0, 0.01),
        ("head_no_decay", 8.0, 0.0),
    ]  # fmt: skip
    rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert len(rate) == sum(len(group["params"]) for group in groups) == len(list(bert.parameters()))
    expected = {"bert.embeddings.": 2, "bert.encoder.layer.0.": 4, "bert.encoder.layer.1.": 8, "bert.pooler.": 8,
                "classifier.": 8}  # fmt: skip
    for name, parameter in bert.named_parameters():
        (wanted,) = [value for start, value in expected.items() if name.startswith(start)]
        assert rate[id(parameter)] == wanted, name
    assert "learning rates: 8 (head, top layer) to 2 over 2 layers" in capfd.readouterr().err


class Rates(pl.Callback):
    """What each group's rate is at the first step of a run, by name, and what is shown of it."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[float, float]] = {}
        self.shown: dict[str, float] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if not self.first:
            groups = trainer.optimizers[0].param_groups
            self.first = {group["name"]: (group["lr"], group["weight_decay"]) for group in groups}

    def on_train_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.shown = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("lr")}


def test_a_changed_rate_goes_to_each_group_in_its_share(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """12 steps, linear, no warm-up, a decay of a half: after 6 of them half of the rate is left."""
    args = [*fit_args, "--model.layerwise_lr_decay", "0.5", "--model.warmup_ratio", "0", "--model.lr_scheduler",
            "linear", "--trainer.log_every_n_steps", "1"]  # fmt: skip
    begun, resumed = Rates(), Rates()
    main([*args, "--model.learning_rate", "8e-4"], callbacks=[begun])
    share = {"embeddings": 0.25, "layer_01": 0.5, "layer_02": 1.0, "head": 1.0}
    assert begun.first == {
        name + ending: (pytest.approx(8e-4 * part), decay)
        for name, part in share.items()
        for ending, decay in (("", 0.01), ("_no_decay", 0.0))
    }
    assert begun.shown.keys() == {f"lr/{name}{ending}" for name in share for ending in ("", "_no_decay")}
    stopped = [*args, "--trainer.default_root_dir", "stopped"]
    main([*stopped, "--model.learning_rate", "8e-4"], callbacks=[StopAfter(6)])
    capfd.readouterr()
    changed = ["--model.learning_rate", "1.6e-3", "--model.weight_decay", "0.1"]
    main([*stopped, "--ckpt_path", "last", *changed], callbacks=[resumed])
    said = capfd.readouterr().err
    assert "learning rate: 0.0008 in the checkpoint, 0.0016 now" in said
    assert "weight decay: 0.01 in the checkpoint, 0.1 now" in said
    assert resumed.first == {
        name + ending: (pytest.approx(1.6e-3 / 2 * part), decay)
        for name, part in share.items()
        for ending, decay in (("", 0.1), ("_no_decay", 0.0))
    }


class StopAfter(pl.Callback):
    """Ends a run after so many steps; its schedule is for all of them."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.steps


def test_a_decay_of_one_trains_like_none(fit_args: list[str]) -> None:
    """Other groups, the same rates: the same weights to rounding."""
    path = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    for root, more in (("off", []), ("one", ["--model.layerwise_lr_decay", "1.0"])):
        main([*fit_args, *more, "--trainer.default_root_dir", root])
    off, one = (torch.load(root / path, weights_only=True)["state_dict"] for root in (Path("off"), Path("one")))
    assert all(torch.allclose(off[name], one[name], atol=1e-6) for name in off)


@pytest.mark.parametrize("fused", [False, True])
def test_one_step_by_hand(fused: bool) -> None:
    # Loshchilov & Hutter 2019, algorithm 2, first step: w - lr * decay * w - lr * g / (|g| + eps).
    matrix, vector = nn.Parameter(torch.tensor([[2.0]])), nn.Parameter(torch.tensor([2.0]))
    optimizer = adamw(parameter_groups([("w", matrix), ("b", vector)], 0.5), 0.1, fused=fused)
    matrix.grad, vector.grad = torch.tensor([[4.0]]), torch.tensor([-4.0])
    optimizer.step()
    assert matrix.item() == pytest.approx(2 - 0.1 * 0.5 * 2 - 0.1, rel=1e-6)
    assert vector.item() == pytest.approx(2 + 0.1, rel=1e-6)


def rates(name: str, steps: int, warmup_ratio: float) -> list[float]:
    """The learning rate of each step, of a rate of 8, and the one after the last."""
    optimizer = adamw([{"params": [nn.Parameter(torch.zeros(1))]}], 8.0, fused=False)
    scheduler = schedule(optimizer, name, steps, warmup_ratio)
    listed = []
    for _ in range(steps):
        listed.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*listed, optimizer.param_groups[0]["lr"]]


@pytest.mark.parametrize(
    ("name", "steps", "warmup_ratio", "expected"),
    [
        ("linear", 4, 0.0, [8, 6, 4, 2, 0]),
        ("linear", 6, 1 / 3, [0, 4, 8, 6, 4, 2, 0]),
        # 0.25 of 6 steps are 1.5, rounded up.
        ("linear", 6, 0.25, [0, 4, 8, 6, 4, 2, 0]),
        ("linear", 4, 1.0, [0, 2, 4, 6, 0]),
        ("linear", 1, 0.0, [8, 0]),
        ("constant", 3, 0.5, [8, 8, 8, 8]),
        ("constant_with_warmup", 4, 0.5, [0, 4, 8, 8, 8]),
        ("cosine", 4, 0.0, [8, 4 + 4 * math.cos(math.pi / 4), 4, 4 - 4 * math.cos(math.pi / 4), 0]),
    ],
)
def test_learning_rates_by_hand(name: str, steps: int, warmup_ratio: float, expected: list[float]) -> None:
    assert rates(name, steps, warmup_ratio) == pytest.approx(expected, abs=1e-9)


def test_the_warm_up_of_the_trainer_of_transformers(tmp_path: Path) -> None:
    from transformers import TrainingArguments

    for steps in (1, 7, 10, 70, 123):
        arguments = TrainingArguments(output_dir=str(tmp_path), warmup_steps=0.1, use_cpu=True, report_to="none")
        warmup = arguments.get_warmup_steps(steps)
        rising = rates("constant_with_warmup", steps, 0.1)
        assert sum(rate < 8 for rate in rising) == warmup


@pytest.mark.parametrize(
    ("hidden_size", "fine_tuned", "from_scratch", "lora"),
    [(128, 3e-4, 5e-4, 1e-3), (384, 1e-4, 4e-4, 1e-3), (768, 2.5e-5, 1e-4, 5e-4), (1024, 1.4e-5, 5.6e-5, 3.8e-4)],
)
def test_the_learning_rate_fits_the_width(
    hidden_size: int, fine_tuned: float, from_scratch: float, lora: float
) -> None:
    assert learning_rate_for(hidden_size) == fine_tuned
    assert learning_rate_for(hidden_size, pretrained=False) == from_scratch
    assert learning_rate_for(hidden_size, lora=True) == lora


OWN = {"class_path": "torch.optim.SGD", "init_args": {"momentum": 0.9}}
STEP = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.5}}


@pytest.mark.slow
def test_an_optimizer_and_a_schedule_by_class_path(
    fit_args: list[str], capfd: pytest.CaptureFixture[str], fails: Callable[[list[str]], str]
) -> None:
    """Trained with, resumed with, and not needed to predict; the schedule halves the rate after each epoch."""
    args = [*fit_args, "--model.optimizer", json.dumps(OWN), "--model.lr_scheduler", json.dumps(STEP)]
    main([*args, "--model.weight_decay", "0.05"])
    assert "model.warmup_ratio 0.1 is not used: StepLR is stepped after each epoch" in capfd.readouterr().err
    last = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    decayed, others = last["optimizer_states"][0]["param_groups"]
    assert (decayed["momentum"], decayed["weight_decay"], others["weight_decay"]) == (0.9, 0.05, 0.0)
    assert decayed["lr"] == pytest.approx(1e-3 * 0.5**2)
    assert last["hyper_parameters"]["optimizer"] == OWN
    main([*fit_args, "--ckpt_path", "last", "--trainer.max_epochs", "3"])
    resumed = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    assert resumed["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(1e-3 * 0.5**3)
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "test.csv"])
    for changed in (
        ["--model.learning_rate", "0.05"],
        ["--model.weight_decay", "0.3"],
        ["--model.lr_scheduler", "linear"],
    ):
        assert f"{changed[0][2:]}: " in fails([*fit_args, "--ckpt_path", "last", "--trainer.max_epochs", "4", *changed])


def test_an_optimizer_without_weight_decay(capsys: pytest.CaptureFixture[str]) -> None:
    module = nn.Linear(2, 2)
    config = build(
        module, optimizer="torch.optim.Rprop", learning_rate=0.1, weight_decay=0.01, layerwise_lr_decay=None,
        lr_scheduler="constant", warmup_ratio=0.0, steps=10, device=torch.device("cpu"),
    )  # fmt: skip
    assert isinstance(config["optimizer"], torch.optim.Rprop)
    assert "model.weight_decay 0.01 is not used: Rprop has no weight_decay" in capsys.readouterr().err


def test_a_schedule_that_looks_at_a_metric() -> None:
    module = nn.Linear(2, 2)
    config = build(
        module, optimizer=None, learning_rate=0.1, weight_decay=0.01, layerwise_lr_decay=None, warmup_ratio=0.0,
        lr_scheduler="torch.optim.lr_scheduler.ReduceLROnPlateau", steps=float("inf"), device=torch.device("cpu"),
    )  # fmt: skip
    assert (config["lr_scheduler"]["monitor"], config["lr_scheduler"]["interval"]) == ("val_loss", "epoch")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"optimizer": "SGD"}, "model.optimizer 'SGD': must be a dotted name"),
        ({"optimizer": "torch.optim.SGD", "learning_rate": "auto"}, "auto is AdamW's; type --model.learning_rate RATE"),
        (
            {"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1}}},
            "type --model.learning_rate instead",
        ),
        ({"lr_scheduler": "steps"}, "must be one of linear, cosine"),
        ({"lr_scheduler": {"class_path": 3}}, "model.lr_scheduler: class_path is missing"),
    ],
)
def test_classes_that_cannot_be(options: dict[str, Any], expected: str, tiny_bert: Path) -> None:
    with pytest.raises(UserError) as error:
        TextClassifier(str(tiny_bert), **{"learning_rate": 1e-3, **options})
    assert expected in str(error.value)


def test_a_class_that_is_no_optimizer() -> None:
    with pytest.raises(UserError, match=r"collections\.OrderedDict: must be a torch\.optim\.Optimizer"):
        build(
            nn.Linear(2, 2), optimizer="collections.OrderedDict", learning_rate=0.1, weight_decay=0.0, warmup_ratio=0.0,
            layerwise_lr_decay=None, lr_scheduler="constant", steps=10, device=torch.device("cpu"),
        )  # fmt: skip


def test_weight_decay_reaches_an_optimizer_that_takes_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(torch.optim.AdamW):
        def __init__(self, params: Any, **options: Any) -> None:
            super().__init__(params, **options)

    monkeypatch.setattr(torch.optim, "Other", Other, raising=False)
    config = build(
        nn.Linear(2, 2), optimizer="torch.optim.Other", learning_rate=0.1, weight_decay=0.3, layerwise_lr_decay=None,
        lr_scheduler="constant", warmup_ratio=0.0, steps=10, device=torch.device("cpu"),
    )  # fmt: skip
    assert [group["weight_decay"] for group in config["optimizer"].param_groups] == [0.3, 0.0]
