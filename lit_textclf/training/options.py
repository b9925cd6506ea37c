"""Checks `trainer.*` before anything is read; Lightning finds these mistakes late, or never."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from os import PathLike
from typing import Any, Literal, TypedDict

from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy, StrategyRegistry

from lit_textclf.utils.messages import UserError, did_you_mean, note

Plugin = Precision | ClusterEnvironment | CheckpointIO | LayerSync


class LightningArguments(TypedDict, total=False):
    """The arguments of Lightning's Trainer (2.6.6) that ours passes on, for type checkers and editors."""

    accelerator: str | Accelerator
    strategy: str | Strategy
    devices: list[int] | str | int
    num_nodes: int
    logger: Logger | Iterable[Logger] | bool | None
    callbacks: list[Callback] | Callback | None
    fast_dev_run: int | bool
    min_epochs: int | None
    max_steps: int
    min_steps: int | None
    max_time: str | timedelta | dict[str, int] | None
    limit_train_batches: int | float | None
    limit_val_batches: int | float | None
    limit_test_batches: int | float | None
    limit_predict_batches: int | float | None
    overfit_batches: int | float
    val_check_interval: int | float | str | timedelta | dict[str, int] | None
    check_val_every_n_epoch: int | None
    enable_checkpointing: bool | None
    enable_progress_bar: bool | None
    accumulate_grad_batches: int
    gradient_clip_algorithm: str | None
    deterministic: bool | Literal["warn"] | None
    benchmark: bool | None
    inference_mode: bool
    use_distributed_sampler: bool
    profiler: Profiler | str | None
    detect_anomaly: bool
    barebones: bool
    plugins: Plugin | str | list[Plugin | str] | None
    sync_batchnorm: bool
    reload_dataloaders_every_n_epochs: int
    default_root_dir: str | PathLike[str] | None
    enable_autolog_hparams: bool
    model_registry: str | None


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
        if (value := trainer.get(name)) is not None and not isinstance(value, str) and value <= 0:
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
