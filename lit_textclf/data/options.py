"""Checks the values of `data.*` before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lit_textclf.data.batches.sampler_names import check_sampler
from lit_textclf.data.splits import SPLITS
from lit_textclf.utils.messages import UserError, did_you_mean, note
from lit_textclf.utils.standard_input import DASH

CARRIED = (
    "text_column",
    "text_pair_column",
    "label_column",
    "label_columns",
    "id_column",
    "task",
    "labels",
    "positive_label",
    "max_length",
    "long_text",
    "window_stride",
    "max_windows",
)
"""Options that determine what the model sees; a checkpoint stores them."""
READS_TEXT: dict[str, Any] = {"max_length": 256, "long_text": "truncate", "window_stride": None, "max_windows": 8}
"""Options that say how much of a text is read, with their values where neither the user nor a checkpoint sets them."""


def check_data(options: Mapping[str, Any]) -> None:
    """Raises an error for the data module's arguments that cannot work.

    Raises:
        UserError: naming the first such value.
    """
    _check_numbers(options)
    if options["max_tokens_per_batch"] is not None and options["long_text"] == "window":
        raise UserError(
            "data.max_tokens_per_batch does not go with data.long_text window; type --data.batch_size ROWS instead"
        )
    quote_char = options["quote_char"]
    if len(quote_char) > 1:
        raise UserError(f"data.quote_char {quote_char!r}: must be one character, or empty")
    names = options["dataset_splits"] or {}
    if unknown := [name for name in names if name not in SPLITS]:
        near = did_you_mean(unknown[0], SPLITS)
        raise UserError(f"data.dataset_splits: no split {unknown[0]!r}{near}; the splits are {', '.join(SPLITS)}")
    if names and options["dataset_name"] is None:
        raise UserError("data.dataset_splits is for a data set: type --data.dataset_name NAME, too")
    _check_shares(options)
    _check_standard_input(options)
    if options["sampler"] is not None:
        check_sampler(options["sampler"], options["max_tokens_per_batch"])


def _check_numbers(options: Mapping[str, Any]) -> None:
    required = ("batch_size", "eval_batch_size")
    nullable = ("max_tokens_per_batch", "max_train_samples", "max_eval_samples", "max_predict_samples")
    for name in (*required, *nullable):
        value = options[name]
        if value is None and name in required:
            raise UserError(f"data.{name} null: must be a number")
        if value is not None and value < 1:
            raise UserError(f"data.{name} {value}: must be at least 1")
    if options["num_workers"] < 0:
        raise UserError(f"data.num_workers {options['num_workers']}: must be at least 0")
    if (max_length := options["max_length"]) is not None and max_length < 3:
        raise UserError(f"data.max_length {max_length}: must be at least 3 (two special tokens and one of text)")


def _check_shares(options: Mapping[str, Any]) -> None:
    folds, fold = options["folds"], options["fold"]
    if folds is not None or fold is not None:
        if folds is None or folds < 2:
            raise UserError(f"data.folds {'null' if folds is None else folds}: must be at least 2")
        if fold is None or not 0 <= fold < folds:
            raise UserError(
                f"data.fold {'null' if fold is None else fold}: must be a number from 0 to {folds - 1}; "
                "cross_validate takes each in turn"
            )
        if options["validation_file"] is not None or options["validation_split"]:
            raise UserError(
                "data.folds holds out validation rows: remove data.validation_file and data.validation_split"
            )
    for split in ("validation", "test"):
        share = options[f"{split}_split"]
        if share is not None and not 0 <= share < 1:
            raise UserError(f"data.{split}_split {share}: must be a share between 0 and 1")
        if share and options[f"{split}_file"] is not None:
            note(f"data.{split}_split is not used: data.{split}_file is set")


def _check_standard_input(options: Mapping[str, Any]) -> None:
    readers = []
    for split in SPLITS:
        value = options[f"{split}_file"]
        values = value if isinstance(value, (list, tuple)) else [value]
        readers += [f"data.{split}_file"] * sum(isinstance(each, str) and each == DASH for each in values)
    if len(readers) > 1:
        raise UserError(f"{' and '.join(readers)}: only one can read standard input (-); name a file for the other")
