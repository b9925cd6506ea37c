"""Dropout on a CPU with masks drawn from random bits: the same distribution, an order of magnitude faster.

torch draws CPU dropout masks one number at a time in one thread, except on Intel processors (pytorch/pytorch#138199):
two thirds of a training step on 256 tokens. Here one 64-bit draw gives four mask values for hidden states and eight for
attention weights. A probability is rounded to what 16 or 8 bits can express (0.1 to 0.10001 and 0.10156) and the scale
is corrected to match, so that expectations are kept exactly. Draws come from torch's own generator, so seeds hold.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

ATTENTION = "lit_textclf_sdpa"
"""The attention function's name among transformers' attention implementations."""


def keep_mask(shape: torch.Size, probability: float, dtype: torch.dtype) -> tuple[Tensor, float]:
    """Draws which elements a dropout keeps.

    Args:
        shape: the elements.
        probability: of dropping one.
        dtype: int16 or int8: as many bits decide on an element.

    Returns:
        A boolean tensor of that shape, and the factor by which kept elements grow.
    """
    values = 1 << (8 * dtype.itemsize)
    dropped = min(round(probability * values), values - 1)
    numbers = math.prod(shape)
    # From -2**63: the default range of random_() leaves the highest bit at 0, and with it every eighth byte biased.
    words = torch.empty(-(-numbers * dtype.itemsize // 8), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(dtype)[:numbers].view(shape)
    return bits >= torch.iinfo(dtype).min + dropped, values / (values - dropped)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, probability: float) -> Tensor:
        keep, ctx.scale = keep_mask(hidden.shape, probability, torch.int16)
        ctx.save_for_backward(keep)
        return torch.mul(hidden, keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (keep,) = ctx.saved_tensors
        return torch.mul(gradient, keep).mul_(ctx.scale), None


class FastDropout(nn.Dropout):
    """`nn.Dropout` with masks from :func:`keep_mask` on a CPU; torch's own elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        """Drops elements of a tensor of any shape while training."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        return _Dropout.apply(input, self.p)  # type: ignore[no-any-return,no-untyped-call]


class _Attention(torch.autograd.Function):
    """Scaled dot-product attention whose weights are dropped by :func:`keep_mask`.

    Queries, keys and values are `(batch, heads, tokens, head size)`; the mask is boolean and broadcasts to
    `(batch, heads, tokens, tokens)`.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, probability: float
    ) -> Tensor:
        with torch.autocast(
            "cpu", enabled=False
        ):  # it would widen the softmax to float32; the kernel sums in it anyway
            scores = torch.matmul(query * scale, key.transpose(-1, -2))
            if mask is not None:
                scores.masked_fill_(~mask, -math.inf)
            weights = torch.softmax(scores, -1)
            keep, growth = keep_mask(weights.shape, probability, torch.int8)
            output = torch.matmul(weights * keep, value * growth)
        ctx.save_for_backward(query, key, value, weights, keep)
        ctx.scale, ctx.growth = scale, growth
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, weights, keep = ctx.saved_tensors
        gradient = gradient * ctx.growth
        for_value = torch.matmul((weights * keep).transpose(-1, -2), gradient)
        for_weights = torch.matmul(gradient, value.transpose(-1, -2)).mul_(keep)
        for_scores = torch._softmax_backward_data(for_weights, weights, -1, weights.dtype)
        for_query = torch.matmul(for_scores, key).mul_(ctx.scale)
        for_key = torch.matmul(for_scores.transpose(-1, -2), query).mul_(ctx.scale)
        return for_query, for_key, for_value, None, None, None


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Transformers' `sdpa` attention, but for the training of bidirectional attention on a CPU.

    The signature is that of `transformers.AttentionInterface`.

    Returns:
        `(batch, tokens, heads, head size)`, and None in place of the weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    ours = dropout > 0 and query.device.type == "cpu" and query.shape[1] == key.shape[1]
    ours = ours and not (is_causal or getattr(module, "is_causal", False)) and kwargs.get("position_bias") is None
    ours = ours and (attention_mask is None or attention_mask.dtype == torch.bool)
    if not ours:
        return sdpa_attention_forward(  # type: ignore[return-value]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output: Tensor = _Attention.apply(query, key, value, attention_mask, scale, dropout)  # type: ignore[no-untyped-call]
    return output.transpose(1, 2).contiguous(), None


def use_fast_dropout(model: Any) -> None:
    """Gives a transformers model the dropout of this module; its state dict keeps its keys.

    Args:
        model: a `PreTrainedModel`; attention is replaced only where the model runs `sdpa`.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, FastDropout(child.p).train(child.training))
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(ATTENTION, attention)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        model.set_attn_implementation(ATTENTION)
