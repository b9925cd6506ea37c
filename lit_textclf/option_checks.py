"""Values of `data.*` and `model.*` that cannot be, refused before anything is read."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lit_textclf.adapters import LORA
from lit_textclf.errors import UserError, nearest, say
from lit_textclf.optimizer import SCHEDULES
from lit_textclf.row_sets import SPLITS, RowSets

if TYPE_CHECKING:
    from lit_textclf.data import TextDataModule


def delimiter_of(delimiter: str | None) -> str | None:
    """The character that `data.delimiter` means.

    Raises:
        UserError: if it is not one.
    """
    if delimiter is None or len(delimiter) == 1:
        return delimiter
    if delimiter == "\\t":
        return "\t"
    raise UserError(f"data.delimiter {delimiter!r}: one character is needed")


def check_data(data: TextDataModule) -> None:
    """Refuses values of `data.*`.

    Raises:
        UserError: naming the first one.
    """
    positive: Sequence[tuple[str, int | None]] = (
        ("batch_size", data.batch_size),
        ("eval_batch_size", data.eval_batch_size),
        ("max_tokens_per_batch", data.max_tokens_per_batch),
        ("max_train_samples", data.sets.limits["train"]),
        ("max_eval_samples", data.sets.limits["test"]),
        ("max_predict_samples", data.sets.limits["predict"]),
    )
    for name, value in positive:
        if value is None and name.endswith("batch_size"):
            raise UserError(f"data.{name} is null: a number is needed")
        if value is not None and value < 1:
            raise UserError(f"data.{name} {value}: at least 1 is needed")
    if data.max_tokens_per_batch is not None and data.long_text.mode == "window":
        raise UserError("data.max_tokens_per_batch does not go with data.long_text window; set data.batch_size")
    if data.num_workers < 0:
        raise UserError(f"data.num_workers {data.num_workers}: below 0")
    if data.max_length is None or data.max_length < 3:
        raise UserError(f"data.max_length {data.max_length}: at least 3 is needed, two special tokens and one of text")
    if len(data.sets.read_options.quote_char) > 1:
        raise UserError(f"data.quote_char {data.sets.read_options.quote_char!r}: one character is needed, or none")
    if unknown := [name for name in data.sets.dataset_splits if name not in SPLITS]:
        raise UserError(
            f"data.dataset_splits: no split {unknown[0]!r}{nearest(unknown[0], SPLITS)}; there are {', '.join(SPLITS)}"
        )
    if data.sets.dataset_splits and data.sets.dataset_name is None:
        raise UserError("data.dataset_splits is for data.dataset_name, which is not set")
    _check_folds(data.sets)
    for split, share in data.sets.shares.items():
        if share is not None and not 0 <= share < 1:
            raise UserError(f"data.{split}_split {share}: a share between 0 and 1 is needed")
        if share and data.sets.files[split] is not None:
            say(f"data.{split}_split is not used: data.{split}_file is set")


def _check_folds(sets: RowSets) -> None:
    if sets.folds is None and sets.fold is None:
        return
    if sets.folds is None or sets.folds < 2:
        raise UserError(f"data.folds {sets.folds}: at least 2 are needed")
    if sets.fold is None or not 0 <= sets.fold < sets.folds:
        raise UserError(
            f"data.fold {sets.fold}: a number from 0 to {sets.folds - 1}; cross_validate takes each in turn"
        )
    if sets.files["validation"] is not None or sets.shares["validation"]:
        raise UserError("data.folds holds out validation rows: remove data.validation_file and data.validation_split")


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
        raise UserError(f"model.lora has no {unknown[0]!r}{nearest(unknown[0], LORA)}; there are {', '.join(LORA)}")
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
