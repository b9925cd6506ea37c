"""How the tokens of a text become the vector that the classifier reads.

sentence-transformers train encoders through the mean (or the first token) of their last layer, and leave the pooler as
it was: a classifier that reads the pooler starts from noise. Here the pooled tokens take the pooler's place, under a
head of dropout and one linear layer. The mean is normalized to zero mean and unit variance, as by a LayerNorm without
weights, which lets :func:`as_plain_transformers` write it as one more encoder layer that every tool loads.
"""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_textclf.models.config import PoolingOption
from lit_textclf.utils.messages import UserError, did_you_mean, first_line, note
from lit_textclf.utils.paths import local_or_hub

if TYPE_CHECKING:
    from transformers import PretrainedConfig

TokenPooling = Literal["own", "cls", "mean", "max"]

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert", "mpnet")
"""Models of transformers 5 whose head can be replaced: BERT's pooler, and classification heads with a hidden layer."""
POOLING_FILE = "1_Pooling/config.json"
"""Where sentence-transformers keep the pooling of a model."""
_EPSILON = 1e-12  # of the normalization; BERT's own
_LARGE, _SMALL = 1e6, 1e-3  # see as_plain_transformers


def resolve_pooling(wanted: str, name_or_path: str | None, config: PretrainedConfig) -> TokenPooling:
    """What `model.pooling` means for a model.

    Args:
        wanted: the option's value.
        name_or_path: the pretrained model; None for random weights.
        config: its configuration.

    Returns:
        For `auto` the pooling that sentence-transformers trained the model with, if its folder says so; otherwise
        `own`, the head of the architecture.

    Raises:
        UserError: if the pooling is unknown, or the model's head cannot be replaced.
    """
    if wanted not in get_args(PoolingOption):
        near = did_you_mean(wanted, get_args(PoolingOption))
        raise UserError(f"model.pooling {wanted!r}: must be one of {', '.join(get_args(PoolingOption))}{near}")
    supported = config.model_type in MODEL_TYPES
    if wanted == "auto":
        trained = trained_pooling(name_or_path) if supported and name_or_path is not None else None
        return trained or "own"
    if wanted != "own" and not supported:
        raise UserError(
            f"model.pooling {wanted}: a {config.model_type} has a head of its own; remove model.pooling (it is for "
            f"{', '.join(MODEL_TYPES)})"
        )
    return cast(TokenPooling, wanted)


def trained_pooling(name_or_path: str) -> TokenPooling | None:
    """The pooling in a sentence-transformers model's `1_Pooling/config.json`; None if there is none or another one."""
    from huggingface_hub import is_offline_mode, try_to_load_from_cache
    from transformers.utils.hub import cached_file

    source = local_or_hub(name_or_path, "model.model_name_or_path")
    found = cached_file(
        source, POOLING_FILE, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    if found is None:
        if is_offline_mode() and not Path(source).is_dir() and try_to_load_from_cache(source, POOLING_FILE) is None:
            note(
                f"model.pooling auto: own; offline, it is unknown whether {source} has a {POOLING_FILE}: set the option"
            )
        return None
    try:
        options = json.loads(Path(found).read_text(encoding="utf-8"))
        if not isinstance(options, dict):
            raise ValueError("not a JSON object")
    except ValueError as error:
        raise UserError(f"{found}: cannot be read ({first_line(error)}); correct it, or set model.pooling") from None
    names: dict[str, TokenPooling] = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
    modes = [how for name, how in names.items() if options.get(f"pooling_mode_{name}")]
    others = [name for name in options if name.startswith("pooling_mode_") and options[name]]
    if len(modes) == len(others) == 1:
        return modes[0]
    mode = options.get("pooling_mode")  # sentence-transformers 6
    return cast(TokenPooling, mode) if mode in ("cls", "mean", "max") else None


def pool_tokens(hidden: Tensor, mask: Tensor | None, pooling: TokenPooling) -> Tensor:
    """Pools tokens into one vector a text.

    Args:
        hidden: float `(batch, tokens, hidden)`.
        mask: 1 for tokens, 0 for padding, `(batch, tokens)`; None for no padding.
        pooling: `cls`, `mean` (normalized) or `max`.

    Returns:
        `(batch, hidden)`; in float32 for `mean`.
    """
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "max":
        lowest = torch.finfo(hidden.dtype).min
        return (hidden if mask is None else hidden.masked_fill(mask[..., None] == 0, lowest)).amax(1)
    with torch.autocast(hidden.device.type, enabled=False):
        weights = torch.ones_like(hidden[..., :1]) if mask is None else mask[..., None]
        total = (hidden.float() * weights.float()).sum(1)
        return F.layer_norm(total / weights.float().sum(1), total.shape[-1:], eps=_EPSILON)


class PooledHead(nn.Module):
    """Dropout and a linear layer, in place of a head that has a hidden layer of its own.

    Args:
        head: the classification head of a RoBERTa or an MPNet.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.dropout, self.out_proj = head.dropout, head.out_proj

    def forward(self, features: Tensor, **_: Any) -> Tensor:
        """`(batch, 1, hidden)` to logits `(batch, outputs)`."""
        return self.out_proj(self.dropout(features[:, 0]))  # type: ignore[no-any-return]


def use_pooling(model: Any, pooling: TokenPooling) -> None:
    """Makes a sequence classification model read pooled tokens; its class stays transformers' own.

    Args:
        model: a `PreTrainedModel` of :data:`MODEL_TYPES`.
        pooling: `own` changes nothing.
    """
    if pooling == "own":
        return
    base = model.base_model
    base.pooler = None
    if not isinstance(model.classifier, nn.Linear):
        model.classifier = PooledHead(model.classifier)
    base.token_pooling = pooling
    base.forward = partial(_forward, base)  # a bound method could not be pickled


def pooling_of(model: Any) -> TokenPooling:
    """The pooling that :func:`use_pooling` gave a model."""
    return cast(TokenPooling, getattr(model.base_model, "token_pooling", "own"))


def _forward(self: Any, *args: Any, attention_mask: Tensor | None = None, **options: Any) -> Any:
    """The base model's forward; both outputs that heads read are the pooled tokens."""
    output = type(self).forward(self, *args, attention_mask=attention_mask, **options)
    pooled = pool_tokens(output.last_hidden_state, attention_mask, self.token_pooling)
    output["last_hidden_state"], output["pooler_output"] = pooled[:, None], pooled
    return output


@torch.no_grad()
def as_plain_transformers(model: Any) -> Any:
    """A model with the same logits and transformers' own head, which loads without this package.

    The pooler multiplies by :data:`_SMALL`, where tanh is linear, and the classifier's weights are divided by the same
    number. The mean is an encoder layer whose queries are zero, so that each token attends to all tokens equally. Its
    values are multiplied by :data:`_LARGE`, so that its LayerNorm leaves nothing of the residual connection, and its
    feed-forward network is zero. In float32 the logits agree to five digits or more; float16 has no such large numbers.

    Args:
        model: of :func:`use_pooling`, without adapters.

    Returns:
        The model itself if its head is its own; otherwise a new one in evaluation mode.

    Raises:
        UserError: for `max`, which no such layer computes, and for MPNet, whose attention depends on positions.
    """
    pooling = pooling_of(model)
    if pooling == "own":
        return model
    if pooling == "max" or (pooling == "mean" and model.config.model_type == "mpnet"):
        raise UserError(
            f"export: transformers has no {model.config.model_type} that reads the {pooling} of its tokens; "
            "use --format onnx"
        )
    config = copy.deepcopy(model.config)
    config.num_hidden_layers += pooling == "mean"
    plain = type(model)(config).eval()
    unexpected = plain.load_state_dict(model.state_dict(), strict=False).unexpected_keys
    assert not unexpected
    if pooling == "mean":
        _average(plain.base_model.encoder.layer[-1])
    dense, last = _head(plain)
    dense.weight.copy_(_SMALL * torch.eye(len(dense.weight)))
    dense.bias.zero_()
    last.weight.div_(_SMALL)
    return plain


def _average(layer: Any) -> None:
    """Makes a `BertLayer` compute the normalized mean of the tokens, at each of them."""
    for parameter in layer.parameters():
        parameter.zero_()
    attention = layer.attention
    size = attention.output.dense.weight.shape[0]
    attention.self.value.weight.copy_(_LARGE * torch.eye(size))
    attention.output.dense.weight.copy_(torch.eye(size))
    attention.output.LayerNorm.weight.fill_(1)
    layer.output.LayerNorm.weight.fill_(1)


@torch.no_grad()
def undo_plain_transformers(model: Any, *, new_head: bool) -> TokenPooling:
    """Makes a model of :func:`as_plain_transformers` read pooled tokens again.

    Its large and small numbers are not for training: an optimizer's step changes all numbers alike.

    Args:
        model: any pretrained model; one that was trained since it was exported is not changed.
        new_head: whether the last linear layer has other weights than the exported ones.

    Returns:
        The pooling that the model was exported with; `own` if it was not changed.
    """
    if model.config.model_type not in MODEL_TYPES:
        return "own"
    dense, last = _head(model)
    if not _is_multiple(dense, _SMALL):
        return "own"
    layers = model.base_model.encoder.layer
    attention = getattr(layers[-1].attention, "self", None)  # MPNet has no mean
    pooling: TokenPooling = "cls"
    if attention is not None and _is_multiple(attention.value, _LARGE):
        del layers[-1]
        model.config.num_hidden_layers -= 1
        pooling = "mean"
    if not new_head:
        last.weight.mul_(_SMALL)
    use_pooling(model, pooling)
    return pooling


def _head(model: Any) -> tuple[Any, Any]:
    """The hidden layer of a model's own head, and its last layer."""
    if isinstance(model.classifier, nn.Linear):
        return model.base_model.pooler.dense, model.classifier
    return model.classifier.dense, model.classifier.out_proj


def _is_multiple(linear: nn.Linear, factor: float) -> bool:
    """Whether a layer multiplies by a number and does nothing else."""
    size = len(linear.weight)
    return torch.equal(linear.weight, factor * torch.eye(size).to(linear.weight)) and not linear.bias.any()
