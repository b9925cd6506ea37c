"""Runs of ONNX Runtime on numpy alone: what `predict`, `validate` and `test --engine onnx` have in common."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

from lit_textclf.classifier.inference.calibration import resolve_threshold
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.classifier.metrics.arrays import ArrayMetrics
from lit_textclf.cli.commands import may_be_onnx
from lit_textclf.cli.engine import Engine, add_engine_options, carried_data, fill_in
from lit_textclf.cli.parser import Parser, add_data_options
from lit_textclf.cli.precedence import Arguments, in_order_of_precedence
from lit_textclf.data.batches.padding import Padder
from lit_textclf.data.encoded_data import EncodedData
from lit_textclf.export.load import OnnxClassifier
from lit_textclf.training.config import TensorBoardOptions
from lit_textclf.utils.imports.arrow import leave_out_pandas
from lit_textclf.utils.imports.collection import without_collection
from lit_textclf.utils.messages import UserError, note

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


class PlainRun(ABC):
    """A run of ONNX Runtime without torch, Lightning and transformers.

    Args:
        engine: the session and what is stored beside the model.
        typed: where the options come from.
        parser: which gets a checkpoint's values as defaults.

    Attributes:
        prefix: goes before the names of metrics.
        stored: what the model's folder carries; with the positive label of the options once they are read.
    """

    prefix: ClassVar[str]

    def __init__(self, engine: Engine, typed: Arguments, parser: Parser) -> None:
        self.engine, self.typed, self.parser, self.stored = engine, typed, parser, engine.stored

    @classmethod
    def of(cls, args: Sequence[str]) -> Self | None:
        """The run that is typed; None if it needs Lightning.

        That is so without `--engine onnx`, with options that mean something to Lightning alone, and with metrics of
        torchmetrics (`model.metrics`). Lightning's parser also explains mistakes, as it knows all options.

        Raises:
            UserError: if something is wrong with the options, and torch is not installed.
        """
        if not may_be_onnx(args):
            return None
        found = importlib.util.find_spec("torch")
        parser, has_torch = cls._parser(), found is not None and found.origin is not None  # a folder has no origin
        try:
            typed = in_order_of_precedence(args, parser.option_keys)
            options = parser.parse_args(typed.args[1:])
        except UserError as error:
            if has_torch:
                return None
            raise UserError(f"{error} (torch, which has more options, is not installed)") from None
        if options.engine != "onnx" or not cls.suits(options, has_torch=has_torch):
            return None
        engine = Engine.from_options(options)
        assert engine is not None
        if metrics := engine.stored.model.get("metrics"):
            if has_torch:
                return None
            note(f"model.metrics {', '.join(metrics)}: not measured, because torch is not installed")
        return cls(engine, typed, parser)

    @abstractmethod
    def run(self) -> tuple[dict[str, float], list[Path]]:
        """The metrics, and the files that were written."""

    @classmethod
    @abstractmethod
    def suits(cls, options: Any, *, has_torch: bool) -> bool:
        """Whether the options ask for nothing that only Lightning has."""

    @classmethod
    def _parser(cls) -> Parser:
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
        cls.add_own_options(parser)
        return parser

    @staticmethod
    @abstractmethod
    def add_own_options(parser: Parser) -> None:
        """Adds the options of the command."""

    def options(self) -> Any:
        """The options, with the values of the model's folder where they leave something open."""
        data_options = carried_data(self.engine.stored, self.parser.option_keys)
        self.parser.set_defaults({f"data.{name}": value for name, value in data_options.items()})
        options = self.parser.parse_args(self.typed.args[1:])
        self.stored = fill_in(options, self.stored, {"data": data_options}, self.typed)
        return options

    def start(self, options: Any) -> tuple[EncodedData, OnnxClassifier]:
        """The data, whose rows are not read yet, and the model."""
        if options.data.readers is None:  # which may read with pandas
            leave_out_pandas()
        engine, stored = self.engine, self.stored
        data = EncodedData(**options.data.as_dict())
        data.use_checkpoint(stored.target, stored.trained_on, id_required=self.typed.set_by_user("data.id_column"))
        model = OnnxClassifier(stored, engine.execution_provider)
        model.trained_with = {}  # the options of data have it
        engine.note()
        if data.num_workers:
            note(f"data.num_workers {data.num_workers} is ignored: --engine onnx reads rows without other processes")
        model.thresholds = resolve_threshold(options.threshold, stored.target, stored.calibration.thresholds)
        return data, model

    def measured(self, model: OnnxClassifier, found: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """The metrics of raw logits and targets."""
        target = model.target
        assert target is not None
        metrics = ArrayMetrics(target, self.prefix)
        for logits, targets in found:
            decided = None
            if model.thresholds is not None:
                decided = decisions_of(target).decide(target, model.calibration.apply(logits), model.thresholds)
            metrics.update(logits, targets, decided)
        return metrics.compute()


def run_plain_or_with_lightning(
    kind: type[PlainRun], args: Sequence[str], callbacks: Sequence[Callback]
) -> tuple[dict[str, float], list[Path]]:
    """Runs a command, with Lightning only where it is needed; returns the metrics, and the files that were written."""
    if not callbacks and (plain := kind.of(args)) is not None:
        return plain.run()
    with without_collection():
        from lit_textclf.cli.lightning_process import lightning_process

    with lightning_process():
        with without_collection():
            from lit_textclf.cli.lightning_cli import run

        return run(args, callbacks)


def padder_of(data: EncodedData) -> Padder:
    """What pads the rows of data into batches."""
    pad_to = data.max_length if data.pad_to_max_length else None
    return Padder(data.tokenizer, pad_to, windows=data.long_text.mode == "window")


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
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
