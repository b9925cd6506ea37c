"""The Trainer and the classifier that a data module is used with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.plugins import Precision
from lightning.pytorch.trainer.states import TrainerFn, TrainerStatus
from torch import Tensor

from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.text_keys import describe_known
from lit_textclf.data.splits import TOO_OPTIMISTIC
from lit_textclf.utils.messages import note


def data_module_of(trainer: Trainer) -> LightningDataModule | None:
    """The data module that gives the batches of a Trainer's last call; None if loaders were passed instead.

    `trainer.datamodule` may be one of an earlier call: Lightning 2.6.6 never resets it (`_DataConnector`), but notes in
    each call where each of its loops gets its loaders from.
    """
    source = trainer.fit_loop._data_source.instance
    return source if isinstance(source, LightningDataModule) else None


def evaluating_trainer(data: LightningDataModule) -> Trainer | None:
    """The Trainer that validates, tests or predicts with a data module now; None if none does."""
    trainer = data.trainer
    if trainer is None or trainer.state.status != TrainerStatus.RUNNING or trainer.state.fn == TrainerFn.FITTING:
        return None
    return trainer if data_module_of(trainer) is data else None


def is_left_over(data: LightningDataModule) -> bool:
    """Whether a data module's Trainer now runs on something else; Lightning 2.6.6 calls its hooks all the same."""
    trainer = data.trainer
    return trainer is not None and trainer.state.status == TrainerStatus.RUNNING and data_module_of(trainer) is not data


def note_trained_on(module: LightningModule, split: str, rows: Rows) -> None:
    """Reports how many rows of a split a classifier was trained on, as far as it knows its training rows."""
    keys: Tensor | None = getattr(module, "trained_on", None)
    if keys is not None and (found := describe_known(rows, keys.numpy().view(np.uint64), split)):
        note(f"{found} {TOO_OPTIMISTIC}")


class _AllButTarget:
    """A precision plugin's `convert_input` that leaves the target of a batch as it is."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self.convert = convert

    def __call__(self, data: Any) -> Any:
        converted = self.convert(data)
        return {**converted, "target": data["target"]} if isinstance(data, dict) and "target" in data else converted


def keep_target(precision: Precision) -> None:
    """Keeps the target of batches out of what a precision plugin converts.

    With `bf16-true` and the like, Lightning 2.6.6 casts all floating-point tensors of a batch before any hook sees it:
    a value to predict would lose digits, and the metrics would be those of other values.
    """
    if not isinstance(precision.convert_input, _AllButTarget):
        precision.convert_input = _AllButTarget(precision.convert_input)  # type: ignore[method-assign]
