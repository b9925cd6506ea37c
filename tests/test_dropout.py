"""Fast dropout: the right statistics, exact gradients, torch's own results where it is off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from lit_textclf import Target, TextClassifier
from lit_textclf.dropout import ATTENTION, FastDropout, _Attention, attention, keep_mask

NUMBERS = 1 << 20


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.01, 0.9])
def test_share_of_dropped_elements(dtype: torch.dtype, probability: float) -> None:
    torch.manual_seed(0)
    keep, scale = keep_mask(torch.Size([NUMBERS]), probability, dtype)
    expected = 1 / scale  # the probability that the bits express
    assert expected == pytest.approx(1 - probability, abs=0.5 / 2 ** (8 * dtype.itemsize))
    assert binomtest(int(keep.sum()), NUMBERS, expected).pvalue > 1e-4


@pytest.mark.parametrize(("dtype", "lanes"), [(torch.int8, 8), (torch.int16, 4)])
def test_every_place_within_a_draw_is_fair(dtype: torch.dtype, lanes: int) -> None:
    """torch's random_() leaves the top bit of 64 at 0: one byte in eight would be dropped twice as often."""
    torch.manual_seed(0)
    keep, scale = keep_mask(torch.Size([NUMBERS // lanes, lanes]), 0.1, dtype)
    dropped = (~keep).sum(0).tolist()
    assert chisquare(dropped).pvalue > 1e-4
    for count in dropped:
        assert binomtest(count, NUMBERS // lanes, 1 - 1 / scale).pvalue > 1e-5


def test_neighbours_and_draws_are_independent() -> None:
    torch.manual_seed(0)
    first, _ = keep_mask(torch.Size([NUMBERS]), 0.5, torch.int8)
    second, _ = keep_mask(torch.Size([NUMBERS]), 0.5, torch.int8)
    for one, other in ((first[1:], first[:-1]), (first[8:], first[:-8]), (first, second)):
        assert binomtest(int((one == other).sum()), len(one), 0.5).pvalue > 1e-4


def test_seeds_hold() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(keep_mask(torch.Size([3, 5, 7]), 0.3, torch.int16)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].shape == (3, 5, 7)


def test_hidden_dropout_and_its_gradient() -> None:
    torch.manual_seed(0)
    layer = FastDropout(0.25)
    hidden = torch.randn(64, 100, requires_grad=True)
    output = layer(hidden)
    kept = output != 0
    scale = 65536 / (65536 - 16384)
    assert torch.equal(output, torch.where(kept, hidden * scale, 0.0))
    output.sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, torch.where(kept, scale, 0.0))
    assert torch.equal(layer.eval()(hidden), hidden)
    assert torch.equal(FastDropout(0.0)(hidden), hidden)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_with_a_known_mask_is_exact(masked: bool) -> None:
    """Against a plain computation with the very mask that was drawn, forward and backward, in float64."""
    tensors = [torch.randn(2, 3, 6, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = torch.ones(2, 1, 1, 6, dtype=torch.bool)
    mask[0, ..., 4:] = False
    given = mask if masked else None
    torch.manual_seed(5)
    output = _Attention.apply(*tensors, given, 0.5, 0.3)
    torch.manual_seed(5)
    keep, growth = keep_mask(torch.Size([2, 3, 6, 6]), 0.3, torch.int8)
    query, key, value = tensors
    scores = query @ key.transpose(-1, -2) * 0.5
    if masked:
        scores = scores.masked_fill(~mask, float("-inf"))
    expected = (scores.softmax(-1) * keep * growth) @ value
    assert torch.allclose(output, expected, atol=1e-12)
    weight = torch.randn_like(output)
    found = torch.autograd.grad((output * weight).sum(), tensors)
    wanted = torch.autograd.grad((expected * weight).sum(), tensors)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_attention_has_the_mean_of_attention_without_dropout() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 5, 8) for _ in range(3))
    many = [tensor.expand(20000, -1, -1, -1) for tensor in (query, key, value)]
    mean = _Attention.apply(*many, None, 8**-0.5, 0.1).mean(0, keepdim=True)
    assert torch.allclose(mean, scaled_dot_product_attention(query, key, value), atol=0.02)


def test_without_dropout_it_is_transformers_sdpa() -> None:
    query, key, value = (torch.randn(2, 2, 5, 8) for _ in range(3))
    output, _ = attention(nn.Module(), query, key, value, None, dropout=0.0, scaling=None, is_causal=False)
    assert torch.equal(output, scaled_dot_product_attention(query, key, value).transpose(1, 2))


def test_the_model_keeps_its_keys_and_its_predictions(tiny_bert: Path) -> None:
    models = []
    for fast in (True, False):
        torch.manual_seed(0)
        classifier = TextClassifier(str(tiny_bert), fast_dropout=fast, target=Target("single_label", ("a", "b")))
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
