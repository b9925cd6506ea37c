"""The callback of `predict`: gives the batches of Lightning's Trainer to a :class:`PredictionJob`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import transformers
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from lit_textclf.classifier.checkpoint import digest_of
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.outputs import Prediction
from lit_textclf.data.batches.parts import Part, part_rows_for
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.trainer import data_module_of
from lit_textclf.prediction.folder import write_files
from lit_textclf.prediction.options import PREDICTIONS, PredictOptions
from lit_textclf.prediction.writing.job import Measure, PredictionJob
from lit_textclf.utils.messages import SharedError, UserError
from lit_textclf.utils.paths import expand_path

_AHEAD = 4
"""Batches that a GPU may be ahead of the copies of their logits."""


class PredictionWriter(Callback):
    """Writes what `Trainer.predict` predicts to a file, in the order of the rows of a :class:`TextDataModule`.

    It is for `trainer.predict(model, datamodule=data)`. Rows are written part by part, each process its own, and joined
    on rank 0: the file appears complete or not at all. A prediction that was stopped is resumed by the same call.
    Unlike Lightning's `BasePredictionWriter`, from which you derive a writer of your own, it sets which rows are left.

    Args:
        output: the file to write, or - for standard output
        overwrite: replace the file if it exists
        with_logits: add a column logit_<name> for each label
        keep_columns: add the input's other columns
        output_encoding: utf-8, or utf-8-sig for spreadsheets
        format: csv, glue, or the dotted path of your own OutputFormat class, see :class:`PredictOptions`
        min_score: assign no label to rows whose score is below this probability
        progress_bar: show rows and rows a second, in place of the Trainer's own bar

    Attributes:
        path: the file, once a prediction has begun; None for standard output.
        metrics: the metrics of the last prediction if all its rows had labels; otherwise empty.

    Raises:
        UserError: if an option is out of its range; at the prediction, for anything wrong with the file or the rows.

    Example:
        >>> from lit_textclf import PredictionWriter, Trainer
        >>> trainer = Trainer(callbacks=[PredictionWriter("predictions.csv")], logger=False)
    """

    def __init__(
        self, output: str | os.PathLike[str] = PREDICTIONS, *, overwrite: bool = False, with_logits: bool = False,
        keep_columns: bool = False, output_encoding: str = "utf-8", format: str = "csv",
        min_score: float | None = None, progress_bar: bool = False,
    ) -> None:  # fmt: skip
        options = PredictOptions(
            os.fspath(output), overwrite=overwrite, with_logits=with_logits, keep_columns=keep_columns,
            output_encoding=output_encoding, format=format, min_score=min_score,
        )  # fmt: skip
        self.job = PredictionJob(options, progress_bar=progress_bar)
        self._data: TextDataModule
        self._copies: deque[_Copy] = deque()

    @property
    def path(self) -> Path | None:
        """The file, once a prediction has begun; None for standard output."""
        return self.job.path

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the last prediction if all its rows had labels; otherwise empty."""
        return self.job.metrics

    def open(self, trainer: pl.Trainer, model: Any, data: Any, ckpt_path: str | None = None) -> None:
        """Checks strategy, options and output file, and then reads the rows; :meth:`setup` does if nobody else did.

        Raises:
            UserError: for anything wrong in the options, the output file or the input.
        """
        _check_trainer(trainer)
        if not isinstance(model, TextClassifier) or not isinstance(data, TextDataModule):
            raise UserError(
                "PredictionWriter writes the rows of a TextDataModule as a TextClassifier labels them: call "
                "predict(model, datamodule=data) with both, or derive a writer from BasePredictionWriter"
            )
        inputs = [] if ckpt_path is None else [expand_path(ckpt_path, "--ckpt_path")]
        self.job.open(model, data, processes=trainer.world_size, inputs=inputs)
        self._data = data

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Reads the rows; the parts are opened when the loader is made, because only then the checkpoint is known."""
        if stage != "predict":
            return
        if not self.job.is_open:
            self.open(trainer, pl_module, data_module_of(trainer))
        assert isinstance(pl_module, TextClassifier)
        self._data.predict_parts(partial(self._open_parts, trainer, pl_module))

    def _open_parts(self, trainer: pl.Trainer, classifier: TextClassifier) -> tuple[int, list[int]]:
        """Opens the parts on rank 0, and tells the other ranks how long they are and which are left."""
        job = self.job
        found: Any = None
        if trainer.is_global_zero:
            part_rows = part_rows_for(job.stream.total, job.data.eval_batch_size, trainer.world_size)
            try:
                left = job.parts.open(self._origin(trainer, classifier), part_rows)
                found = (job.parts.part_rows, left)
            except UserError as error:
                found = str(error)
        part_rows, job.left = self._agreed(trainer, found)
        seen = trainer.is_global_zero or job.parts.join(part_rows)
        if not trainer.strategy.reduce_boolean_decision(seen, all=True):
            raise SharedError(
                f"{job.parts.folder}: not every process sees this folder; with several nodes --output must be in a "
                "folder that they share"
            )
        return part_rows, job.left

    def _agreed(self, trainer: pl.Trainer, found: Any) -> Any:
        """What rank 0 found, on all ranks; a string is an error."""
        found = trainer.strategy.broadcast(found)
        if isinstance(found, str):
            raise SharedError(found)
        return found

    def _origin(self, trainer: pl.Trainer, classifier: TextClassifier) -> dict[str, Any]:
        path = Path(trainer.ckpt_path or "").expanduser()
        return self.job.origin(
            classifier, options=classifier.hparams, known=digest_of(path) if path.is_file() else classifier.origin,
            precision=str(trainer.precision), device=trainer.strategy.root_device.type,
            versions=[str(torch.__version__), transformers.__version__],
        )  # fmt: skip

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._copies.clear()  # of a prediction that was stopped
        own = [index for index in self.job.left if index % trainer.world_size == trainer.global_rank]
        self.job.start(own, shown=trainer.is_global_zero)

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Takes a batch, and writes its part if that is complete."""
        assert isinstance(outputs, Prediction)
        self._copies.append(_Copy(outputs, batch.get("part")))
        self._take(but=_AHEAD if outputs.logits.is_cuda else 0)

    def _take(self, *, but: int) -> None:
        """Takes the oldest batches; leaves the `but` newest ones."""
        while len(self._copies) > but:
            copy = self._copies.popleft()
            self.job.take(*copy.arrays(), copy.part, as_given=torch.from_numpy)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Joins the parts on rank 0, when all ranks have written theirs."""
        assert isinstance(pl_module, TextClassifier)
        self._take(but=0)
        trainer.strategy.barrier("all parts are written")
        self.job.stop_clock()
        found: str | dict[str, float] = {}
        if trainer.is_global_zero:
            try:
                found = self.job.finish(pl_module, measured_by(pl_module))
            except UserError as error:
                found = str(error)
        self.job.metrics = self._agreed(trainer, found)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Keeps the parts of an unfinished prediction, with a note."""
        self._close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lets the data module predict all rows again."""
        self._close()

    def _close(self) -> None:
        if self.job.is_open:
            self._data.predict_parts(None)
            self.job.close()


class _Copy:
    """A batch's row numbers and logits on their way from a device."""

    def __init__(self, outputs: Prediction, part: Part | None) -> None:
        self.part = part
        tensors, is_cuda = (outputs.row, outputs.logits.float()), outputs.logits.is_cuda
        self._tensors = [each.to("cpu", non_blocking=is_cuda) for each in tensors]
        self._arrived = None
        if is_cuda:
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers `(batch,)` and logits, float32 `(batch, outputs)`, when they have arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()
        row, logits = self._tensors
        return row.numpy(), logits.numpy()


def _check_trainer(trainer: pl.Trainer) -> None:
    """Refuses a Trainer that does not predict all rows, once, or whose processes cannot each write their own.

    Raises:
        UserError: naming what to change.
    """
    if sum(isinstance(callback, PredictionWriter) for callback in trainer.callbacks) > 1:  # type: ignore[attr-defined]
        raise UserError("two PredictionWriters in one Trainer: predict once for each file")
    limit = trainer.limit_predict_batches  # 1 is a batch, and 1.0 all of them
    if isinstance(limit, int) or limit != 1.0 or trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise UserError("trainer.limit_predict_batches would leave rows out; use data.max_predict_samples")
    if not isinstance(trainer.strategy, (SingleDeviceStrategy, DDPStrategy)):
        raise UserError(
            f"trainer.strategy: predict does not run with {type(trainer.strategy).__name__}, whose processes wait for "
            "each other at every layer; use ddp or one device"
        )
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise UserError("trainer.strategy: predict does not run in spawned or forked processes; use ddp")


def measured_by(classifier: TextClassifier) -> Measure:
    """The metrics of a classifier for `predict`."""

    def measure(found: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        metrics, measured = classifier.stage_metrics("predict"), False
        metrics.reset()
        for arrays in found:
            classifier.measure("predict", *(torch.from_numpy(array).to(classifier.device) for array in arrays))
            measured = True
        return metrics.compute(alone=True) if measured else {}

    return measure


def write_predictions(
    writer: PredictionWriter, trainer: pl.Trainer, model: TextClassifier, datamodule: TextDataModule,
    ckpt_path: str | None,
) -> tuple[list[Path], dict[str, float], str]:  # fmt: skip
    """Predicts to the writer's file or folder, see :func:`write_files`; the checkpoint is loaded once."""
    loaded: str | None = None

    def predict() -> None:
        nonlocal loaded
        writer.open(trainer, model, datamodule, ckpt_path)  # before Lightning does anything
        weights = ckpt_path if loaded is None else None
        trainer.predict(model, datamodule=datamodule, ckpt_path=weights, return_predictions=False)
        if weights is not None:  # by which the next files resume
            model.origin, loaded = digest_of(expand_path(weights, "--ckpt_path")), weights

    return write_files(writer.job, datamodule, predict, measured_by(model), joins=trainer.is_global_zero)
