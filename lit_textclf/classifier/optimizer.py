"""The optimizer, AdamW or the user's own, and its learning rate schedule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakSet

import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from lit_textclf.models.layers import depths
from lit_textclf.utils.class_path import Spec, instantiate, is_class_path, load_class, split_spec
from lit_textclf.utils.messages import UserError, note, plural

SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""The members of `transformers.SchedulerType` that need no further arguments."""


_ENDLESS = ("constant", "constant_with_warmup", "inverse_sqrt")
"""Those that do not depend on the number of steps, except for their warm-up."""

_built: WeakSet[torch.optim.Optimizer] = WeakSet()
"""The optimizers of :func:`build`, to tell them from those of a subclass's own `configure_optimizers`."""


def learning_rate_for(hidden_size: int, *, pretrained: bool = True, lora: bool = False) -> float:
    """The learning rate that `auto` means.

    It falls with the square of the width: 1e-4 for the 384 wide MiniLM, for which it was measured, 2.5e-5 for 768 and
    1.4e-5 for 1,024, as in the literature: 2e-5 to 5e-5 for BERT-base (Devlin et al. 2019, appendix A.3), 1e-5 to 3e-5
    for RoBERTa-large (Liu et al. 2019, table 10), up to 3e-4 for small models (Turc et al. 2019, section 4). Random
    weights learn at four times the rate, as BERT in pretraining (1e-4), and LoRA at 5e-4 (Hu et al. 2022, table 9).

    Example:
        >>> [learning_rate_for(size) for size in (128, 384, 768, 1024)]
        [0.0003, 0.0001, 2.5e-05, 1.4e-05]
    """
    ratio = 768 / hidden_size
    if lora:
        rate, most = 5e-4 * ratio, 1e-3
    else:
        rate, most = (2.5e-5 * ratio**2, 3e-4) if pretrained else (1e-4 * ratio**2, 5e-4)
    return float(f"{min(rate, most):.1e}")


def parameter_groups(named: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Applies weight decay to matrices only.

    Biases and the weights of LayerNorm are the parameters of one dimension (Devlin et al. 2019, and transformers'
    Trainer, do not decay them). `LearningRateMonitor` shows the names.
    """
    trained = [parameter for _, parameter in named if parameter.requires_grad]
    return [
        {"params": [each for each in trained if each.ndim >= 2], "weight_decay": weight_decay, "name": "decay"},
        {"params": [each for each in trained if each.ndim < 2], "weight_decay": 0.0, "name": "no_decay"},
    ]


def layerwise_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    weight_decay: float,
    learning_rate: float,
    decay: float,
    depth: Mapping[str, int],
) -> list[dict[str, Any]]:
    """The groups of :func:`parameter_groups` for each depth; the learning rate falls from the head to the input.

    The head and the top layer have the full rate, each layer below it `decay` times that of the layer above, the
    embeddings `decay` times that of the first layer (discriminative fine-tuning: Howard & Ruder 2018, section 3.2;
    Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning", section 2). ELECTRA's code counts the same steps from
    the head (`model/optimization.py`, `_get_layer_lrs`), so its top layer is already decayed twice.

    Args:
        named: parameters by name; one that `depth` lacks belongs to the head.
        weight_decay: of matrices.
        learning_rate: the head's.
        decay: more than 0, at most 1.
        depth: see :func:`lit_textclf.models.layers.depths`.

    Returns:
        Two groups for each depth, from the embeddings up, without empty ones; each has a `name` for
        `LearningRateMonitor` and its share of the learning rate as `lr_scale`.
    """
    parameters, head = list(named), max(depth.values())
    groups = []
    for level in range(head + 1):
        scale = decay ** max(0, head - 1 - level)
        part = [(name, parameter) for name, parameter in parameters if depth.get(name, head) == level]
        called = {0: "embeddings", head: "head"}.get(level, f"layer_{level:02}")
        for group, ending in zip(parameter_groups(part, weight_decay), ("", "_no_decay"), strict=True):
            if group["params"]:
                rate = {"lr": learning_rate * scale, "lr_scale": scale, "name": called + ending}
                groups.append({**group, **rate})
    lowest = groups[0]["lr"]
    note(f"learning rates: {learning_rate:g} (head, top layer) to {lowest:g} over {plural(head - 1, 'layer')}")
    return groups


def check_classes(options: Mapping[str, Any]) -> None:
    """Refuses values of `model.optimizer` and `model.lr_scheduler`, without importing anything.

    Raises:
        UserError: for an unknown name, or an argument that has an option of its own.
    """
    optimizer, scheduler = options["optimizer"], options["lr_scheduler"]
    if not is_class_path(scheduler) and scheduler not in SCHEDULES:
        raise UserError(
            f"model.lr_scheduler {scheduler!r}: must be one of {', '.join(SCHEDULES)}, or a class path, as "
            "torch.optim.lr_scheduler.StepLR"
        )
    if is_class_path(scheduler):
        split_spec(scheduler, "model.lr_scheduler")
    if optimizer is None:
        return
    path, arguments = split_spec(optimizer, "model.optimizer")
    for argument, name in (("lr", "learning_rate"), ("weight_decay", "weight_decay")):
        if argument in arguments:
            raise UserError(f"model.optimizer {path}: {argument} in init_args; type --model.{name} instead")
    if options["learning_rate"] == "auto":
        raise UserError(f"model.optimizer {path}: model.learning_rate auto is AdamW's; type --model.learning_rate RATE")


def needs_end(lr_scheduler: Spec, warmup_ratio: float) -> bool:
    """Whether a schedule depends on the number of steps of the run."""
    if is_class_path(lr_scheduler):
        return False
    return lr_scheduler not in _ENDLESS or (lr_scheduler != "constant" and warmup_ratio > 0)


def include_new_groups(scheduler: Any) -> None:
    """Makes parameter groups that were added in training follow the schedule, from the rate that they have now.

    `BaseFinetuning` adds one when it unfreezes layers, and may set its rate in each epoch. LambdaLR raises an error if
    there are more groups than at its start (torch 2.13), which are those that have an `initial_lr`. A resumed run has
    the groups again, but the layers are frozen (Lightning 2.6.6, `BaseFinetuning.on_fit_start`).
    """
    if not isinstance(scheduler, LambdaLR):
        return
    factor = scheduler.lr_lambdas[0](scheduler.last_epoch) or 1.0
    groups = scheduler.optimizer.param_groups
    for group in groups[len(scheduler.lr_lambdas) :]:
        for parameter in group["params"]:
            parameter.requires_grad = True
    scheduler.base_lrs = [group.get("initial_lr", group["lr"] / factor) for group in groups]
    scheduler.lr_lambdas += scheduler.lr_lambdas[:1] * (len(groups) - len(scheduler.lr_lambdas))


def load_fewer_groups(checkpoint: Mapping[str, Any]) -> None:
    """Changes a checkpoint so that a schedule of fewer parameter groups than at its end can load it.

    LambdaLR loads the state of each group's factor, even if the factor has none, and raises an IndexError where groups
    were added in training (torch 2.13). :func:`include_new_groups` adds them.
    """
    for state in checkpoint.get("lr_schedulers", ()):
        while state.get("lr_lambdas") and not state["lr_lambdas"][-1]:
            state["lr_lambdas"].pop()


def take_up_changes(scheduler: Any, learning_rate: float, weight_decay: float) -> None:
    """Applies a learning rate or weight decay that was changed on resume, and reports it.

    Without this, the optimizer's saved state would silently override it. The optimizer of a subclass's own
    `configure_optimizers` is left as it is.

    Args:
        scheduler: the scheduler loaded from the checkpoint.
        learning_rate: the highest one; each group keeps its share.
        weight_decay: of matrices.
    """
    if not isinstance(scheduler, LambdaLR):
        return
    include_new_groups(scheduler)
    if scheduler.optimizer not in _built:
        return
    groups = scheduler.optimizer.param_groups
    saved = scheduler.base_lrs[0] / groups[0].get("lr_scale", 1.0)
    if not math.isclose(saved, learning_rate, rel_tol=1e-9):
        scheduler.base_lrs = [rate / saved * learning_rate for rate in scheduler.base_lrs]
        factor = scheduler.lr_lambdas[0](scheduler.last_epoch)
        for group, rate in zip(groups, scheduler.base_lrs, strict=True):
            group["lr"] = rate * factor
            if "initial_lr" in group:  # one that was there when training began
                group["initial_lr"] = rate
        note(
            f"learning rate: {saved:g} in the checkpoint, {learning_rate:g} now; "
            "the schedule continues with the new one"
        )
    decaying = [group for group in groups if any(parameter.ndim >= 2 for parameter in group["params"])]
    saved_decay = decaying[0]["weight_decay"] if decaying else weight_decay
    if saved_decay != weight_decay:
        for group in decaying:
            group["weight_decay"] = weight_decay
        note(f"weight decay: {saved_decay:g} in the checkpoint, {weight_decay:g} now")


def build(
    model: nn.Module,
    *,
    optimizer: Spec | None,
    learning_rate: float,
    weight_decay: float,
    layerwise_lr_decay: float | None,
    lr_scheduler: Spec,
    warmup_ratio: float,
    steps: float,
    device: torch.device,
) -> dict[str, Any]:
    """The optimizer and its schedule, as `LightningModule.configure_optimizers` returns them.

    Args:
        model: a transformers model; frozen parameters are left out.
        optimizer: the class path of the user's own; None is AdamW.
        learning_rate: the highest one.
        weight_decay: of matrices.
        layerwise_lr_decay: see :func:`layerwise_groups`; None uses one rate.
        lr_scheduler: see :func:`schedule`; or the class path of the user's own, which is stepped after each epoch, as
            Lightning does it.
        warmup_ratio: see :func:`schedule`.
        steps: all optimizer steps of the run; infinite if the run has no end.
        device: the device of the parameters.

    Raises:
        UserError: if the schedule needs an end and the run has none, or a class cannot be imported or called.
    """
    if not math.isfinite(steps) and needs_end(lr_scheduler, warmup_ratio):
        raise UserError(
            f"model.lr_scheduler {lr_scheduler}: the schedule needs an end; set trainer.max_epochs or "
            "trainer.max_steps, or model.lr_scheduler constant"
        )
    if layerwise_lr_decay is None:
        groups = parameter_groups(model.named_parameters(), weight_decay)
    else:
        groups = layerwise_groups(
            model.named_parameters(), weight_decay, learning_rate, layerwise_lr_decay, depths(model)
        )
    if optimizer is None:
        built: torch.optim.Optimizer = adamw(groups, learning_rate, fused=device.type in ("cpu", "cuda"))
    else:
        built = _own_optimizer(optimizer, groups, learning_rate, weight_decay)
    if is_class_path(lr_scheduler):
        return {"optimizer": built, "lr_scheduler": _own_schedule(lr_scheduler, built, warmup_ratio)}
    scheduler = schedule(built, str(lr_scheduler), steps, warmup_ratio)
    return {"optimizer": built, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"}}


def step_after_validation(trainer: Trainer, configured: dict[str, Any]) -> dict[str, Any]:
    """Steps a schedule that monitors a metric of the validation when it has a new value.

    Raises:
        UserError: if the run does not validate; Lightning would raise an error after the first epoch.
    """
    config = configured["lr_scheduler"]
    monitor = str(config.get("monitor", ""))
    if not monitor.startswith("val_"):
        return configured
    if trainer.enable_validation:
        trainer.fit_loop.epoch_loop.val_loop.setup_data()
    if not sum(trainer.num_val_batches):
        raise UserError(
            f"model.lr_scheduler {type(config['scheduler']).__name__}: it monitors {monitor}, and the run has no "
            "validation rows; add them, as with --data.validation_split 0.1, or use model.lr_scheduler linear"
        )
    config["frequency"] = trainer.check_val_every_n_epoch or 1
    return configured


def _own_optimizer(
    spec: Spec, groups: list[dict[str, Any]], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer that `model.optimizer` names, for the groups of AdamW."""
    made = load_class(spec, "model.optimizer")
    if not (isinstance(made, type) and issubclass(made, torch.optim.Optimizer)):
        raise UserError(f"model.optimizer {split_spec(spec, 'model.optimizer')[0]}: must be a torch.optim.Optimizer")
    accepted = inspect.signature(made).parameters
    any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    if "weight_decay" not in accepted and not any_name:
        if weight_decay:
            note(f"model.weight_decay {weight_decay:g} is not used: {made.__name__} has no weight_decay")
        groups = [{name: value for name, value in group.items() if name != "weight_decay"} for group in groups]
    return instantiate(spec, "model.optimizer", params=groups, lr=learning_rate)  # type: ignore[no-any-return]


def _own_schedule(spec: Spec, optimizer: torch.optim.Optimizer, warmup_ratio: float) -> dict[str, Any]:
    """The schedule that `model.lr_scheduler` names, as Lightning takes it."""
    scheduler = instantiate(spec, "model.lr_scheduler", optimizer=optimizer)
    if warmup_ratio:
        note(f"model.warmup_ratio {warmup_ratio:g} is not used: {type(scheduler).__name__} is stepped after each epoch")
    config = {"scheduler": scheduler, "interval": "epoch", "name": "lr"}
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        config["monitor"] = getattr(scheduler, "monitor", "val_loss")  # Lightning's subclass has one
    return config


def adamw(groups: list[dict[str, Any]], learning_rate: float, *, fused: bool) -> AdamW:
    """AdamW with torch's betas and epsilon; `fused` updates all parameters in one kernel."""
    optimizer = AdamW(groups, lr=learning_rate, fused=fused)
    # A fused optimizer offers to unscale gradients itself, and Lightning 2.6.6 (plugins/precision/amp.py) then refuses
    # to clip them, with or without a scaler. Without the offer they are unscaled and clipped before the step.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    _built.add(optimizer)
    return optimizer


def schedule(
    optimizer: torch.optim.Optimizer, name: str, steps: float, warmup_ratio: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """A schedule of transformers over all optimizer steps.

    Args:
        optimizer: the optimizer whose learning rate it sets.
        name: `linear`, `cosine`, `constant_with_warmup`, ... as in `transformers.SchedulerType`.
        steps: all optimizer steps of the run; infinite only if the schedule needs no end.
        warmup_ratio: share of the steps in which the rate rises from 0, rounded up as in transformers' Trainer.
    """
    from transformers import get_scheduler

    warmup, total = (math.ceil(steps * warmup_ratio), int(steps)) if math.isfinite(steps) else (0, None)
    return get_scheduler(  # type: ignore[no-any-return]
        name, optimizer, num_warmup_steps=warmup, num_training_steps=total
    )
