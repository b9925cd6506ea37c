"""Attention in pieces: exact with a known mask, forward and backward; transformers' own where it does not apply."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from lit_textclf import Target, TextClassifier
from lit_textclf.models import attention as module
from lit_textclf.models.attention import ATTENTION, _Attention, attention
from lit_textclf.models.dropout import Draw, FastDropout


@pytest.mark.parametrize("scores", [1, 3 * 36 * 2, 1 << 21])
@pytest.mark.parametrize("probability", [0.0, 0.3])
@pytest.mark.parametrize("mask_rows", [0, 1, 5])
def test_attention_with_a_known_mask_is_exact(
    scores: int, probability: float, mask_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a plain computation with the very mask that was drawn, in float64; in pieces of 1, 2 and all rows."""
    monkeypatch.setattr(module, "SCORES", scores)
    tensors = [torch.randn(5, 6, 3, 4, dtype=torch.float64).transpose(1, 2).requires_grad_() for _ in range(3)]
    mask = torch.ones(max(1, mask_rows), 1, 1, 6, dtype=torch.bool)
    mask[-1, ..., 4:] = False
    torch.manual_seed(5)
    output = _Attention.apply(*tensors, mask if mask_rows else None, 0.5, probability)
    torch.manual_seed(5)
    query, key, value = tensors
    weights = query @ key.transpose(-1, -2) * 0.5
    if mask_rows:
        weights = weights.masked_fill(~mask, float("-inf"))
    weights = weights.softmax(-1)
    if probability:
        draw = Draw.sample(torch.Size([5, 3, 6, 6]), probability, torch.int8)
        weights = weights * draw.mask(torch.float64) * draw.growth
    expected = (weights @ value).transpose(1, 2)
    assert torch.allclose(output, expected, atol=1e-12)
    weight = torch.randn_like(output)
    found = torch.autograd.grad((output * weight).sum(), tensors)
    wanted = torch.autograd.grad((expected * weight).sum(), tensors)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("tokens", [5, 26, 40])
def test_attention_in_bf16_is_within_its_rounding(tokens: int) -> None:
    torch.manual_seed(0)
    exact = [torch.randn(9, 4, tokens, 32, dtype=torch.float64).bfloat16().double() for _ in range(3)]
    mask = torch.ones(9, 1, tokens, tokens, dtype=torch.bool)
    mask[3:, ..., tokens - 2 :] = False
    truth = scaled_dot_product_attention(*exact, mask)
    narrow = [tensor.bfloat16() for tensor in exact]
    theirs = scaled_dot_product_attention(*narrow, mask)
    ours, _ = attention(nn.Module(), *narrow, mask, dropout=0.0)
    errors = [(found.double() - truth).square().mean().sqrt() for found in (ours.transpose(1, 2), theirs)]
    assert errors[0] < 2.5 * errors[1]  # scores are rounded to bf16 between the two products, there they are not
    assert (ours.transpose(1, 2).double() - truth).abs().max() < 0.03


def test_a_row_of_padding_alone_gives_numbers() -> None:
    tensors = [torch.randn(1, 1, 3, 4, dtype=torch.bfloat16) for _ in range(3)]
    output, _ = attention(nn.Module(), *tensors, torch.zeros(1, 1, 1, 3, dtype=torch.bool))
    assert torch.isfinite(output).all()


def test_attention_has_the_mean_of_attention_without_dropout() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 5, 8) for _ in range(3))
    many = [tensor.expand(20000, -1, -1, -1) for tensor in (query, key, value)]
    mean = _Attention.apply(*many, None, 8**-0.5, 0.1).mean(0, keepdim=True).transpose(1, 2)
    assert torch.allclose(mean, scaled_dot_product_attention(query, key, value), atol=0.02)


def test_in_float32_without_dropout_it_is_transformers_sdpa() -> None:
    query, key, value = (torch.randn(2, 2, 5, 8) for _ in range(3))
    output, _ = attention(nn.Module(), query, key, value, None, dropout=0.0, scaling=None, is_causal=False)
    assert torch.equal(output, scaled_dot_product_attention(query, key, value).transpose(1, 2))


def test_the_model_keeps_its_keys_and_its_predictions(tiny_bert: Path) -> None:
    models = []
    for fast in (True, False):
        torch.manual_seed(0)
        classifier = TextClassifier(str(tiny_bert), fast_kernels=fast, target=Target("single_label", ("a", "b")))
        classifier.configure_model()
        models.append(classifier)
    fast, plain = models
    assert fast.model is not None
    assert plain.model is not None
    assert fast.state_dict().keys() == plain.state_dict().keys()
    assert sum(isinstance(module, FastDropout) for module in fast.modules()) > 3
    assert not any(isinstance(module, FastDropout) for module in plain.modules())
    assert fast.model.config._attn_implementation == ATTENTION
    assert plain.model.config._attn_implementation == "sdpa"
    fast.load_state_dict(plain.state_dict())
    inputs = {"input_ids": torch.randint(5, 20, (4, 9)), "attention_mask": torch.ones(4, 9, dtype=torch.long)}
    inputs["attention_mask"][1, 5:] = 0
    assert torch.equal(fast.eval()(**inputs), plain.eval()(**inputs))
    checkpoint: dict[str, object] = {}
    fast.on_save_checkpoint(checkpoint)
    assert ATTENTION not in str(checkpoint)
    assert "fast_kernels" not in str(checkpoint)


def test_training_in_bf16_follows_torchs_gradients(tiny_bert: Path) -> None:
    """One step without dropout: the gradients of both kernels differ by bf16's rounding only."""
    torch.manual_seed(0)
    plain = TextClassifier(str(tiny_bert), fast_kernels=False, dropout=0.0, target=Target("single_label", ("a", "b")))
    plain.configure_model()
    fast = TextClassifier(str(tiny_bert), dropout=0.0, target=Target("single_label", ("a", "b")))
    fast.configure_model()
    fast.load_state_dict(copy.deepcopy(plain.state_dict()))
    inputs = {"input_ids": torch.randint(5, 20, (8, 12)), "attention_mask": torch.ones(8, 12, dtype=torch.long)}
    inputs["attention_mask"][1, 5:] = 0
    gradients = []
    for classifier in (plain, fast):
        with torch.autocast("cpu", torch.bfloat16):
            loss = classifier.training_step({"inputs": inputs, "target": torch.arange(8) % 2})
        loss.backward()
        gradients.append(torch.cat([each.grad.flatten() for each in classifier.parameters() if each.grad is not None]))
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert cosine > 0.999
