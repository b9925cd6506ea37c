"""max_epochs, max_steps and max_time mean what they mean in Lightning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
import pytest

from lit_textclf import TextClassifier, TextDataModule, Trainer, UserError, main
from tests.lightning.conftest import QUIET, TRAINERS

Make = Callable[..., TextClassifier]
pytestmark = pytest.mark.filterwarnings("ignore:`max_epochs` was not set")


def fitted_by(
    trainer_class: type[pl.Trainer], model: TextClassifier, data: TextDataModule, **options: Any
) -> pl.Trainer:
    trainer = trainer_class(**QUIET, **options)
    trainer.fit(model, data)
    return trainer


@TRAINERS
def test_max_steps_alone(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """Forty steps are more than six epochs, and the schedule ends with them."""
    trainer = fitted_by(trainer_class, new_model(), data, max_steps=40)
    assert trainer.global_step == 40
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0


class Clock(pl.Callback):
    """Lets the time of max_time be over after the twelfth epoch."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 11:
            timer = next(each for each in trainer.callbacks if isinstance(each, pl.callbacks.Timer))
            timer._duration = 0.0


@TRAINERS
@pytest.mark.parametrize(
    "schedule",
    ["constant", *(pytest.param(name, marks=pytest.mark.slow) for name in ("constant_with_warmup", "inverse_sqrt"))],
)
def test_max_time_alone(schedule: str, trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """A schedule without an end trains until the time is over, not for at most ten epochs."""
    model = new_model(lr_scheduler=schedule, warmup_ratio=0.0)
    trainer = fitted_by(trainer_class, model, data, max_time=timedelta(hours=1), callbacks=[Clock()])
    assert trainer.global_step == 73


@pytest.mark.slow
def test_max_time_with_a_schedule_that_ends(
    new_model: Make, data: TextDataModule, capsys: pytest.CaptureFixture[str]
) -> None:
    """The linear schedule needs an end: our Trainer trains at most as long as without max_time, and says so."""
    trainer = fitted_by(Trainer, new_model(), data, max_time="00:01:00:00")
    assert trainer.current_epoch == 10
    assert "the learning rate falls to its end in 10 epochs" in capsys.readouterr().err


@TRAINERS
def test_without_any_end(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """max_epochs=-1 runs with a constant rate; the linear schedule is refused in a line that says what to set."""
    trainer = fitted_by(trainer_class, new_model(lr_scheduler="constant"), data, max_epochs=-1, max_time={"hours": 1},
                        callbacks=[Clock()])  # fmt: skip
    assert trainer.global_step == 73
    with pytest.raises(UserError, match=r"model.lr_scheduler linear: the schedule needs an end; set trainer"):
        fitted_by(trainer_class, new_model(), data, max_epochs=-1)


@pytest.mark.slow
def test_the_command_without_an_end(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """The lines of `fit` name no end where there is none."""
    endless = ["--trainer.max_epochs", "-1", "--trainer.max_time", "00:01:00:00", "--model.lr_scheduler", "constant"]
    main([*fit_args, *endless], callbacks=[Clock()])
    printed = capfd.readouterr().err
    assert "steps without an end of 8 rows" in printed
    assert "\nepoch 12: " in printed
