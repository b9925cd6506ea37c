"""The last layer of a BERT-like encoder, computed only for the token that the head reads.

BERT's pooler and the heads of RoBERTa and ELECTRA read the first token of the last layer. The other tokens give it keys
and values; their own queries, outputs and feed-forward are discarded, and their gradient is zero. Skipping them saves
five sixths of the last layer, a seventh of a model with six layers, with the same logits and gradients.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor

from lit_textclf.models.attention import ATTENTION
from lit_textclf.models.pooling import pooling_of

_LAYERS = ("BertLayer", "RobertaLayer", "XLMRobertaLayer", "CamembertLayer", "ElectraLayer")
"""Layers of transformers 5 that are the same except for their names, under heads that read the first token."""


def read_first_token_only(model: Any) -> bool:
    """Makes the last layer of a sequence classification model compute only its first token.

    Args:
        model: a `PreTrainedModel`; decoders, and models without :data:`_LAYERS`, are not changed.

    Returns:
        Whether the model was changed.
    """
    layers = getattr(getattr(model.base_model, "encoder", None), "layer", None)
    if not layers or type(layers[-1]).__name__ not in _LAYERS or layers[-1].is_decoder:
        return False
    if pooling_of(model) in ("mean", "max"):  # of all tokens
        return False
    if model.config._attn_implementation not in (ATTENTION, "sdpa"):
        return False
    layers[-1].forward = MethodType(_forward, layers[-1])
    return True


def _forward(self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """`BertLayer.forward` for the first token: `(batch, tokens, hidden)` to `(batch, 1, hidden)`."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    attention, first = self.attention.self, hidden_states[:, :1]

    def heads(states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], -1, attention.attention_head_size).transpose(1, 2)

    compute = ALL_ATTENTION_FUNCTIONS[attention.config._attn_implementation]
    context, _weights = compute(
        attention,
        heads(attention.query(first)),
        heads(attention.key(hidden_states)),
        heads(attention.value(hidden_states)),
        None if attention_mask is None else attention_mask[:, :, :1],
        dropout=attention.dropout.p if self.training else 0.0,
        scaling=attention.scaling,
    )
    output = self.attention.output(context.reshape(*first.shape[:2], -1), first)
    return self.feed_forward_chunk(output)  # type: ignore[no-any-return]
