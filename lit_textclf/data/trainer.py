"""The Trainer and the classifier that a data module is used with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.trainer.states import TrainerStatus

from lit_textclf.data.labels.target import Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class ReadsText(Protocol):
    """What the data module needs of a classifier."""

    @property
    def target(self) -> Target | None:
        """Task and labels, where a checkpoint knows them."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of its model."""

    @property
    def max_tokens(self) -> int | None:
        """The longest sequence that it reads, in tokens; None if it knows no limit."""


def data_module_of(trainer: Trainer) -> LightningDataModule | None:
    """The data module that gives the batches of a Trainer's last call; None if loaders were passed instead.

    `trainer.datamodule` may be one of an earlier call: Lightning 2.6.6 never resets it (`_DataConnector`), but notes in
    each call where each of its loops gets its loaders from.
    """
    source = trainer.fit_loop._data_source.instance
    return source if isinstance(source, LightningDataModule) else None


def is_left_over(data: LightningDataModule) -> bool:
    """Whether a data module's Trainer now runs on something else; Lightning 2.6.6 calls its hooks all the same."""
    trainer = data.trainer
    return trainer is not None and trainer.state.status == TrainerStatus.RUNNING and data_module_of(trainer) is not data
