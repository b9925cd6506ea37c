"""Values of `trainer.*` that are refused, and those that are noted."""

from __future__ import annotations

from typing import Any

import pytest
from jsonargparse import Namespace

from lit_textclf import UserError
from lit_textclf.training.options import check_trainer

DEFAULTS = {
    "strategy": "auto", "gradient_clip_val": 1.0, "fast_dev_run": False, "limit_train_batches": None,
    "limit_val_batches": None, "limit_test_batches": None, "limit_predict_batches": None,
}  # fmt: skip


def checked(command: str, **options: Any) -> None:
    check_trainer(Namespace(**{**DEFAULTS, **options}), command)


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("fit", {"strategy": "dpp"}, "trainer.strategy: no strategy 'dpp'; did you mean 'ddp'?"),
        ("fit", {"strategy": "single_xla"}, "trainer.strategy: no strategy 'single_xla'"),
        ("fit", {"val_check_interval": 0.0}, "trainer.val_check_interval 0.0: must be more than 0"),
        ("test", {"log_every_n_steps": -1}, "trainer.log_every_n_steps -1: must be more than 0"),
        ("fit", {"gradient_clip_val": -1}, "trainer.gradient_clip_val -1: must be 0 or more"),
        ("fit", {"limit_train_batches": 0}, "trainer.limit_train_batches is 0"),
        ("validate", {"limit_val_batches": 0.0}, "trainer.limit_val_batches is 0: "),
        ("predict", {"limit_predict_batches": 1}, "would leave rows out"),
        ("predict", {"fast_dev_run": True}, "would leave rows out"),
    ],
)
def test_refused(command: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as raised:
        checked(command, **options)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        ("fit", {"limit_train_batches": 1}, "trainer.limit_train_batches 1: only a part of the rows is used\n"),
        ("fit", {"limit_train_batches": 1.0, "limit_val_batches": None}, ""),
        ("fit", {"limit_val_batches": 0}, "trainer.limit_val_batches 0: only a part of the rows is used\n"),
        ("test", {"limit_train_batches": 0, "limit_predict_batches": 2}, ""),
        ("predict", {"gradient_clip_val": 0, "strategy": "ddp"}, ""),
    ],
)
def test_allowed(command: str, options: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    checked(command, **options)
    assert capsys.readouterr().err == expected
