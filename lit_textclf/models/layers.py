"""The parts of a transformers model: its layers, their depth, its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_textclf.utils.messages import UserError, first_line, note

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32 under autocast.

    In bf16 a logit has three digits: a regression would predict multiples of 1/64, and many rows would share a
    probability.

    Attributes:
        scale: outputs are multiplied by it, so that a regression learns standardized values.
        shift: and this is added.
    """

    scale, shift = 1.0, 0.0

    def forward(self, input: Tensor) -> Tensor:
        """Maps `(..., in_features)` to float32 `(..., out_features)`."""
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast(input.device.type, enabled=False):
            output = F.linear(input.float(), self.weight.float(), bias)
            return output if (self.scale, self.shift) == (1.0, 0.0) else output * self.scale + self.shift


@torch.no_grad()
def head_in_float32(model: nn.Module, outputs: int, scale: float = 1.0, shift: float = 0.0, *, trained: bool) -> None:
    """Makes the model's last linear layer, which gives the logits, compute in float32.

    Args:
        model: a transformers model.
        outputs: the number of logits.
        scale: see :class:`Float32Linear`.
        shift: see :class:`Float32Linear`.
        trained: keep the outputs of weights that were trained without scale and shift.
    """
    last = last_linear(model, outputs)
    if type(last) is not nn.Linear:
        return
    if trained and (scale, shift) != (1.0, 0.0) and last.bias is not None:
        last.weight.div_(scale)
        last.bias.sub_(shift).div_(scale)
    last.__class__ = Float32Linear  # the weights, their names and any hooks stay as they are
    last.scale, last.shift = scale, shift  # type: ignore[assignment]


def last_linear(model: nn.Module, outputs: int) -> nn.Linear | None:
    """The linear layer that gives the logits, or None if the last one has another number of outputs."""
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    # transformers 5.23 puts the head of XLM-RoBERTa before its encoder; some models have no linear layer above theirs.
    base = f"{getattr(model, 'base_model_prefix', '')}."
    above = [module for name, module in linear.items() if not name.startswith(base)]
    last = (above or list(linear.values()))[-1]
    return last if last.out_features == outputs else None


@torch.no_grad()
def fold_scale(model: nn.Module, outputs: int) -> None:
    """Multiplies the weights of the last linear layer by its scale, for tools that do not know it."""
    last = last_linear(model, outputs)
    if isinstance(last, Float32Linear) and (last.scale, last.shift) != (1.0, 0.0):
        last.weight.mul_(last.scale)
        last.bias.mul_(last.scale).add_(last.shift)
        last.scale, last.shift = 1.0, 0.0  # type: ignore[misc]


@torch.no_grad()
def fold_temperature(model: nn.Module, outputs: int, temperature: float) -> float:
    """Divides the weights of the last linear layer by a temperature, so that the model's logits are calibrated.

    Returns:
        The temperature folded into the weights; 1.0 if none was.
    """
    last = last_linear(model, outputs)
    if temperature == 1 or last is None:
        if temperature != 1:
            note(
                f"export: {type(model).__name__} has no linear head; probabilities are not calibrated (model.calibrate)"
            )
        return 1.0
    last.weight.div_(temperature)
    if last.bias is not None:
        last.bias.div_(temperature)
    return temperature


def encoder_layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The name and the layers of the encoder: the longest list of modules in a model."""
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=lambda found: len(found[1]), default=("", nn.ModuleList()))


def depths(model: Any) -> dict[str, int]:
    """The depth of each parameter, counted from the input, by name.

    Args:
        model: a transformers model for sequence classification with N encoder layers.

    Returns:
        0 for embeddings and everything else that layers share, 1 to N for the layers, N + 1 for the head: a pooler and
        everything outside the base model.

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
            f"{type(model).__name__} is not one list of encoder layers: it does not support model.lora, "
            "model.freeze or model.layerwise_lr_decay"
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
    """Recomputes each encoder layer in the backward pass instead of storing its activations.

    torch restores its random generators for the second computation, and this project's dropout draws from them. A last
    layer that is computed for one token only (`last_layer.py`) is stored: the backward pass would start with it.

    Raises:
        UserError: if transformers does not support this for the model.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise UserError(f"model.gradient_checkpointing: {first_line(error)}") from None
    # transformers 5.23 requires gradients of the embeddings' output, which only reentrant checkpoints need: with them,
    # the backward pass would run through frozen layers for nothing.
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


@torch.no_grad()
def set_weights(model: nn.Module, layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Sets the weights of a layer, also of a model that :func:`shard` spread over ranks; the same ones on every rank.

    Args:
        model: the complete model.
        layer: one of its layers.
        weight: `(out_features, in_features)`.
        bias: `(out_features,)`.
    """
    # By their attributes, because to import FSDPModule and DTensor takes half a second.
    if callable(reshard := getattr(model, "reshard", None)):
        reshard()  # after a forward pass its parameters are copies
    for parameter, value in ((layer.weight, weight), (layer.bias, bias)):
        if hasattr(parameter, "device_mesh"):
            from torch.distributed.tensor import DTensor, distribute_tensor

            assert isinstance(parameter, DTensor)
            value = distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
        parameter.copy_(value)
