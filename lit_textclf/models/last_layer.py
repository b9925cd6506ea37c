"""The last layer of a BERT-like encoder, computed only for the token that the head reads.

BERT's pooler and the heads of RoBERTa and ELECTRA read the first token of the last layer. The other tokens give it keys
and values; their own queries, outputs and feed-forward are discarded, and their gradient is zero. Skipping them saves
five sixths of the last layer, a seventh of a model with six layers, with the same logits and gradients.

Other readers of the last layer (a head of your own, a hook, `output_hidden_states`) need all tokens. The layer is
therefore complete unless the caller asks for the shortcut, which is for callers that read nothing but the logits.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from lit_textclf.models.attention import ATTENTION
from lit_textclf.models.pooling import pooling_of

_LAYERS = ("BertLayer", "RobertaLayer", "XLMRobertaLayer", "CamembertLayer", "ElectraLayer")
"""Layers of transformers 5 that are the same except for their names, under heads that read the first token."""
_HEADS = ("BertPooler", *(name.replace("Layer", "ClassificationHead") for name in _LAYERS[1:]))
"""The modules that read it."""
_ARGUMENT = "only_first_token"


def read_first_token_only(model: Any) -> bool:
    """Lets the last layer of a sequence classification model compute only its first token, see :func:`shortcut`.

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
    layers[-1].forward = partial(_forward, layers[-1])  # a bound method could not be pickled
    return True


def shortcut(model: Any) -> dict[str, bool]:
    """The argument with which a call of a model takes the shortcut, for callers that read only the logits.

    It is an argument, not a state of the model, because threads share a model, and because gradient checkpointing calls
    layers again in the backward pass.

    Args:
        model: any model that computes logits.

    Returns:
        An empty dictionary for a model that :func:`read_first_token_only` did not change, and where a head other than
        transformers' own, or a hook, reads the last layer.
    """
    base: Any = getattr(model, "base_model", None)
    layers = getattr(getattr(base, "encoder", None), "layer", None)
    seen = torch.nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
    if torch.compiler.is_compiling() or seen or not layers:
        return {}
    forward = vars(layers[-1]).get("forward")
    if not isinstance(forward, partial) or forward.func is not _forward:
        return {}
    head = model.classifier if getattr(base, "pooler", None) is None else base.pooler
    if pooling_of(model) == "own" and type(head).__name__ not in _HEADS:
        return {}
    readers = chain((model, base, base.encoder, head), layers[-1].modules())
    return {} if any(_has_hook(module) for module in readers) else {_ARGUMENT: True}


def _has_hook(module: nn.Module) -> bool:
    """Whether a hook sees what a module gets or returns; those that shard weights (FSDP2) look at no value."""
    hooks = chain(
        module._forward_hooks.values(), module._forward_pre_hooks.values(),
        module._backward_hooks.values(), module._backward_pre_hooks.values(),
    )  # fmt: skip
    return any(not getattr(hook, "__module__", "").startswith("torch.distributed.") for hook in hooks)


def _forward(self: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *args: Any, **options: Any) -> Any:
    """`BertLayer.forward`; with the shortcut for the first token, `(batch, tokens, hidden)` to `(batch, 1, hidden)`."""
    if not options.pop(_ARGUMENT, False):
        return type(self).forward(self, hidden_states, attention_mask, *args, **options)
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
    return self.feed_forward_chunk(output)
