"""Lightning's Tuner finds a learning rate and a batch size, with the plain Trainer and with ours."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.tuner import Tuner

from lit_textclf import TextClassifier, TextDataModule
from tests.lightning.conftest import QUIET, TRAINERS

Make = Callable[..., TextClassifier]
OPTIONS = {**QUIET, "max_epochs": 4, "enable_checkpointing": True}
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The dirpath has changed")]


@TRAINERS
def test_lr_find(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """lr_find tries 20 rates and sets `model.learning_rate` to the one it suggests; the fit trains with it."""
    model, trainer = new_model(), trainer_class(**OPTIONS)
    found = Tuner(trainer).lr_find(model, datamodule=data, num_training=20, min_lr=1e-5, max_lr=1e-1)
    assert found is not None
    assert len(found.results["lr"]) >= 15
    assert model.learning_rate == found.suggestion()
    trainer.fit(model, data)
    assert trainer.global_step == 24
    highest = trainer.lr_scheduler_configs[0].scheduler.base_lrs[0]
    assert highest == pytest.approx(found.suggestion())


@TRAINERS
def test_learning_rate_finder(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """The callback does the same at the beginning of a fit."""
    model = new_model(learning_rate=0.123)
    finder = LearningRateFinder(1e-5, 1e-1, num_training_steps=20)
    trainer = trainer_class(**OPTIONS, callbacks=[finder])
    trainer.fit(model, data)
    assert model.learning_rate != 0.123
    assert finder.optimal_lr is not None
    assert model.learning_rate == finder.optimal_lr.suggestion()


@TRAINERS
def test_scale_batch_size(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """scale_batch_size doubles `data.batch_size` until all rows are one batch, and leaves the model as it was."""
    model, trainer = new_model(), trainer_class(**OPTIONS)
    found = Tuner(trainer).scale_batch_size(model, datamodule=data, init_val=2, max_trials=3, steps_per_trial=1)
    assert found == data.batch_size
    assert found in (8, 16)
    trainer.fit(model, data)
    assert trainer.global_step == 4 * 48 // found
