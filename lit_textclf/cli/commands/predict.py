"""The command `predict`: with ONNX Runtime on numpy alone, otherwise through Lightning's Trainer."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from lit_textclf.classifier.inference.calibration import resolve_threshold
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.classifier.metrics.arrays import ArrayMetrics
from lit_textclf.cli.engine import (
    Engine,
    add_engine_options,
    carried_data,
    check_predict_input,
    fill_in,
    refuse_text_and_file,
)
from lit_textclf.cli.parser import Parser, add_data_options
from lit_textclf.cli.precedence import Arguments, in_order_of_precedence
from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.data.batches.padding import Padder
from lit_textclf.data.batches.parts import PartBatches, part_rows_for
from lit_textclf.data.encoded_data import EncodedData
from lit_textclf.export.load import OnnxClassifier
from lit_textclf.prediction.folder import write_files
from lit_textclf.prediction.formats import FORMATS
from lit_textclf.prediction.options import PredictOptions, written_as
from lit_textclf.prediction.writing.job import PredictionJob
from lit_textclf.training.config import TensorBoardOptions
from lit_textclf.utils.imports.arrow import leave_out_pandas
from lit_textclf.utils.messages import ENVIRONMENT_PREFIX, UserError, note

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


def predict(args: Sequence[str], callbacks: Sequence[Callback] = ()) -> tuple[dict[str, float], list[Path]]:
    """Writes predictions; returns the metrics, if all rows have labels, and the files that were written."""
    if not callbacks and (plain := PlainPrediction.of(args)) is not None:
        return plain.run()
    from lit_textclf.cli.lightning_process import lightning_process

    with lightning_process():
        from lit_textclf.cli.lightning_cli import run

        return run(args, callbacks)


class PlainPrediction:
    """A prediction by ONNX Runtime without torch, Lightning and transformers.

    Args:
        engine: the session and what is stored beside the model.
        typed: where the options come from.
        parser: which gets a checkpoint's values as defaults.
    """

    def __init__(self, engine: Engine, typed: Arguments, parser: Parser) -> None:
        self.engine, self.typed, self.parser = engine, typed, parser

    @classmethod
    def of(cls, args: Sequence[str]) -> PlainPrediction | None:
        """The prediction that is typed; None if it needs Lightning.

        That is so without `--engine onnx`, with options that mean something to Lightning alone, and with metrics of
        torchmetrics (`model.metrics`). Lightning's parser also explains mistakes, as it knows all options.

        Raises:
            UserError: if something is wrong with the options, and torch is not installed.
        """
        if not _may_be_onnx(args):
            return None
        parser, has_torch = _parser(), importlib.util.find_spec("torch") is not None
        try:
            typed = in_order_of_precedence(args, parser.option_keys)
            options = parser.parse_args(typed.args[1:])
        except UserError as error:
            if has_torch:
                return None
            raise UserError(f"{error} (torch, which has more options, is not installed)") from None
        if options.engine != "onnx" or options.format not in FORMATS:
            return None
        engine = Engine.from_options(options)
        assert engine is not None
        if metrics := engine.stored.model.get("metrics"):
            if has_torch:
                return None
            note(f"model.metrics {', '.join(metrics)}: not measured, because torch is not installed")
        return cls(engine, typed, parser)

    def run(self) -> tuple[dict[str, float], list[Path]]:
        """Writes the predictions; see :func:`predict`."""
        engine = self.engine
        data_options = carried_data(engine.stored, self.parser.option_keys)
        self.parser.set_defaults({f"data.{name}": value for name, value in data_options.items()})
        options = self.parser.parse_args(self.typed.args[1:])
        if options.data.readers is None:  # which may read with pandas
            leave_out_pandas()
        stored = fill_in(options, engine.stored, {"data": data_options}, self.typed)
        refuse_text_and_file(self.typed.text, options.data)
        data = EncodedData(**options.data.as_dict())
        data.use_checkpoint(stored.target, stored.trained_on, id_required=self.typed.set_by_user("data.id_column"))
        model = OnnxClassifier(stored, engine.execution_provider)
        model.trained_with = {}  # the options of data have it
        engine.note()
        if data.num_workers:
            note(f"data.num_workers {data.num_workers} is ignored: --engine onnx reads rows without other processes")
        model.thresholds = resolve_threshold(options.threshold, stored.target, stored.calibration.thresholds)
        check_predict_input(self.typed.text, data)
        wanted = options.trainer.enable_progress_bar
        job = PredictionJob(
            PredictOptions(**written_as(options)),
            progress_bar=sys.stderr.isatty() if wanted is None else wanted,
        )
        with _stopped_by_sigterm():
            measure = partial(_measured, model)
            written, metrics, files = write_files(job, data, partial(_predict, job, data, model, engine), measure)
        if metrics:
            from lit_textclf.evaluation.report.tables import print_table

            file = sys.stderr if job.path is None else sys.stdout  # which has the predictions
            print_table(metrics, f"predictions of {stored.path}{files}", file)
        return metrics, written


def _may_be_onnx(args: Sequence[str]) -> bool:
    """Whether the arguments, the environment or a config mention ONNX: all others need not wait for a parser."""
    ours = [value for name, value in os.environ.items() if name.startswith(ENVIRONMENT_PREFIX)]
    words = [word for argument in (*args, *ours) for word in (argument, argument.partition("=")[2])]
    if any("onnx" in word for word in words):
        return True
    for word in words:
        if word.endswith((".yaml", ".yml", ".json")):
            with contextlib.suppress(OSError, ValueError):
                if "onnx" in Path(word).expanduser().read_text(encoding="utf-8"):
                    return True
    return False


def _parser() -> Parser:
    """A parser of the options that this engine uses."""
    parser = Parser(add_help=False, print_config=None)
    parser.add_argument("--config", "-c", action=ActionConfigFile)
    parser.add_argument("--seed_everything", type=bool | int, default=42)
    parser.add_argument("--ckpt_path", type=str | None, default=None)
    parser.add_argument("--trainer.default_root_dir", type=str | None, default=None)
    parser.add_argument("--trainer.enable_progress_bar", type=bool | None, default=None)
    parser.add_class_arguments(TensorBoardOptions, "tensorboard")  # which configs of all commands have
    add_data_options(parser, EncodedData)
    add_engine_options(parser)
    parser.add_class_arguments(PredictOptions)
    return parser


def _predict(job: PredictionJob, data: EncodedData, model: OnnxClassifier, engine: Engine) -> None:
    """Predicts the rows of the data to the job's file."""
    job.open(model, data)
    try:
        origin = job.origin(
            model, options=engine.stored.model, known=engine.digest, precision="32-true", device="cpu",
            versions=[f"{name} {importlib.metadata.version(name)}" for name in ("onnxruntime", "tokenizers")],
        )  # fmt: skip
        job.left = job.parts.open(origin, part_rows_for(job.stream.total, data.eval_batch_size, 1))
        job.start(job.left)
        for batch in _batches(job, data):
            job.take(batch["row"], model.logits_of(batch), batch.get("part"), as_given=np.asarray)
        job.stop_clock()
        job.metrics = job.finish(model, partial(_measured, model))
    finally:
        job.close()


def _batches(job: PredictionJob, data: EncodedData) -> PartBatches:
    """The batches of the parts that are left, as those of :meth:`TextDataModule.predict_dataloader`."""
    assert data.target is not None
    encode = partial(TokenizedDataset, tokenizer=data.tokenizer, max_length=data.max_length, long_text=data.long_text)
    pad_to = data.max_length if data.pad_to_max_length else None
    padder = Padder(data.tokenizer, pad_to, windows=data.long_text.mode == "window")
    return PartBatches(
        job.stream, data.target, encode, padder.pad, data.eval_batch_size, data.batch_by_length, data.batch_by_length,
        job.parts.part_rows, range(job.parts.number), set(job.left),
    )  # fmt: skip


def _measured(model: OnnxClassifier, found: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The metrics of a classifier for `predict`."""
    target = model.target
    assert target is not None
    metrics = ArrayMetrics(target, "predict_")
    for logits, targets in found:
        decided = None
        if model.thresholds is not None:
            decided = decisions_of(target).decide(target, model.calibration.apply(logits), model.thresholds)
        metrics.update(logits, targets, decided)
    return metrics.compute()


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Ends the command with code 1 on SIGTERM, as Lightning does, so that it reports what it keeps."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise SystemExit(1)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
