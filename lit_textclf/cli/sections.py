"""The options of each section of a config: trainer, model, data, tensorboard, metrics."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from jsonargparse import ArgumentParser

from lit_textclf.classifier.module import TextClassifier
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.prediction.options import PredictOptions
from lit_textclf.prediction.writer import PredictionWriter
from lit_textclf.training.callbacks.tensorboard import TensorBoardOptions
from lit_textclf.training.trainer import Trainer

NOT_OPTIONS = {"target", "calibration", "architecture", "tokenizer"}
"""Arguments of the classes that are not options: only Python code and checkpoints set them."""


def writer_of(options: Any, *, progress_bar: bool) -> PredictionWriter:
    """The callback of `predict`, with the command's options."""
    names = (field.name for field in fields(PredictOptions) if field.name != "text")
    return PredictionWriter(**{name: options[name] for name in names}, progress_bar=progress_bar)


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of trainer, model, data, TensorBoard and metrics."""
    parser.add_class_arguments(Trainer, "trainer", fail_untyped=False, instantiate=False, sub_configs=True)
    parser.add_class_arguments(TextClassifier, "model", skip=NOT_OPTIONS, sub_configs=False)
    parser.add_class_arguments(TextDataModule, "data", skip=NOT_OPTIONS, sub_configs=False)
    parser.add_class_arguments(TensorBoardOptions, "tensorboard")
    parser.add_argument(
        "--metrics.evaluate", type=list[str | dict[str, Any]] | None, default=None,
        help="metrics of the `evaluate` library: a folder or file with a script, a name on the Hub, or a mapping with "
        "one of these as path and the script's arguments; predict does not use them",
    )  # fmt: skip
    parser.add_argument(
        "--metrics.baseline", type=bool, default=True,
        help="when fit ends, compare it with the most frequent label (or the mean), a linear model of words and one of "
        "the frozen encoder on the validation rows; the other commands do not use it",
    )  # fmt: skip
