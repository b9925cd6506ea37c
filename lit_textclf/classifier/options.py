"""Values of `model.*` that cannot be, refused before anything is read."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from typing import Any

from lit_textclf.classifier.optimizer import SCHEDULES
from lit_textclf.models.adapters import LORA
from lit_textclf.utils.messages import UserError, did_you_mean


def check_model(
    learning_rate: float,
    weight_decay: float,
    warmup_ratio: float,
    lr_scheduler: str,
    dropout: float | None,
    label_smoothing: float,
) -> None:
    """Refuses values of `model.*`.

    Raises:
        UserError: naming the first one.
    """
    for option, wrong in (
        (f"model.learning_rate {learning_rate}: not a positive number", not 0 < learning_rate < math.inf),
        (f"model.weight_decay {weight_decay}: below 0", not weight_decay >= 0),
        (f"model.warmup_ratio {warmup_ratio}: not between 0 and 1", not 0 <= warmup_ratio <= 1),
        (f"model.dropout {dropout}: not between 0 and 1", dropout is not None and not 0 <= dropout < 1),
        (f"model.label_smoothing {label_smoothing}: not between 0 and 1", not 0 <= label_smoothing < 1),
        (f"model.lr_scheduler {lr_scheduler!r}: none of {', '.join(SCHEDULES)}", lr_scheduler not in SCHEDULES),
    ):
        if wrong:
            raise UserError(option)


def check_tuning(lora: Mapping[str, Any] | None, freeze: int | str | None, layerwise_lr_decay: float | None) -> None:
    """Refuses values of the options of `model.*` that say what is trained, and how much.

    Raises:
        UserError: naming the first one.
    """
    if isinstance(freeze, bool) or (freeze != "embeddings" and not isinstance(freeze, int | None)):
        raise UserError(f"model.freeze {freeze!r}: embeddings, a number of layers, or null")
    if isinstance(freeze, int) and freeze < 0:
        raise UserError(f"model.freeze {freeze}: below 0")
    if layerwise_lr_decay is not None and not 0 < layerwise_lr_decay <= 1:
        raise UserError(f"model.layerwise_lr_decay {layerwise_lr_decay}: more than 0 and at most 1 is needed")
    if lora is None:
        return
    if freeze is not None:
        raise UserError("model.freeze and model.lora: LoRA trains no embeddings and no layers; remove model.freeze")
    if unknown := [str(name) for name in lora if name not in LORA]:
        raise UserError(
            f"model.lora has no {unknown[0]!r}{did_you_mean(unknown[0], LORA)}; there are {', '.join(LORA)}"
        )
    given = {**LORA, **lora}
    names = given["target_modules"]
    names = [names] if isinstance(names, str) else names
    for option, wrong in (
        ("r", not _number(given["r"], int) or given["r"] < 1),
        ("alpha", not _number(given["alpha"]) or not 0 < given["alpha"] < math.inf),
        ("dropout", not _number(given["dropout"]) or not 0 <= given["dropout"] < 1),
        ("target_modules", names is not None and (
            not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names))),
    ):  # fmt: skip
        if wrong:
            raise UserError(f"model.lora: {option} {given[option]!r}: {_LORA_NEEDS[option]} is needed")
    if importlib.util.find_spec("peft") is None:
        raise UserError("model.lora needs peft, which is not installed: pip install 'lit-textclf[lora]'")


_LORA_NEEDS = {
    "r": "a whole number from 1 on",
    "alpha": "a number above 0",
    "dropout": "a number from 0 to below 1",
    "target_modules": "a list of names of linear layers, or all-linear,",
}


def _number(value: Any, kind: Any = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
