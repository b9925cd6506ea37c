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
def fold_temperature(model: nn.Module, outputs: int, temperature: float) -> float:
    """Divides the weights that give the logits by a temperature: others then see calibrated logits.

    Returns:
        By what the logits were divided.
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
        raise UserError(f"model.gradient_checkpointing: {first_line(error)}") from None
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
