"""`trainer.max_epochs: auto`."""

from __future__ import annotations

import pytest

from lit_textclf import Trainer, main
from lit_textclf.training.epochs import epochs_for


@pytest.mark.parametrize(("steps", "epochs"), [(1, 10), (10, 10), (20, 5), (33, 4), (34, 3), (5_000, 3)])
def test_few_steps_have_more_epochs(steps: int, epochs: int) -> None:
    assert epochs_for(steps) == epochs


def test_what_is_set_is_kept(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "1"])
    assert "epoch 1 of 1:" in capsys.readouterr().err


def test_steps_alone_end_a_run(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """48 rows in batches of 8 are 6 steps an epoch: 20 steps end in the fourth epoch."""
    args = [arg for arg in fit_args if arg != "--trainer.max_epochs"]
    args.remove("2")
    main([*args, "--trainer.max_steps", "20"])
    assert "; 20 steps of 8 rows" in capsys.readouterr().err


def test_accumulated_batches_count_as_one_step(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    args = [arg for arg in fit_args if arg != "--trainer.max_epochs"]
    args.remove("2")
    main([*args, "--trainer.accumulate_grad_batches", "3", "--trainer.limit_train_batches", "6"])
    assert "epoch 10 of 10:" in capsys.readouterr().err


def test_a_number_from_python() -> None:
    assert Trainer(accelerator="cpu", logger=False, max_epochs=7).max_epochs == 7
    assert Trainer(accelerator="cpu", logger=False, max_steps=9).max_epochs == -1
