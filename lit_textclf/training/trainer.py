"""Lightning's Trainer with `precision: auto`, `max_epochs: auto`, exact resumption and calibration."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from lit_textclf.training import hardware
from lit_textclf.training.callbacks.calibrate import Calibrate
from lit_textclf.training.callbacks.checkpoints import CheckpointFiles, StepCheckpoint
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from lit_textclf.training.callbacks.stop_and_resume import ExactResume
from lit_textclf.training.config import Precision
from lit_textclf.training.epochs import FEWEST, AutoEpochs
from lit_textclf.training.hardware import choose_precision, device_kind

if TYPE_CHECKING:
    from typing import Unpack

    from lit_textclf.training.options import LightningArguments


class Trainer(pl.Trainer):
    """Lightning's Trainer, with the same meaning of all its arguments.

    Args:
        precision: Lightning's, or auto: bf16-mixed where the processor has it natively, 16-mixed on older CUDA
            devices, 32-true elsewhere
        max_epochs: epochs of training; auto is three, and up to ten until there are 250 steps, or no limit with
            trainer.max_steps, or with trainer.max_time if the schedule needs no end (model.lr_scheduler constant)
        gradient_clip_val: the largest norm of the gradient
        log_every_n_steps: training steps from one logged loss to the next; at most those of an epoch
        enable_model_summary: print a table of the modules
        num_sanity_val_steps: validation batches before training begins; the first one has the longest rows
        checkpoint_every_n_steps: training steps between two writes of last.ckpt within an epoch; null writes it only at
            an epoch's end. A killed run loses at most these steps
        keep_freed_memory: on a CPU, do not return memory to the system between steps; long texts train a third faster
        **kwargs: all other arguments of Lightning's Trainer
    """

    if TYPE_CHECKING:  # jsonargparse 4.53 reads defaults and help from Lightning's signature, but not through Unpack

        def __init__(
            self,
            *,
            precision: Precision = "auto",
            max_epochs: int | Literal["auto"] | None = "auto",
            gradient_clip_val: float | None = 1.0,
            log_every_n_steps: int | None = 10,
            enable_model_summary: bool | None = False,
            num_sanity_val_steps: int | None = 1,
            checkpoint_every_n_steps: int | None = None,
            keep_freed_memory: bool = True,
            **kwargs: Unpack[LightningArguments],
        ) -> None: ...

    def __init__(  # type: ignore[no-redef]
        self,
        *,
        precision: Precision = "auto",
        max_epochs: int | Literal["auto"] | None = "auto",
        gradient_clip_val: float | None = 1.0,
        log_every_n_steps: int | None = 10,
        enable_model_summary: bool | None = False,
        num_sanity_val_steps: int | None = 1,
        checkpoint_every_n_steps: int | None = None,
        keep_freed_memory: bool = True,
        **kwargs: Any,
    ) -> None:
        given = dict(kwargs)  # jsonargparse 4.53 takes each kwargs.get for an option of its own, of any type
        kind = device_kind(given.get("accelerator", "auto"))
        if keep_freed_memory and kind == "cpu":
            hardware.keep_freed_memory()
        chosen = choose_precision(precision, kind)
        if kind == "cuda" and "mixed" in chosen:  # float32 operations may use TensorFloat-32; 32-true stays exact
            torch.set_float32_matmul_precision("high")
        if given.get("barebones"):  # Lightning refuses it together with any logging, including our defaults
            log_every_n_steps = enable_model_summary = num_sanity_val_steps = None
        has_steps = given.get("max_steps", -1) not in (None, -1)
        super().__init__(
            precision=chosen,  # type: ignore[arg-type]
            max_epochs=(-1 if has_steps else FEWEST) if max_epochs == "auto" else max_epochs,
            gradient_clip_val=gradient_clip_val,
            log_every_n_steps=log_every_n_steps,
            enable_model_summary=enable_model_summary,
            num_sanity_val_steps=num_sanity_val_steps,
            **kwargs,
        )
        self.checkpoint_every_n_steps = checkpoint_every_n_steps
        self._add_callbacks(AutoEpochs(active=max_epochs == "auto" and not has_steps))
        plain = isinstance(self.strategy, (SingleDeviceStrategy, DDPStrategy))  # unsharded: rank 0 writes one file
        if plain and type(self.strategy.checkpoint_io) is TorchCheckpointIO:
            self.strategy.checkpoint_io = CheckpointFiles()

    def _add_callbacks(self, epochs: AutoEpochs) -> None:
        """Adds the callbacks of every run that the user did not add, first: other callbacks may use their results."""

        def missing(kind: type[Callback]) -> bool:
            return not any(isinstance(callback, kind) for callback in self._callbacks)

        first: list[Callback] = [ExactResume(), epochs]
        if missing(Calibrate):
            collected = CollectOutcomes()
            first += [collected, Calibrate(collected)]
        if self.checkpoint_every_n_steps is not None and missing(StepCheckpoint):
            self._callbacks.append(StepCheckpoint(self.checkpoint_every_n_steps))  # Lightning wants checkpoints last
        self._callbacks[:0] = first

    @property
    def _callbacks(self) -> list[Callback]:
        return self.callbacks  # type: ignore[attr-defined,no-any-return]


def _full_signature() -> inspect.Signature:
    """Our arguments and Lightning's, which `help` and the completion of notebooks show."""
    ours, others = (inspect.signature(kind.__init__).parameters for kind in (Trainer, pl.Trainer))
    named = {**others, **ours}
    return inspect.Signature([named[name] for name in named if name not in ("self", "kwargs")])


Trainer.__signature__ = _full_signature()  # type: ignore[attr-defined]
