"""Dropout on a CPU with masks drawn from random bits: the same distribution, ten times as fast.

torch draws CPU dropout masks one number at a time in one thread, except on Intel processors (pytorch/pytorch#138199):
two thirds of a training step on 256 tokens. Here one 64-bit draw gives four mask values for hidden states and eight for
attention weights. A probability is rounded to what 16 or 8 bits can express (0.1 to 0.10001 and 0.10156) and the scale
is corrected to match, so expectations are exact. Draws come from torch's generator, so seeds apply.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Draw(NamedTuple):
    """Which elements a dropout keeps.

    `bits` are uniform integers of any shape. Elements with at least `least` are kept and multiplied by `growth`.
    """

    bits: Tensor
    least: int
    growth: float

    @classmethod
    def sample(cls, shape: torch.Size, probability: float, dtype: torch.dtype) -> Draw:
        """Draws one integer per element of a shape; its dtype, int16 or int8, sets the number of random bits."""
        values = 1 << (8 * dtype.itemsize)
        dropped = min(round(probability * values), values - 1)
        numbers = math.prod(shape)
        # From -2**63: the default range of random_() leaves the highest bit at 0, and with it every eighth byte biased.
        words = torch.empty(-(-numbers * dtype.itemsize // 8), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(dtype)[:numbers].view(shape)
        return cls(bits, torch.iinfo(dtype).min + dropped, values / (values - dropped))

    def mask(self, dtype: torch.dtype, part: slice = slice(None)) -> Tensor:
        """One for each element of rows `part` that is kept, zero for the others.

        The dtype is that of the other factor: a boolean mask would be cast element by element, which takes four times
        as long as everything else (torch 2.13, copy kernel).
        """
        bits = self.bits[part]
        return torch.ge(bits, self.least, out=torch.empty_like(bits, dtype=dtype))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, probability: float) -> Tensor:
        """Drops elements of a tensor of any shape."""
        draw = Draw.sample(hidden.shape, probability, torch.int16)
        # Saved as torch saves tensors, so that gradient checkpointing drops the bits and draws them again.
        ctx.save_for_backward(draw.bits)
        ctx.least, ctx.growth = draw.least, draw.growth
        return draw.mask(hidden.dtype).mul_(hidden).mul_(draw.growth)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """The gradient of the kept elements."""
        (bits,) = ctx.saved_tensors
        draw = Draw(bits, ctx.least, ctx.growth)
        return draw.mask(gradient.dtype).mul_(gradient).mul_(draw.growth), None


class FastDropout(nn.Dropout):
    """`nn.Dropout` with masks from :class:`Draw` on a CPU; torch's own elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        """Drops elements of a tensor of any shape while training."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        return _Dropout.apply(input, self.p)  # type: ignore[no-any-return,no-untyped-call]
