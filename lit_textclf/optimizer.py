"""AdamW and its schedule, by optimizer step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""Those of `transformers.SchedulerType` that need no arguments of their own."""


def parameter_groups(named: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Puts weight decay on matrices only.

    Biases and the weights of LayerNorm are the parameters of one dimension (Devlin et al. 2019, and transformers'
    Trainer, leave them without decay).
    """
    trained = [parameter for _, parameter in named if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]


def adamw(groups: list[dict[str, Any]], learning_rate: float, *, fused: bool) -> AdamW:
    """AdamW with the betas and epsilon of torch; fused is one kernel for all parameters."""
    optimizer = AdamW(groups, lr=learning_rate, fused=fused)
    # A fused optimizer offers to unscale gradients itself, and Lightning 2.6.6 (plugins/precision/amp.py) then refuses
    # to clip them, with or without a scaler. Without the offer they are unscaled and clipped before the step.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def schedule(optimizer: AdamW, name: str, steps: int, warmup_ratio: float) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of this name in transformers, over all optimizer steps.

    Args:
        optimizer: whose learning rate it sets.
        name: `linear`, `cosine`, `constant_with_warmup`, ... as in `transformers.SchedulerType`.
        steps: all optimizer steps of the run.
        warmup_ratio: the share of them in which the rate rises from 0, rounded up as in transformers' Trainer.
    """
    from transformers import get_scheduler

    return get_scheduler(  # type: ignore[no-any-return]
        name, optimizer, num_warmup_steps=math.ceil(steps * warmup_ratio), num_training_steps=steps
    )
