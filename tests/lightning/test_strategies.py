"""Strategies that train in processes of their own, with the plain Trainer and with ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from lit_textclf import TextClassifier, TextDataModule
from tests.lightning.conftest import QUIET, TRAINERS

Make = Callable[..., TextClassifier]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork"),
    pytest.mark.filterwarnings("ignore:It is recommended to use `self.log"),
]


@TRAINERS
@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "ddp_notebook"])
def test_the_trained_weights_come_back(
    strategy: str, trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule
) -> None:
    """After a fit in two processes the object in this one is trained: it can be validated, saved, and classifies."""
    model = new_model(learning_rate=5e-3, pooling="mean")
    trainer = trainer_class(**{**QUIET, "devices": 2}, strategy=strategy, max_epochs=1)
    trainer.fit(model, data)
    assert model.model is not None
    assert model.target is not None
    assert model.target.labels == ("negative", "positive")
    assert "learned" not in model.state_dict()
    expected = float(trainer.callback_metrics["val_loss"])
    again = trainer_class(**QUIET)
    assert again.validate(model, data, verbose=False)[0]["val_loss"] == pytest.approx(expected, abs=1e-5)
    again.save_checkpoint("spawned.ckpt")
    text = "the film was very good"
    answer = TextClassifier.load_from_checkpoint("spawned.ckpt").classify(text)
    assert answer == model.eval().classify(text)


@TRAINERS
def test_ddp_spawn_and_checkpoints(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """The checkpoints that the processes write are ordinary ones."""
    best = pl.callbacks.ModelCheckpoint("checkpoints", monitor="val_loss")
    options = {**QUIET, "devices": 2, "enable_checkpointing": True}
    trainer_class(**options, strategy="ddp_spawn", max_epochs=1, callbacks=[best]).fit(new_model(), data)
    (path,) = Path("checkpoints").glob("*.ckpt")
    assert not [name for name in torch.load(path, weights_only=True)["state_dict"] if "." not in name]
    assert TextClassifier.load_from_checkpoint(path).classify("the film was good")["label"]
