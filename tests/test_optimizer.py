"""Which parameters decay, and what the learning rate is at each step."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from lit_textclf.optimizer import adamw, parameter_groups, schedule


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
