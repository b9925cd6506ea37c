"""What a resumed run notes of the checkpoint's callbacks."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback

from lit_textclf import main


class Remembers(Callback):
    """A callback with a state, whose key has arguments as those of Lightning's checkpoints have."""

    def __init__(self) -> None:
        self.steps = 0

    @property
    def state_key(self) -> str:
        return self._generate_state_key(every=1)

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


def test_a_state_that_is_not_restored_is_named(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "1"], callbacks=[Remembers()])
    more = ["--ckpt_path", "lightning_logs/version_0/checkpoints/best.ckpt", "--trainer.max_epochs", "2"]
    capfd.readouterr()
    main([*fit_args, *more])
    err = capfd.readouterr().err
    assert "fit: the checkpoint's state of Remembers is not restored: this run has no such callback\n" in err
    assert "callbacks used to create the checkpoint" not in err
    callback = Remembers()
    main([*fit_args, *more], callbacks=[callback])
    assert callback.steps == 12
    assert "is not restored" not in capfd.readouterr().err
    main(["validate", "--ckpt_path", "last", "--data.validation_file", "validation.csv"])
    assert "is not restored" not in capfd.readouterr().err
