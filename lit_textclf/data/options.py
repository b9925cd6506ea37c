"""Values of `data.*` that cannot be, refused before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from lit_textclf.data.splits import SPLITS, Splits
from lit_textclf.data.tokens.long_text import LongText
from lit_textclf.utils.messages import UserError, did_you_mean, note

if TYPE_CHECKING:
    pass


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


class DataOptions(Protocol):
    """What is checked of the data module's options."""

    sets: Splits
    long_text: LongText
    batch_size: int
    eval_batch_size: int
    max_tokens_per_batch: int | None
    num_workers: int
    max_length: int


def check_data(data: DataOptions) -> None:
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
        near = did_you_mean(unknown[0], SPLITS)
        raise UserError(f"data.dataset_splits: no split {unknown[0]!r}{near}; there are {', '.join(SPLITS)}")
    if data.sets.dataset_splits and data.sets.dataset_name is None:
        raise UserError("data.dataset_splits is for data.dataset_name, which is not set")
    _check_folds(data.sets)
    for split, share in data.sets.shares.items():
        if share is not None and not 0 <= share < 1:
            raise UserError(f"data.{split}_split {share}: a share between 0 and 1 is needed")
        if share and data.sets.files[split] is not None:
            note(f"data.{split}_split is not used: data.{split}_file is set")


def _check_folds(sets: Splits) -> None:
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
