"""Scaled dot-product attention on a CPU, a few rows of the batch at a time so that scores stay in the cache.

It replaces torch's, whose kernel for bf16 is slow on short rows, and which draws dropout masks element by element.
In bf16 the scores are rounded between the two products, so the error is about twice that of torch's kernel, which is
still that of a bf16 product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_textclf.models.dropout import Draw, FastDropout

ATTENTION = "lit_textclf_attention"
"""The attention function's name among transformers' attention implementations."""
SCORES = 1 << 21
"""Scores computed at a time. At 32 rows of 256 tokens, 12 heads and dropout, forward and backward take 84 to
97 ms in one piece and 61 to 65 ms in pieces of this size or half of it (bf16, 2 cores, 32 MiB cache)."""


class _Attention(torch.autograd.Function):
    """Scaled dot-product attention whose weights are dropped by :class:`Draw`.

    Queries are `(batch, heads, queries, head size)`, keys and values `(batch, heads, tokens, head size)`; the mask is
    boolean and broadcasts to `(batch, heads, queries, tokens)`. The output is `(batch, queries, heads, head size)`.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, probability: float
    ) -> Tensor:
        """Computes the output, and stores the weights if a gradient is needed."""
        batch, heads, queries, size = query.shape
        tokens = key.shape[2]
        dtype, wide = query.dtype, torch.promote_types(query.dtype, torch.float32)
        shape = torch.Size((batch, heads, queries, tokens))
        ctx.scale = scale
        draw = Draw.sample(shape, probability, torch.int8) if probability else None
        ctx.drawn = None if draw is None else (draw.least, draw.growth)
        ctx.step = max(1, SCORES // (heads * queries * tokens))
        output = query.new_empty(batch, queries, heads, size)
        kept = query.new_empty(shape) if any(ctx.needs_input_grad[:3]) else None
        with torch.autocast("cpu", enabled=False):
            # The smallest finite number, not -inf: a row of padding gets equal weights, not NaN.
            bias = None
            if mask is not None:
                bias = torch.eq(mask, False, out=torch.empty(mask.shape, dtype=dtype)).mul_(torch.finfo(dtype).min)
                bias = bias.expand(batch, -1, -1, -1)
            grown = value if draw is None else value * draw.growth
            for start in range(0, batch, ctx.step):
                part = slice(start, start + ctx.step)
                scores = torch.matmul(query[part] * scale, key[part].transpose(-1, -2))
                if bias is not None:
                    scores += bias[part]
                weights = torch.softmax(scores, -1, dtype=wide)
                weights = weights.to(dtype) if kept is None else kept[part].copy_(weights)
                if draw is not None:
                    weights = draw.mask(dtype, part).mul_(weights)
                output[part] = torch.matmul(weights, grown[part]).transpose(1, 2)
        ctx.save_for_backward(query, key, value, kept, None if draw is None else draw.bits)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Gradients of queries, keys and values, computed in the same pieces as :meth:`forward`."""
        query, key, value, kept, bits = ctx.saved_tensors
        draw = None if bits is None else Draw(bits, *ctx.drawn)
        gradient = gradient.transpose(1, 2)
        if draw is not None:
            gradient = gradient * draw.growth
        for_query, for_key, for_value = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        # For rows below a vector's width in bf16, torch 2.13 computes softmax gradients element by element.
        wide = torch.promote_types(kept.dtype, torch.float32) if kept.shape[-1] < 32 else kept.dtype
        for start in range(0, len(query), ctx.step):
            part = slice(start, start + ctx.step)
            weights = kept[part]
            for_weights = torch.matmul(gradient[part], value[part].transpose(-1, -2))
            dropped = weights
            if draw is not None:
                mask = draw.mask(weights.dtype, part)
                for_weights.mul_(mask)
                dropped = mask.mul_(weights)
            for_value[part] = torch.matmul(dropped.transpose(-1, -2), gradient[part])
            for_scores = torch._softmax_backward_data(for_weights.to(wide), weights.to(wide), -1, wide)
            for_scores = for_scores.to(weights.dtype).mul_(ctx.scale)
            for_query[part] = torch.matmul(for_scores, key[part])
            for_key[part] = torch.matmul(for_scores.transpose(-1, -2), query[part])
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
    """Transformers' `sdpa` attention, except for bidirectional attention in bf16 or with dropout on a CPU.

    The signature is that of `transformers.AttentionInterface`.

    Returns:
        `(batch, tokens, heads, head size)`, and None for the weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    ours = query.device.type == "cpu" and (dropout > 0 or query.dtype == torch.bfloat16)
    ours = ours and query.shape[:2] == key.shape[:2] and key.shape == value.shape
    ours = ours and not (is_causal or getattr(module, "is_causal", False)) and kwargs.get("position_bias") is None
    ours = ours and (attention_mask is None or attention_mask.dtype == torch.bool)
    if not ours:
        return sdpa_attention_forward(  # type: ignore[return-value]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output: Tensor = _Attention.apply(query, key, value, attention_mask, scale, dropout)  # type: ignore[no-untyped-call]
    return output, None


def padding_mask(*, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Transformers' `sdpa` mask; a batch without padding also gets one, except on a CPU.

    To leave it out transformers 5.23 asks whether any token is padding, and a GPU would wait for the answer.
    The signature is that of `transformers.AttentionMaskInterface`.

    Returns:
        Boolean `(batch, 1, queries, tokens)`, or None if nothing is masked.
    """
    from transformers.masking_utils import sdpa_mask

    if attention_mask is not None and attention_mask.device.type != "cpu":
        kwargs["allow_is_bidirectional_skip"] = False
    return sdpa_mask(attention_mask=attention_mask, **kwargs)


def use_fast_kernels(model: Any) -> None:
    """Replaces a transformers model's attention and dropout with this project's; state dict keys do not change.

    Args:
        model: a `PreTrainedModel`; attention is replaced only if the model uses `sdpa`.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, FastDropout(child.p).train(child.training))
    if model.config._attn_implementation == "sdpa":
        model.fast_attention = _Registration()
        model.set_attn_implementation(ATTENTION)


class _Registration:
    """Makes transformers know :func:`attention` by its name; a pickled model brings it to the process that loads it."""

    def __init__(self) -> None:
        from transformers import AttentionInterface, AttentionMaskInterface

        AttentionInterface.register(ATTENTION, attention)
        AttentionMaskInterface.register(ATTENTION, padding_mask)

    def __reduce__(self) -> tuple[type[_Registration], tuple[()]]:
        return _Registration, ()
