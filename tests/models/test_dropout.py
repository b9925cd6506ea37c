"""Fast dropout: the right statistics, exact gradients, torch's own results where it is off."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch import Tensor

from lit_textclf.models.dropout import Draw, FastDropout

NUMBERS = 1 << 20


def keep_mask(shape: torch.Size, probability: float, dtype: torch.dtype) -> tuple[Tensor, float]:
    draw = Draw.sample(shape, probability, dtype)
    mask = draw.mask(torch.bfloat16)
    assert mask.dtype == torch.bfloat16
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(draw.mask(torch.float32, slice(1, 3)), mask[1:3].float())
    return mask.bool(), draw.growth


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
