"""Building the model: configuration, weights, fast kernels, adapters, sharding."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import nn

from lit_textclf.models.adapters import add_lora, freeze
from lit_textclf.models.attention import use_fast_kernels
from lit_textclf.models.config import load_config
from lit_textclf.models.last_layer import read_first_token_only
from lit_textclf.models.layers import checkpoint_activations, head_in_float32, last_linear, shard
from lit_textclf.models.pooling import TokenPooling, resolve_pooling, undo_plain_transformers, use_pooling
from lit_textclf.utils.messages import UserError, did_you_mean, first_line, note, plural
from lit_textclf.utils.paths import local_or_hub

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import PretrainedConfig, PreTrainedTokenizerFast


_READ_PADDING = ("convbert", "fnet")
"""Architectures whose convolutions or Fourier transforms have no attention mask (transformers 5.23)."""


@dataclass(frozen=True)
class BuildOptions:
    """Options of `model.*` that shape the network, what of it is trained, and how it computes.

    Attributes:
        dropout: the probability of all dropout layers; None keeps the configuration's.
        pooling: see :func:`lit_textclf.models.pooling.resolve_pooling`.
        compiled: run through torch.compile, without this project's kernels.
        fast_kernels: use this project's kernels.
        lora: see :func:`lit_textclf.models.adapters.add_lora`; None trains all weights.
        freeze: see :func:`lit_textclf.models.adapters.freeze`; None freezes nothing.
        gradient_checkpointing: compute each layer again in the backward pass.
    """

    dropout: float | None = None
    compiled: bool = False
    fast_kernels: bool = True
    lora: dict[str, Any] | None = None
    freeze: int | Literal["embeddings"] | None = None
    gradient_checkpointing: bool = False
    pooling: str = "own"


class Built(NamedTuple):
    """A model, the options with LoRA's defaults filled in and the pooling resolved, and whether its head is random.

    The head of random weights that a checkpoint's follow does not count as such.
    """

    model: Any
    options: BuildOptions
    head_is_new: bool


def build_model(
    config: PretrainedConfig,
    tokenizer: PreTrainedTokenizerFast,
    problem_type: Any,
    labels: Sequence[str],
    *,
    pretrained: str | None,
    options: BuildOptions,
    scale: tuple[float, float] = (1.0, 0.0),
    mesh: DeviceMesh | None = None,
) -> Built:
    """Builds a sequence classification model with pretrained weights, or random ones if a checkpoint's follow.

    Args:
        config: the model's configuration, filled in here.
        tokenizer: the tokenizer whose tokens the model must know.
        problem_type: transformers' name of the task.
        labels: the names, in the order of the logits; none for regression.
        pretrained: a folder or Hub name; None builds random weights.
        options: how to build it.
        scale: what the outputs are multiplied by, and what is added to them.
        mesh: the device mesh to shard the model over, see :func:`lit_textclf.models.layers.shard`.

    Returns:
        The model and how it was built.

    Raises:
        UserError: if the pretrained weights cannot be loaded, or the tokenizer or the options do not fit the model.
    """
    outputs = len(labels) or 1
    config.num_labels = outputs
    config.id2label = dict(enumerate(labels or ("LABEL_0",)))
    config.label2id = {name: index for index, name in config.id2label.items()}
    config.problem_type = problem_type
    if options.dropout is not None:
        set_dropout(config, options.dropout)
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    model, new = (from_config(config), set()) if pretrained is None else from_pretrained(pretrained, config)
    check_inputs(model, config, tokenizer)
    new &= {name for name, _ in model.named_parameters()}
    head = last_linear(model, outputs)
    is_random = head is not None and any(model.get_parameter(name) is head.weight for name in new)
    pooling, was_pooled = _use_pooling(model, config, options.pooling, pretrained, is_random)
    if options.compiled:
        compile_model(model)
    elif options.fast_kernels:
        use_fast_kernels(model)
        read_first_token_only(model)
    head_is_new = pretrained is not None and (is_random or (pooling != "own" and not was_pooled))
    head_in_float32(model, outputs, *scale, trained=pretrained is not None and not head_is_new)
    options = _choose_what_is_trained(model, replace(options, pooling=pooling))
    if mesh is not None:
        shard(model, mesh)
    return Built(model, options, head_is_new)


def check_inputs(model: Any, config: PretrainedConfig, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuses a tokenizer with more tokens than the model knows; notes a model that reads padding."""
    if (known := known_tokens(model)) is not None and len(tokenizer) > known:
        raise UserError(
            f"the tokenizer has {len(tokenizer):,} tokens, the model knows {known:,}; "
            "model.tokenizer_name_or_path does not fit the model"
        )
    if config.model_type in _READ_PADDING:
        note(
            f"{config.model_type}: reads padding, too, so that a text's probabilities depend on the texts in its "
            "batch; data.pad_to_max_length true makes them independent"
        )


def known_tokens(model: Any) -> int | None:
    """The size of a model's vocabulary; None if it has none, as CANINE, which hashes characters."""
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)
    except NotImplementedError:  # of CANINE (transformers 5.23)
        return None
    return None if weight is None else len(weight)


def _use_pooling(
    model: Any, config: PretrainedConfig, wanted: str, pretrained: str | None, new_head: bool
) -> tuple[TokenPooling, bool]:
    """The pooling that the model now reads, and whether its head was trained with it."""
    exported = "own" if pretrained is None else undo_plain_transformers(model, new_head=new_head)
    if exported != "own":
        config.num_hidden_layers = model.config.num_hidden_layers
        if wanted == "own":
            raise UserError(f"model.pooling own: {pretrained} was exported with {exported} pooling; remove the option")
        if wanted in ("auto", exported):
            note(f"{pretrained}: was exported with {exported} pooling; training continues with it")
            return exported, True
    pooling = resolve_pooling(wanted, pretrained, config)
    use_pooling(model, pooling)
    return pooling, False


def _choose_what_is_trained(model: nn.Module, options: BuildOptions) -> BuildOptions:
    """Adds adapters, freezes layers and sets what the backward pass stores; returns LoRA's defaults filled in."""
    if options.lora is not None:
        options = replace(options, lora=add_lora(model, options.lora))
    if options.freeze is not None:
        freeze(model, options.freeze)
    if options.gradient_checkpointing:
        checkpoint_activations(model)
    return options


def scratch_config(options: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """A BERT configuration from `model.from_scratch`, with a tokenizer's vocabulary.

    Raises:
        UserError: if BERT's configuration does not have a key or accept its value.
    """
    from transformers import BertConfig

    known = BertConfig().to_dict()
    if unknown := [name for name in options if name not in known]:
        raise UserError(
            f"model.from_scratch: BERT's configuration has no {unknown[0]!r}{did_you_mean(unknown[0], known)}"
        )
    try:
        config = BertConfig(**{"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **options})
        if config.hidden_size % config.num_attention_heads:
            raise ValueError(
                f"hidden_size {config.hidden_size} is not a multiple of {config.num_attention_heads} heads"
            )
        with torch.device("meta"):  # only building it reveals a negative size or an unknown activation
            from_config(config)
    except Exception as error:
        raise UserError(f"model.from_scratch: {first_line(error)}") from None
    shown = f"{config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.vocab_size:,} tokens"
    note(f"from scratch: a BERT with random weights ({shown})")
    return config


def from_config(config: PretrainedConfig) -> Any:
    """Builds a sequence classification model with random float32 weights."""
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]


def from_pretrained(name_or_path: str, config: PretrainedConfig) -> tuple[Any, set[str]]:
    """Loads pretrained weights in float32 and reports missing ones.

    Returns:
        The model, and the names of the tensors with random weights.

    Raises:
        UserError: if they cannot be loaded.
    """
    from transformers import AutoModelForSequenceClassification

    source = local_or_hub(name_or_path, "model.model_name_or_path")
    own = load_config(name_or_path)
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )
    except Exception as error:
        raise UserError(f"model.model_name_or_path {name_or_path!r}: no weights ({first_line(error)})") from None
    names, wanted = _label_names(own), _label_names(config)
    new = sorted({*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])})
    if new:
        inside = [name for name in new if name.startswith(f"{model.base_model_prefix}.")]
        if on_top := len(new) - len(inside):
            note(f"{name_or_path}: the classifier on top is new and will be trained ({plural(on_top, 'tensor')})")
        if inside:
            shown = ", ".join(inside[:4]) + (", ..." if len(inside) > 4 else "")
            note(f"{name_or_path}: {plural(len(inside), 'tensor')} not in its weights, randomly initialized: {shown}")
    elif names != wanted and not names[0].startswith("LABEL_"):
        note(
            f"{name_or_path}: its outputs were {', '.join(names)}; training continues from them for {', '.join(wanted)}"
        )
    return model, set(new)


def _label_names(config: PretrainedConfig) -> list[str]:
    return [str(name) for _, name in sorted((config.id2label or {0: "LABEL_0"}).items())]


def compile_model(model: nn.Module) -> None:
    """Lets torch compile the model at its first run, for all lengths; the keys of its state dict do not change.

    Raises:
        UserError: on a CPU without a C++ compiler.
    """
    compilers = (os.environ.get("CXX", "g++"), "clang++")
    if not torch.cuda.is_available() and not any(shutil.which(name) for name in compilers):
        raise UserError("model.compile: torch needs a C++ compiler on a CPU, and g++ was not found; install one")
    note("model.compile: the first steps take a minute or more; attention and dropout are torch's own")
    model.compile(dynamic=True)


def set_dropout(config: PretrainedConfig, probability: float) -> None:
    """Sets every dropout probability of the configuration (`hidden_dropout_prob`, `dropout`, ...)."""
    for name, value in config.to_dict().items():
        if "dropout" in name and (isinstance(value, float) or name == "classifier_dropout"):
            setattr(config, name, probability)
