"""Choosing what is trained: LoRA adapters, or all weights except frozen ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from lit_textclf.models.layers import depths, encoder_layers
from lit_textclf.utils.messages import UserError, did_you_mean, note, plural

LORA: dict[str, Any] = {"r": 8, "alpha": 16, "dropout": 0.0, "target_modules": None}
"""The keys of `model.lora` and their defaults."""
_QUERY_AND_VALUE = (
    ("query", "value"),
    ("q_lin", "v_lin"),  # DistilBERT
    ("query_proj", "value_proj"),  # DeBERTa-v2 and v3
    ("q", "v"),  # MPNet
    ("in_proj",),  # DeBERTa: query, key and value in one
    ("Wqkv",),  # ModernBERT: also all three in one
)
"""Names of the query and value projections, which LoRA's authors adapt (Hu et al. 2022, section 4.2)."""


def add_lora(model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Adds LoRA adapters to linear layers of the encoder (peft), and freezes everything except them and the head.

    The model keeps its class. Everything above the encoder layers, including a pooler, is trained in full, because it
    is new or was trained for another task.

    Args:
        model: a transformers model for sequence classification.
        options: see :data:`LORA`; `target_modules` defaults to the query and value projections.

    Returns:
        The options with all defaults filled in, so that later defaults do not change the layers.

    Raises:
        UserError: if the encoder has no linear layer of a given name.
    """
    from peft import LoraConfig, inject_adapter_in_model

    path, layers = encoder_layers(model)
    linear = [name for name, module in layers.named_modules() if isinstance(module, nn.Linear)]
    complete = {**LORA, **options, "target_modules": _targets(options.get("target_modules"), linear)}
    config = LoraConfig(
        r=complete["r"],
        lora_alpha=complete["alpha"],
        lora_dropout=complete["dropout"],
        target_modules=complete["target_modules"],
    )
    # Only into the layers: a head's `dense` or `out_proj` is trained in full, without adapters.
    inject_adapter_in_model(config, layers)
    depth = depths(model)
    head = max(depth.values())
    for name, parameter in model.named_parameters():
        if not name.startswith(f"{path}."):
            parameter.requires_grad_(depth[name] == head)
    return complete


def _targets(wanted: str | list[str] | None, linear: list[str]) -> list[str]:
    """The names of the linear layers to adapt, sorted.

    Raises:
        UserError: if the encoder has no linear layer of that name.
    """
    names = sorted({name.rpartition(".")[2] for name in linear})
    if wanted == "all-linear":
        return names
    if wanted is None:
        found = next((known for known in _QUERY_AND_VALUE if set(known) <= set(names)), None)
        if found is None:
            raise UserError(
                f"model.lora: the query and value projections of this model are not known; set target_modules to "
                f"some of {', '.join(names)}"
            )
        return sorted(found)
    wanted = [wanted] if isinstance(wanted, str) else wanted
    for target in wanted:
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            raise UserError(
                f"model.lora: target_modules: no linear layer of the encoder is called {target!r}"
                f"{did_you_mean(target, names)}; there are {', '.join(names)}, and all-linear for all"
            )
    return sorted(wanted)


def merged(model: Any) -> Any:
    """A plain transformers model with the same outputs: each LoRA product is added to the weight it adapts.

    Exported models need no peft. Outputs equal those of `model` within rounding.

    Args:
        model: the `model` of a :class:`TextClassifier`, with adapters or without.

    Returns:
        The model itself if it has no adapters; otherwise a copy in the same mode (train or eval).
    """
    if not any(hasattr(module, "lora_A") for module in model.modules()):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = copy.deepcopy(model)
    for parent in list(plain.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    del encoder_layers(plain)[1].peft_config
    return plain.requires_grad_(True)


def freeze(model: Any, below: int | Literal["embeddings"]) -> None:
    """Freezes the embeddings and a number of encoder layers, counted from the bottom.

    Args:
        model: a transformers model for sequence classification.
        below: `embeddings`, or a number of layers (0: the embeddings alone).

    Raises:
        UserError: if the model has fewer layers.
    """
    depth = depths(model)
    last, layers = (0 if below == "embeddings" else below), max(depth.values()) - 1
    if last > layers:
        raise UserError(f"model.freeze {below}: the model has {plural(layers, 'encoder layer')}")
    for name, parameter in model.named_parameters():
        if depth[name] <= last:
            parameter.requires_grad_(False)


def say_what_is_trained(model: nn.Module, lora: Mapping[str, Any] | None, below: int | str | None) -> None:
    """Reports in one line how much of a model is trained or frozen."""
    parameters = list(model.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    everything, some = (sum(parameter.numel() for parameter in group) for group in (parameters, trained))
    if lora is not None:
        note(
            f"lora: {some:,} of {everything:,} parameters are trained ({some / everything:.1%}): rank {lora['r']} "
            f"for {', '.join(lora['target_modules'])} of each layer, and the complete head"
        )
    elif below is not None:
        layers = 0 if below == "embeddings" else int(below)
        what = "embeddings" + (f" and {plural(layers, 'layer')} from the bottom" if layers else "")
        note(
            f"freeze: {what}: {len(parameters) - len(trained)} of {plural(len(parameters), 'tensor')}, "
            f"{everything - some:,} of {everything:,} parameters stay as they are"
        )


def refuse_another_way(stored: Mapping[str, Any], now: Mapping[str, Any], *, resumes: bool) -> None:
    """Refuses a checkpoint whose adapters, or on resume whose trained parameters, differ from this run's.

    Args:
        stored: the checkpoint's options; an option that an older checkpoint lacks was off.
        now: `lora` with all defaults filled in, `pooling` as resolved, `freeze` and `layerwise_lr_decay`.
        resumes: whether the optimizer's state is loaded, too.

    Raises:
        UserError: naming the option.
    """
    for name, value in now.items():
        if stored.get(name) != value and (name in ("lora", "pooling") or resumes):
            raise UserError(
                f"model.{name}: {_shown(stored.get(name))} in the checkpoint, {_shown(value)} now; leave it out to "
                "keep the checkpoint's, or train again"
            )


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
