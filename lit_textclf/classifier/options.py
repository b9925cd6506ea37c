"""Checks of `model.*` values, made before anything is read."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from typing import Any, get_args

from lit_textclf.classifier.inference.calibration import check_threshold_for
from lit_textclf.classifier.losses import check_loss
from lit_textclf.classifier.metrics.stage import check_metrics
from lit_textclf.classifier.network import HeadInit
from lit_textclf.classifier.optimizer import check_classes
from lit_textclf.models.adapters import LORA
from lit_textclf.utils.messages import UserError, did_you_mean

CLASSES = ("loss", "optimizer", "lr_scheduler")
"""Options that may name a class of the user's choice."""


def check_options(options: Mapping[str, Any], *, has_tokenizer: bool) -> None:
    """Refuses values of `model.*`.

    Args:
        options: the classifier's options by name.
        has_tokenizer: whether a checkpoint or the caller supplies the tokenizer.

    Raises:
        UserError: naming the first wrong one.
    """
    _check_numbers(options)
    check_classes(options)
    check_loss(options["loss"], options["class_weights"], options["label_smoothing"])
    _check_freeze(options["freeze"])
    decay = options["layerwise_lr_decay"]
    if decay is not None and not 0 < decay <= 1:
        raise UserError(f"model.layerwise_lr_decay {decay}: must be more than 0 and at most 1")
    if options["lora"] is not None:
        _check_lora(options["lora"], options["freeze"])
    if (init := options["head_init"]) not in get_args(HeadInit):
        raise UserError(f"model.head_init {init!r}: must be one of {', '.join(get_args(HeadInit))}")
    check_threshold_for(options["threshold_for"])
    check_metrics(options["metrics"])
    if options["from_scratch"] is not None and options["tokenizer_name_or_path"] is None and not has_tokenizer:
        raise UserError(
            "model.from_scratch needs model.tokenizer_name_or_path: a tokenizer, or a folder with a vocab.txt"
        )


def _check_numbers(options: Mapping[str, Any]) -> None:
    dropout, rate = options["dropout"], options["learning_rate"]
    for name, rule, is_right in (
        ("learning_rate", "must be auto or a positive number", rate == "auto" or 0 < rate < math.inf),
        ("weight_decay", "must be 0 or more", options["weight_decay"] >= 0),
        ("warmup_ratio", "must be from 0 to 1", 0 <= options["warmup_ratio"] <= 1),
        ("dropout", "must be from 0 to below 1", dropout is None or 0 <= dropout < 1),
        ("label_smoothing", "must be from 0 to below 1", 0 <= options["label_smoothing"] < 1),
    ):
        if not is_right:
            raise UserError(f"model.{name} {options[name]}: {rule}")


def _check_freeze(freeze: Any) -> None:
    if isinstance(freeze, bool) or (freeze != "embeddings" and not isinstance(freeze, int | None)):
        raise UserError(f"model.freeze {freeze!r}: must be embeddings, a number of layers, or null")
    if isinstance(freeze, int) and freeze < 0:
        raise UserError(f"model.freeze {freeze}: must be 0 or more")


def _check_lora(lora: Mapping[str, Any], freeze: int | str | None) -> None:
    if freeze is not None:
        raise UserError("model.freeze and model.lora: LoRA already freezes embeddings and layers; remove model.freeze")
    if unknown := [str(name) for name in lora if name not in LORA]:
        raise UserError(
            f"model.lora has no {unknown[0]!r}{did_you_mean(unknown[0], LORA)}; there are {', '.join(LORA)}"
        )
    values = {**LORA, **lora}
    names = values["target_modules"]
    names = [names] if isinstance(names, str) else names
    for name, rule, is_right in (
        ("r", "a whole number from 1 on", _is_number(values["r"], int) and values["r"] >= 1),
        ("alpha", "a number above 0", _is_number(values["alpha"]) and 0 < values["alpha"] < math.inf),
        ("dropout", "a number from 0 to below 1", _is_number(values["dropout"]) and 0 <= values["dropout"] < 1),
        ("target_modules", "a list of names of linear layers, or all-linear",
         names is None or (isinstance(names, list) and names and all(isinstance(name, str) for name in names))),
    ):  # fmt: skip
        if not is_right:
            raise UserError(f"model.lora: {name} {values[name]!r}: must be {rule}")
    if importlib.util.find_spec("peft") is None:
        raise UserError("model.lora needs peft, which is not installed: pip install 'lit-textclf[lora]'")


def _is_number(value: Any, kind: Any = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
