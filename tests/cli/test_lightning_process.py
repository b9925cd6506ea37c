"""Which errors are the user's, shown as one line, and which are bugs, shown as a traceback."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lit_textclf import UserError, main
from lit_textclf.cli.lightning_process import lightning_process, lightning_refusal

Fails = Callable[[list[str]], str]


class BreaksItself(Callback):
    """A callback with a bug of its own."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        len(trainer.max_epochs)


class LogsText(Callback):
    """A callback that calls Lightning wrongly: Lightning raises on purpose, but the user did nothing wrong."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("name", "text")


class CannotBeMade(Callback):
    """A class for `trainer.callbacks`."""

    def __init__(self) -> None:
        len(7)


class LogsTooEarly(Callback):
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        pl_module.log("name", 1.0)


@pytest.mark.parametrize(
    ("callback", "kind", "words"),
    [
        (BreaksItself, TypeError, "object of type 'int' has no len"),
        (LogsText, ValueError, "`str` values cannot be logged"),
        (LogsTooEarly, MisconfigurationException, "You can't `self.log"),
    ],
)
def test_a_bug_is_not_shown_as_a_mistake_of_the_user(
    callback: type[Callback], kind: type[Exception], words: str, fit_args: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(kind, match=words):
        main(fit_args, callbacks=[callback()])
    assert "error: " not in capfd.readouterr().err


def test_a_shadowed_name_in_the_trainer(fit_args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning.pytorch.trainer.trainer.setup._init_profiler", False)
    with pytest.raises(TypeError, match="'bool' object is not callable"):
        main(fit_args)


def test_what_lightning_refuses_names_the_way_to_the_traceback(
    fit_args: list[str], fails: Fails, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    line = fails([*fit_args, "--trainer.val_check_interval", "100"])
    assert line.endswith("(set LIT_TEXTCLF_TRACEBACK=1 for the traceback)")
    monkeypatch.setenv("LIT_TEXTCLF_TRACEBACK", "1")
    with pytest.raises(SystemExit) as raised:
        main([*fit_args, "--trainer.val_check_interval", "100"])
    assert raised.value.code == 2
    err = capfd.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "fit_loop.py" in err
    assert err.splitlines()[-1] == line


def test_arguments_of_a_class_of_lightning(fit_args: list[str], fails: Fails) -> None:
    stop = "[{class_path: EarlyStopping, init_args: {monitor: val_loss, mode: most}}]"
    line = fails([*fit_args, "--trainer.callbacks", stop])
    assert line.startswith("error: trainer: `mode` can be min, max, got most (set LIT_TEXTCLF_TRACEBACK=1")


def test_a_bug_in_a_class_of_the_user(fit_args: list[str]) -> None:
    with pytest.raises(ValueError, match="object of type 'int' has no len"):
        main([*fit_args, "--trainer.callbacks", f"[{{class_path: {__name__}.CannotBeMade}}]"])


def test_errors_without_a_trace_are_bugs() -> None:
    assert not lightning_refusal(ValueError("made, not raised"))


def test_an_error_of_our_own_code_passes() -> None:
    with pytest.raises(ValueError, match="ours"), lightning_process():
        raise ValueError("ours")


def test_another_ranks_failure_ends_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised, lightning_process():
        raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [127.0.0.1]")
    assert raised.value.code == 1
    assert capsys.readouterr().err == "rank 0 exits because another rank failed; see that rank's message\n"


def test_weights_of_another_architecture_are_a_mistake_of_the_user() -> None:
    with pytest.raises(UserError, match="Missing key"), lightning_process():
        torch.nn.Linear(1, 1).load_state_dict({})
