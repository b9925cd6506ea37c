"""A tiny classifier and its rows, and the two Trainers that every entry of the catalogue is run with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from lit_textclf import TextClassifier, TextDataModule, Trainer

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False, "log_every_n_steps": 1, "precision": "32-true",
}  # fmt: skip
TRAINERS = pytest.mark.parametrize("trainer_class", [pl.Trainer, Trainer], ids=["plain", "ours"])


@pytest.fixture
def data(reviews: dict[str, Path]) -> TextDataModule:
    """48 rows to train on, six steps an epoch; 16 for validation."""
    files = {f"{split}_file": str(reviews[split]) for split in ("train", "validation", "test")}
    return TextDataModule(**files, max_length=16, batch_size=8)


@pytest.fixture
def new_model(tiny_bert: Path) -> Callable[..., TextClassifier]:
    """Makes a classifier that learns the labels in a few steps."""

    def make(kind: type[TextClassifier] = TextClassifier, **options: Any) -> TextClassifier:
        torch.manual_seed(0)
        return kind(str(tiny_bert), **{"learning_rate": 1e-3, "head_init": "random", **options})

    return make
