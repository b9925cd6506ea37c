"""Checks `trainer.*` before anything is read; Lightning finds these mistakes late, or never."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import StrategyRegistry

from lit_textclf.utils.messages import UserError, did_you_mean, note

_POSITIVE = (
    "accumulate_grad_batches",
    "val_check_interval",
    "check_val_every_n_epoch",
    "log_every_n_steps",
    "checkpoint_every_n_steps",
)
_LIMITS = {
    "fit": ("limit_train_batches", "limit_val_batches"),
    "validate": ("limit_val_batches",),
    "test": ("limit_test_batches",),
    "predict": ("limit_predict_batches",),
}


def check_trainer(trainer: Any, command: str) -> None:
    """Checks the values of `trainer.*`, as a parser returns them, that a command uses.

    Raises:
        UserError: naming the option, its value and what to type instead.
    """
    # Lightning's single_xla needs an argument, which a name cannot pass.
    known = ["auto", *(name for name in StrategyRegistry.available_strategies() if name != "single_xla")]
    if isinstance(trainer.strategy, str) and trainer.strategy not in known:
        raise UserError(
            f"trainer.strategy: no strategy {trainer.strategy!r}{did_you_mean(trainer.strategy, known)}; "
            f"available: {', '.join(known)}"
        )
    for name in _POSITIVE:
        if (value := trainer.get(name)) is not None and value <= 0:
            raise UserError(f"trainer.{name} {value}: must be more than 0")
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val < 0:
        raise UserError(f"trainer.gradient_clip_val {trainer.gradient_clip_val}: must be 0 or more; null clips nothing")
    if command == "predict" and trainer.fast_dev_run:
        raise UserError("trainer.fast_dev_run would leave rows out; use data.max_predict_samples")
    for name in _LIMITS[command]:
        _check_limit(name, trainer.get(name), command)


def _check_limit(name: str, value: float | None, command: str) -> None:
    """Refuses a limit that leaves nothing to do or drops predictions; notes any other limit."""
    if value is None or (value == 1.0 and isinstance(value, float)):  # 1 is one batch, 1.0 is all of them
        return
    if command == "predict":
        raise UserError("trainer.limit_predict_batches would leave rows out; use data.max_predict_samples")
    if value == 0 and (command != "fit" or name == "limit_train_batches"):
        raise UserError(f"trainer.{name} is 0: nothing would be done")
    note(f"trainer.{name} {value}: only a part of the rows is used")
