"""transformers models: their configuration as a checkpoint carries it, their weights, and what was not in them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_textclf.errors import UserError, count, nearest, say
from lit_textclf.tokens import local_or_hub

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from lit_textclf.checkpoint import StoredRun

_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text")
"""Models whose first position is `pad_token_id + 1` (transformers, `create_position_ids_from_input_ids`)."""


def config_from_json(text: str) -> PretrainedConfig:
    """The inverse of :func:`config_to_json`."""
    from transformers import AutoConfig

    values = json.loads(text)
    return AutoConfig.for_model(values.pop("model_type"), **values)  # type: ignore[no-any-return]


def config_to_json(config: PretrainedConfig) -> str:
    """A configuration as text: a dict of it has integer keys, which `weights_only=True` refuses to load."""
    values = json.loads(config.to_json_string(use_diff=False))
    values.pop("_name_or_path", None)  # a folder of the machine it was trained on
    return json.dumps(values)


def load_config(name_or_path: str) -> PretrainedConfig:
    """Loads the configuration of a folder or Hub name.

    Raises:
        UserError: if it cannot be had.
    """
    from transformers import AutoConfig

    source = local_or_hub(name_or_path, "model.model_name_or_path")
    try:
        return AutoConfig.from_pretrained(source)  # type: ignore[no-any-return]
    except Exception as error:
        raise UserError(f"model.model_name_or_path {name_or_path!r}: no model ({_first_line(error)})") from None


def scratch_config(options: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """A BERT configuration of the user's making, on a tokenizer's vocabulary.

    Raises:
        UserError: if BERT's configuration has no such key, or does not accept the values.
    """
    from transformers import BertConfig

    known = BertConfig().to_dict()
    if unknown := [name for name in options if name not in known]:
        raise UserError(f"model.from_scratch: BERT's configuration has no {unknown[0]!r}{nearest(unknown[0], known)}")
    try:
        config = BertConfig(**{"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **options})
        if config.hidden_size % config.num_attention_heads:
            raise ValueError(f"hidden_size {config.hidden_size} is no multiple of {config.num_attention_heads} heads")
        with torch.device("meta"):  # a negative size, an unknown activation: only building it shows them
            from_config(config)
    except Exception as error:
        raise UserError(f"model.from_scratch: {_first_line(error)}") from None
    shown = f"{config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.vocab_size:,} tokens"
    say(f"from scratch: a BERT with random weights ({shown})")
    return config


def from_config(config: PretrainedConfig) -> Any:
    """Builds a sequence classification model with random float32 weights."""
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]


def from_pretrained(name_or_path: str, config: PretrainedConfig) -> Any:
    """Loads pretrained weights in float32 and says what was not in them.

    Raises:
        UserError: if they cannot be had.
    """
    from transformers import AutoModelForSequenceClassification

    source = local_or_hub(name_or_path, "model.model_name_or_path")
    own = load_config(name_or_path)
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )
    except Exception as error:
        raise UserError(f"model.model_name_or_path {name_or_path!r}: no weights ({_first_line(error)})") from None
    names, wanted = _label_names(own), _label_names(config)
    new = sorted({*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])})
    if new:
        shown = ", ".join(new[:4]) + (", ..." if len(new) > 4 else "")
        say(f"{name_or_path}: {count(len(new), 'tensor')} not among its weights begin at random: {shown}")
    elif names != wanted and not names[0].startswith("LABEL_"):
        say(f"{name_or_path}: its outputs were {', '.join(names)}; training goes on from them for {', '.join(wanted)}")
    return model


def _label_names(config: PretrainedConfig) -> list[str]:
    return [str(name) for _, name in sorted((config.id2label or {0: "LABEL_0"}).items())]


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32 under autocast.

    In bf16 a logit has three digits, so that a regression would predict multiples of 1/64 and probabilities would be
    shared by many rows.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps `(..., in_features)` to float32 `(..., out_features)`."""
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.float(), self.weight.float(), bias)


def head_in_float32(model: nn.Module, outputs: int) -> None:
    """Makes the model's last linear layer, which gives the logits, compute in float32."""
    last = last_linear(model, outputs)
    if type(last) is nn.Linear:
        last.__class__ = Float32Linear  # the weights, their names and any hooks stay as they are


def last_linear(model: nn.Module, outputs: int) -> nn.Linear | None:
    """The linear layer that gives the logits, or None if the last one has another number of outputs."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    return last if last.out_features == outputs else None


@torch.no_grad()
def fold_temperature(model: nn.Module, stored: StoredRun) -> float:
    """Divides the weights that give the logits by a checkpoint's temperature: others then see calibrated logits.

    Returns:
        By what the logits were divided.
    """
    temperature = float((stored.calibration or {}).get("temperature", 1.0))
    last = last_linear(model, stored.target.num_outputs)
    if temperature == 1 or last is None:
        if temperature != 1:
            say(
                f"export: {type(model).__name__} has no linear head; probabilities are not calibrated (model.calibrate)"
            )
        return 1.0
    last.weight.div_(temperature)
    if last.bias is not None:
        last.bias.div_(temperature)
    return temperature


def compile_model(model: nn.Module) -> None:
    """Has torch compile the model when it first runs, for all lengths at once; its state dict keeps its keys.

    Raises:
        UserError: if there is no compiler for a CPU.
    """
    compilers = (os.environ.get("CXX", "g++"), "clang++")
    if not torch.cuda.is_available() and not any(shutil.which(name) for name in compilers):
        raise UserError("model.compile: torch needs a C++ compiler on a CPU, and there is no g++; install one")
    say("model.compile: the first steps take a minute or more; attention and dropout are torch's own")
    model.compile(dynamic=True)


def set_dropout(config: PretrainedConfig, probability: float) -> None:
    """Sets every dropout probability that the configuration has (`hidden_dropout_prob`, `dropout`, ...)."""
    for name, value in config.to_dict().items():
        if "dropout" in name and (isinstance(value, float) or name == "classifier_dropout"):
            setattr(config, name, probability)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def max_positions(config: PretrainedConfig) -> int | None:
    """The longest sequence that the model has positions for, in tokens; None if its configuration does not say."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is not None and config.model_type in _OFFSET_POSITIONS:
        limit -= (config.pad_token_id or 0) + 1
    return limit if limit is not None and limit > 0 else None


def encoder_layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The encoder's layers, which are the longest list of modules in a model, and the list's name."""
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=lambda found: len(found[1]), default=("", nn.ModuleList()))


def depths(model: Any) -> dict[str, int]:
    """How far from the input each parameter stands, by its name.

    Args:
        model: a transformers model for sequence classification with N encoder layers.

    Returns:
        0 for embeddings and whatever else all layers share, 1 to N for the layers, N + 1 for the head: a pooler, and
        all that is not of the base model.

    Raises:
        UserError: if the model is not one list of layers.
    """
    path, layers = encoder_layers(model)
    beside = [
        name for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == len(layers) and not f"{name}.".startswith(f"{path}.")
    ]  # fmt: skip
    base = f"{model.base_model_prefix}."
    if not layers or beside or not path.startswith(base):
        raise UserError(
            f"{type(model).__name__} is not one list of encoder layers: model.lora, model.freeze and "
            "model.layerwise_lr_decay do not know its parts"
        )
    parts = [name for name, _ in model.base_model.named_children()]
    above = parts[parts.index(path.removeprefix(base).partition(".")[0]) + 1 :]

    def depth(name: str) -> int:
        if name.startswith(f"{path}."):
            return int(name.removeprefix(f"{path}.").partition(".")[0]) + 1
        inside = name.startswith(base) and name.removeprefix(base).partition(".")[0] not in above
        return 0 if inside else len(layers) + 1

    return {name: depth(name) for name, _ in model.named_parameters()}


def checkpoint_activations(model: Any) -> None:
    """Has each encoder layer computed again in the backward pass, in place of keeping what it computed.

    torch puts its generators back for the second time, ours draw from them. The last layer, where it is computed for
    one token alone (`first_token.py`), is kept: it is the first that the backward pass would compute again.

    Raises:
        UserError: if the model has no layers that transformers can do that with.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise UserError(f"model.gradient_checkpointing: {_first_line(error)}") from None
    # transformers 5.23 asks for gradients of the embeddings' output, which only reentrant checkpoints need: with frozen
    # layers the backward pass would go down through them for nothing.
    model.disable_input_require_grads()


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Spreads a model over the ranks of a mesh's `data_parallel` dimension, layer by layer (FSDP2).

    https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html

    Args:
        model: a transformers model.
        mesh: of Lightning's ModelParallelStrategy.
    """
    from torch.distributed.fsdp import fully_shard

    for layer in encoder_layers(model)[1]:
        fully_shard(layer, mesh=mesh["data_parallel"])
    fully_shard(model, mesh=mesh["data_parallel"])
