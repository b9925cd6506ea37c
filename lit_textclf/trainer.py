"""Lightning's Trainer with two additions: `precision: auto`, and predictions to CSV."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from lit_textclf import allocator
from lit_textclf.calibration import Calibrate
from lit_textclf.checkpoint import CheckpointFiles
from lit_textclf.classifier import TextClassifier
from lit_textclf.data import TextDataModule
from lit_textclf.errors import UserError, say
from lit_textclf.glue_format import file_of, task_of
from lit_textclf.outcomes import CollectOutcomes
from lit_textclf.predicting import WritePredictions
from lit_textclf.predictions import PredictionFile
from lit_textclf.resume import ExactResume, heed_sigterm
from lit_textclf.rows.paths import expanded, resolve_files
from lit_textclf.runs import StepCheckpoint
from lit_textclf.whole_files import refuse_input

PREDICTIONS = "predictions.csv"
Precision = Literal[
    "auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "32", "16", "bf16", "64",
    "transformer-engine", "transformer-engine-float16",
]  # fmt: skip


class Trainer(pl.Trainer):
    """Lightning's Trainer; all its arguments mean what Lightning says.

    Args:
        precision: Lightning's, or auto: bf16-mixed where the processor has it natively, 16-mixed on older CUDA
            devices, 32-true elsewhere
        max_epochs: epochs of training
        gradient_clip_val: the largest norm of the gradient
        log_every_n_steps: training steps from one logged loss to the next
        enable_model_summary: print a table of the modules
        num_sanity_val_steps: validation batches before training begins; the first one holds the longest rows
        checkpoint_every_n_steps: write last.ckpt every so many training steps too, and not only at an epoch's end: what
            a killed run loses at most
        keep_freed_memory: on a CPU, do not give memory back between steps; long texts train a third faster
        **kwargs: all other arguments of Lightning's Trainer
    """

    def __init__(
        self,
        *,
        precision: Precision = "auto",
        max_epochs: int | None = 3,
        gradient_clip_val: float | None = 1.0,
        log_every_n_steps: int | None = 10,
        enable_model_summary: bool | None = False,
        num_sanity_val_steps: int | None = 1,
        checkpoint_every_n_steps: int | None = None,
        keep_freed_memory: bool = True,
        **kwargs: Any,
    ) -> None:
        kind = device_kind(kwargs.get("accelerator", "auto"))
        if keep_freed_memory and kind == "cpu":
            allocator.keep_freed_memory()
        chosen = choose_precision(precision, kind)
        if kind == "cuda" and "mixed" in chosen:  # what is left in float32 may take TensorFloat-32; 32-true stays exact
            torch.set_float32_matmul_precision("high")
        if kwargs.get("barebones"):  # which Lightning refuses together with any logging, our defaults' too
            log_every_n_steps = enable_model_summary = num_sanity_val_steps = None
        super().__init__(
            precision=chosen,  # type: ignore[arg-type]
            max_epochs=max_epochs,
            gradient_clip_val=gradient_clip_val,
            log_every_n_steps=log_every_n_steps,
            enable_model_summary=enable_model_summary,
            num_sanity_val_steps=num_sanity_val_steps,
            **kwargs,
        )
        self.checkpoint_every_n_steps = checkpoint_every_n_steps
        if checkpoint_every_n_steps is not None and not any(isinstance(c, StepCheckpoint) for c in self._callbacks):
            self._callbacks.append(StepCheckpoint(checkpoint_every_n_steps))
        if not any(isinstance(callback, Calibrate) for callback in self._callbacks):
            collected = CollectOutcomes()
            self._callbacks[:0] = [collected, Calibrate(collected)]
        resume = ExactResume()
        self._callbacks.insert(0, resume)
        heed_sigterm(self, resume)
        plain = isinstance(self.strategy, (SingleDeviceStrategy, DDPStrategy))  # not sharded: one file, of rank 0
        if plain and type(self.strategy.checkpoint_io) is TorchCheckpointIO:
            self.strategy.checkpoint_io = CheckpointFiles()

    def predict(  # type: ignore[override]
        self,
        model: TextClassifier | None = None,
        dataloaders: Any = None,
        datamodule: TextDataModule | None = None,
        ckpt_path: str | None = None,
        output: str = PREDICTIONS,
        overwrite: bool = False,
        with_logits: bool = False,
        keep_columns: bool = False,
        text: str | None = None,
        output_encoding: str = "utf-8",
        format: Literal["csv", "glue"] = "csv",
        min_score: float | None = None,
    ) -> dict[str, float]:
        """Predicts rows and writes them to a CSV file, in input order; goes on with a prediction that was stopped.

        Args:
            model: the classifier
            dataloaders: not used; the rows come from the data module
            datamodule: gives the rows
            ckpt_path: the checkpoint to predict with
            output: the CSV file to write; it appears whole or not at all
            overwrite: replace the file if it exists
            with_logits: add a column logit_<name> for each label
            keep_columns: add the input's other columns
            text: predict this text in place of a file
            output_encoding: utf-8, or utf-8-sig for spreadsheets
            format: csv, or glue for the tab-separated file that the GLUE benchmark takes; the task is
                data.dataset_config_name, or what the output is called
            min_score: give no label to rows whose score is below this probability: label is empty, and a column
                abstained is true

        Returns:
            The predictions' metrics, if every row has a label; else an empty dictionary.

        Raises:
            UserError: if the file exists, cannot be written, or the input is wrong.
        """
        if model is None or datamodule is None:
            raise UserError("predict needs a TextClassifier and a TextDataModule")
        self._check_strategy()
        if text is not None:
            datamodule.sets.texts = [text]
        datamodule.sets.keep_columns = {"predict"} if keep_columns else set()
        _check_form(format, min_score, other_columns=with_logits or keep_columns)
        glue_task = None
        if format == "glue":
            glue_task, output = _submission(datamodule, output)
        path = self.predicted_to = expanded(output, "--output")
        file = PredictionFile(path, overwrite=overwrite, encoding=output_encoding, with_logits=with_logits)
        inputs = datamodule.sets.files["predict"] if text is None else None
        given = [] if inputs is None else resolve_files(inputs, "data.predict_file")
        refuse_input(path, [*given, *([expanded(ckpt_path, "--ckpt_path")] if ckpt_path else [])])
        datamodule.prepare("predict", model)
        if min_score is not None and datamodule.target is not None and datamodule.target.task != "single_label":
            raise UserError(f"--min_score is for one label a row, the model's task is {datamodule.target.task}")
        bar = self.is_global_zero and any(isinstance(callback, ProgressBar) for callback in self._callbacks)
        writer = WritePredictions(
            file,
            datamodule,
            ckpt_path,
            keep_columns=keep_columns,
            progress=bar,
            glue_task=glue_task,
            min_score=min_score,
        )
        others = self._callbacks
        self.callbacks = [*(other for other in others if not isinstance(other, ProgressBar)), writer]
        try:
            super().predict(model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False)
        finally:
            self.callbacks = others
            writer.close()
        return writer.metrics

    def _check_strategy(self) -> None:
        """Refuses what `predict` does not run with."""
        if not isinstance(self.strategy, (SingleDeviceStrategy, DDPStrategy)):
            raise UserError(
                f"trainer.strategy: predict does not run with {type(self.strategy).__name__}, whose processes wait for "
                "each other at every layer; use ddp or one device"
            )
        if isinstance(self.strategy.launcher, _MultiProcessingLauncher):
            raise UserError("trainer.strategy: predict does not run in spawned or forked processes; use ddp")

    @property
    def _callbacks(self) -> list[Callback]:
        return self.callbacks  # type: ignore[attr-defined,no-any-return]


def _check_form(form: str, min_score: float | None, *, other_columns: bool) -> None:
    """Refuses options of the output that contradict each other."""
    if min_score is not None and not 0 <= min_score <= 1:
        raise UserError(f"--min_score {min_score}: a probability from 0 to 1 is needed")
    if form == "glue" and (other_columns or min_score is not None):
        raise UserError(
            "--format glue has two columns, and a label for each row; remove --with_logits, --keep_columns and "
            "--min_score"
        )


def _submission(data: TextDataModule, output: str) -> tuple[str, str]:
    """The GLUE task of a prediction, and its file: the benchmark's own name where none was given."""
    named = None if output == PREDICTIONS else Path(output)
    task = task_of(data.sets.dataset_config_name, named)
    if data.sets.columns.id is not None:
        say(f"--format glue: rows are known by their number; {data.sets.columns.id!r} is not written")
    splits = data.sets.dataset_splits
    return task, output if named else file_of(task, splits.get("predict", splits.get("test")))


def device_kind(accelerator: Any) -> str:
    """`cuda`, `mps`, `tpu` or `cpu`: what Lightning will take for this value of `trainer.accelerator`."""
    if accelerator in ("auto", "gpu"):
        found: Mapping[str, bool] = {
            "tpu": accelerator == "auto" and XLAAccelerator.is_available(),
            "mps": MPSAccelerator.is_available(),
            "cuda": CUDAAccelerator.is_available(),
        }
        return next((kind for kind, there in found.items() if there), "cpu")
    return str(accelerator)


def choose_precision(precision: str | int, kind: str) -> str:
    """Resolves `auto`, and refuses or replaces what would go wrong without a word.

    Args:
        precision: the value of `trainer.precision`.
        kind: see :func:`device_kind`.

    Raises:
        UserError: for 16-true on a CPU, whose losses are NaN.
    """
    precision = str(precision)
    if precision == "auto":
        if kind == "cuda":
            return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        return "bf16-mixed" if kind == "cpu" and cpu_has_bf16() else "32-true"
    if kind == "cpu" and precision == "16-true":
        raise UserError("trainer.precision 16-true gives NaN losses on a CPU; use bf16-mixed, 32-true or auto")
    if kind == "cpu" and precision in ("16-mixed", "16"):
        say(f"trainer.precision: a CPU has no {precision}; bf16-mixed is used in its place")
        return "bf16-mixed"
    return precision


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 natively: AVX512_BF16 or AMX on x86, BF16 on Arm."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "").split()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))
