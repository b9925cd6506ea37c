"""The callback of `predict`: opens or resumes the parts, collects batches into them, joins them and measures."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import transformers
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from lit_textclf.classifier.checkpoint import digest_of
from lit_textclf.classifier.inference.calibration import formatted
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.outputs import Prediction
from lit_textclf.data.batches.parts import Part, part_rows_for
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.rows.stream import RowStream
from lit_textclf.data.trainer import data_module_of
from lit_textclf.prediction.formats import find_format
from lit_textclf.prediction.options import PREDICTIONS, PredictOptions
from lit_textclf.prediction.output_file import PredictionFile, StandardOutput
from lit_textclf.prediction.output_format import OutputFormat
from lit_textclf.prediction.parts import PredictionParts, is_joined
from lit_textclf.utils.atomic import refuse_input
from lit_textclf.utils.messages import SharedError, UserError, duration, long_quiet, note, plural, progress
from lit_textclf.utils.paths import expand_path, resolve_files
from lit_textclf.utils.standard_input import DASH
from lit_textclf.version import __version__


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

    data: TextDataModule
    file: PredictionFile
    format: OutputFormat
    parts: PredictionParts
    stream: RowStream

    def __init__(
        self, output: str | os.PathLike[str] = PREDICTIONS, *, overwrite: bool = False, with_logits: bool = False,
        keep_columns: bool = False, output_encoding: str = "utf-8", format: str = "csv",
        min_score: float | None = None, progress_bar: bool = False,
    ) -> None:  # fmt: skip
        self.options = PredictOptions(
            os.fspath(output), overwrite=overwrite, with_logits=with_logits, keep_columns=keep_columns,
            output_encoding=output_encoding, format=format, min_score=min_score,
        )  # fmt: skip
        self.path: Path | None = None
        self.metrics: dict[str, float] = {}
        self._progress_bar, self._progress, self._is_open = progress_bar, _Rows(False), False
        self._held: dict[int, _Held] = {}
        self._left: list[int] = []
        self._can_resume, self._keeps_parts = True, False

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
        data.keep_columns(*(["predict"] if self.options.keep_columns else []))
        output_format = find_format(self.options.format)
        file = self._opened(trainer, output_format.output(self.options, data))
        files = data.files("predict")
        inputs = resolve_files(files, "data.predict_file") if files is not None else []
        if ckpt_path is not None:
            inputs.append(expand_path(ckpt_path, "--ckpt_path"))
        refuse_input(file.path, inputs)
        data.prepare("predict", model)
        assert data.stream is not None
        self.data, self.stream, self.file = data, data.stream, file
        self.path = None if isinstance(file, StandardOutput) else file.path
        self.format = output_format.from_options(self.options, model, data)
        self.parts = PredictionParts(file, self.format, self.stream.total, overwrite=self.options.overwrite)
        self.metrics, self._held, self._is_open = {}, {}, True

    def _opened(self, trainer: pl.Trainer, output: str) -> PredictionFile:
        """The file to write, or standard output, to which one process writes."""
        if output != DASH:
            path = expand_path(output, "--output")
            overwrite = self.options.overwrite or is_joined(path)
            return PredictionFile(path, overwrite=overwrite, encoding=self.options.output_encoding)
        if trainer.world_size > 1:
            raise UserError("--output -: several processes cannot share standard output; name a file")
        return StandardOutput(encoding=self.options.output_encoding)

    def write_next_to(self, path: Path) -> None:
        """Sets the file of the next prediction, one of several, whose parts are kept."""
        self.options, self._keeps_parts = replace(self.options, output=str(path)), True

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Reads the rows; the parts are opened when the loader is made, because only then the checkpoint is known."""
        if stage != "predict":
            return
        if not self._is_open:
            self.open(trainer, pl_module, data_module_of(trainer))
        assert isinstance(pl_module, TextClassifier)
        self.data.predict_parts(partial(self._open_parts, trainer, pl_module))

    def _open_parts(self, trainer: pl.Trainer, classifier: TextClassifier) -> tuple[int, list[int]]:
        """Opens the parts on rank 0, and tells the other ranks how long they are and which are left."""
        found: Any = None
        if trainer.is_global_zero:
            part_rows = part_rows_for(self.stream.total, self.data.eval_batch_size, trainer.world_size)
            try:
                left = self.parts.open(self._origin(trainer, classifier), part_rows)
                found = (self.parts.part_rows, left)
            except UserError as error:
                found = str(error)
        part_rows, self._left = self._agreed(trainer, found)
        seen = trainer.is_global_zero or self.parts.join(part_rows)
        if not trainer.strategy.reduce_boolean_decision(seen, all=True):
            raise SharedError(
                f"{self.parts.folder}: not every process sees this folder; with several nodes --output must be in a "
                "folder that they share"
            )
        return part_rows, self._left

    def _agreed(self, trainer: pl.Trainer, found: Any) -> Any:
        """What rank 0 found, on all ranks; a string is an error."""
        found = trainer.strategy.broadcast(found)
        if isinstance(found, str):
            raise SharedError(found)
        return found

    def _origin(self, trainer: pl.Trainer, classifier: TextClassifier) -> dict[str, Any]:
        """What predictions depend on; the parts of a stopped prediction are used only if all of it is the same."""
        data, stream, options = self.data, self.stream, self.options
        read, path = data.read_options, Path(trainer.ckpt_path or "").expanduser()
        known = digest_of(path) if path.is_file() else classifier.origin
        self._can_resume = known is not None and self.path is not None
        return {
            "input": stream.digest, "logits": "raw",
            # Weights in memory cannot be recognized: no other prediction has this token.
            "checkpoint": known or secrets.token_hex(16),
            "calibration": classifier.calibration.to_dict(),
            "model options": {name: repr(value) for name, value in classifier.hparams.items()},
            "options": {
                **{name: value for name, value in data.hparams.items() if name != "positive_label"},
                "encoding": list(read.encodings), "delimiter": read.delimiter, "quote_char": read.quote_char,
                "eval_batch_size": data.eval_batch_size, "batch_by_length": data.batch_by_length,
                "pad_to_max_length": data.pad_to_max_length, "columns": [stream.columns.text, stream.columns.id],
                "with_logits": options.with_logits, "keep_columns": options.keep_columns,
                "output_encoding": options.output_encoding, "format": self.format.name,
                "threshold": classifier.thresholds, "min_score": options.min_score, "precision": str(trainer.precision),
                "device": trainer.strategy.root_device.type,
            },
            "versions": [__version__, str(torch.__version__), transformers.__version__],
        }  # fmt: skip

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        left = {index: self.parts.rows_of(index) for index in self._left}
        own = [rows for index, rows in left.items() if index % trainer.world_size == trainer.global_rank]
        self._progress = _Rows(self._progress_bar and trainer.is_global_zero)
        self._progress.start(sum(left.values()), sum(own))

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Takes a batch, and writes its part if that is complete."""
        assert isinstance(outputs, Prediction)
        index = int(batch["row"][0]) // self.parts.part_rows
        if "part" in batch:
            self._held[index] = _Held(batch["part"])
        held = self._held[index]
        self._progress.compute(len(outputs.row))
        if held.add(outputs.row.cpu().numpy(), outputs.logits.float().cpu().numpy()):
            self.parts.write(held.part, torch.from_numpy(held.logits(self.parts)))
            del self._held[index]
            self._progress.advance(len(held.part.rows))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Joins the parts on rank 0, when all ranks have written theirs."""
        assert isinstance(pl_module, TextClassifier)
        trainer.strategy.barrier("all parts are written")
        self._progress.stop()
        found: str | dict[str, float] = {}
        if trainer.is_global_zero:
            try:
                found = self._finish(pl_module)
            except UserError as error:
                found = str(error)
        self.metrics = self._agreed(trainer, found)

    def _finish(self, classifier: TextClassifier) -> dict[str, float]:
        tally = self.parts.merge()
        metrics = metrics_of([self.parts], classifier)
        self.parts.close(remove=not self._keeps_parts)
        self._say(tally, classifier, measured=bool(metrics))
        return metrics

    def _say(self, tally: Counter[str], classifier: TextClassifier, *, measured: bool) -> None:
        if classifier.thresholds is not None:
            note(f"predict: labels are assigned by threshold: {formatted(classifier.thresholds)}")
        for line in self.format.report(tally, measured=measured):
            note(f"predict: {line}")
        note(f"predict: {self.data.predict_report(tally)}; {self._progress.speed()}")
        if equal := tally["equal"]:
            note(f"predict: {plural(equal, 'row')} equal to another one, computed once")
        if empty := tally["empty_label_sets"]:
            note(f"predict: {plural(empty, 'row')} with an empty label set, which counts as a label set")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Keeps the parts of an unfinished prediction, with a note."""
        self._close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lets the data module predict all rows again."""
        self._close()

    def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._progress.stop()
        self.data.predict_parts(None)
        stopped = self.parts.is_open and self.parts.done
        self.parts.close(remove=not self._can_resume)
        if stopped and self.path is None:
            note("predict: stopped; nothing is kept, because standard output cannot be resumed: name a file")
        elif stopped and not self._can_resume:
            note("predict: stopped; nothing is kept, because weights in memory cannot be recognized: use ckpt_path")
        elif stopped:
            of = f"{self.parts.done:,} of {plural(self.parts.number, 'part')}"
            note(f"predict: kept {of} in {self.parts.folder}; run the same command to resume")


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


def metrics_of(predictions: Iterable[PredictionParts], classifier: TextClassifier) -> dict[str, float]:
    """The metrics of all rows of some predictions; none if a row has no label."""
    metrics, measured = classifier.stage_metrics("predict"), False
    metrics.reset()
    for logits, targets in chain.from_iterable(parts.measured() for parts in predictions):
        classifier.measure("predict", *(torch.from_numpy(values).to(classifier.device) for values in (logits, targets)))
        measured = True
    return metrics.compute(alone=True) if measured else {}


class _Held:
    """A part whose batches are being collected."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._wanted = len(part.computed)
        self._rows: list[np.ndarray] = []
        self._logits: list[np.ndarray] = []
        self._have = 0

    def add(self, row: np.ndarray, logits: np.ndarray) -> bool:
        """Takes a batch; whether the part is complete."""
        self._rows.append(row - self.part.start)
        self._logits.append(logits)
        self._have += len(row)
        return self._have == self._wanted

    def logits(self, parts: PredictionParts) -> np.ndarray:
        """The logits of all rows, float32 `(rows, outputs)`; those of equal texts come from earlier parts."""
        logits = np.concatenate(self._logits)
        of_row = np.empty((len(self.part.rows), logits.shape[1]), np.float32)
        of_row[np.concatenate(self._rows)] = logits
        for known, (part, row_of_part) in self.part.known.items():
            of_row[known] = parts.logits(part)[row_of_part]
        return np.asarray(of_row[self.part.taken])


class _Rows:
    """How far a prediction is: a bar, or a line whenever nothing was printed for a while; and the speed at the end."""

    def __init__(self, shown: bool) -> None:
        self._bar: Progress | None = None
        self._shown = shown
        self._total, self._started, self._seconds = 0, time.perf_counter(), 0.0
        self._own = self._written = self._computed = 0

    def start(self, total: int, own: int) -> None:
        """Starts the clock for `total` rows, of which this process predicts `own`."""
        self._started, self._total, self._own = time.perf_counter(), total, own
        if self._shown:
            columns = (TextColumn("predict"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(file=sys.stderr, force_terminal=True))
            self._bar.start()
            self._task = self._bar.add_task("predict", total=own)

    def compute(self, rows: int) -> None:
        """Counts rows of unfinished parts."""
        self._computed += rows
        if self._bar is None and long_quiet():
            done = self._written + self._computed
            speed = done / max(time.perf_counter() - self._started, 1e-9)
            left = duration((self._own - done) / max(speed, 1e-9))
            note(f"predict: {progress(done, self._own, 'row', speed)}; {left} left")

    def advance(self, rows: int) -> None:
        """Counts the rows of a finished part."""
        self._written, self._computed = self._written + rows, 0
        if self._bar is not None:
            self._bar.advance(self._task, rows)

    def stop(self) -> None:
        """Stops the clock and removes the bar."""
        self._seconds = self._seconds or time.perf_counter() - self._started
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def speed(self) -> str:
        """Rows and rows a second of all processes."""
        speed = self._total / max(self._seconds, 1e-9)
        return f"{plural(self._total, 'row')} in {self._seconds:.1f} s, {speed:,.0f} rows/s"


class _Speed(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s")
