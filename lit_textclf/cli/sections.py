"""The options of each section of a config: trainer, model, data, tensorboard, metrics."""

from __future__ import annotations

from types import NoneType
from typing import Any

from jsonargparse import ArgumentParser

from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.options import CARRIED, CLASSES
from lit_textclf.cli.parser import Parser, add_data_options, built_once, config_parser
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.prediction.options import written_as
from lit_textclf.prediction.writer import PredictionWriter
from lit_textclf.training.callbacks.tensorboard import TensorBoardOptions
from lit_textclf.training.trainer import Trainer
from lit_textclf.utils.class_path import is_class_path

NOT_OPTIONS = set(CARRIED)
"""Arguments of the classes that are not options: only Python code and checkpoints set them."""


def writer_of(options: Any, *, progress_bar: bool) -> PredictionWriter:
    """The callback of `predict`, with the command's options."""
    return PredictionWriter(**written_as(options), progress_bar=progress_bar)


def names_a_class(options: Any) -> bool:
    """Whether options name code that is not this tool's own: a class, a metric, a data set's loader."""
    given = [options.data.readers, options.data.sampler, options.metrics.evaluate, options.get("format")]
    given += [options.trainer[name] for name in ("callbacks", "logger", "plugins", "profiler", "strategy")]
    given += [options.model[name] for name in (*CLASSES, "metrics")]
    own = (isinstance(value, (str, bool, NoneType)) and not is_class_path(value) for value in given)
    return options.data.dataset_name is not None or not all(own)


_TRAINING = ("fit", "cross_validate", "baseline", "check", "init")
_USUAL = (
    ("--data.train_file FILE", "the rows to train on: .csv, .tsv, .jsonl, .parquet, ...", _TRAINING),
    ("--data.text_column NAME", "the column with the texts", _TRAINING),
    ("--data.label_column NAME", "the column with the labels", _TRAINING),
    ("--data.validation_split 0.1", "the share held out, or --data.validation_file FILE", ("fit", "baseline")),
    ("--data.folds 5", "the parts that are held out in turn", ("cross_validate",)),
    ("--model.model_name_or_path NAME", "a folder, or a name on the Hub", _TRAINING),
    ("--trainer.max_epochs 3", "the passes through the training rows", ("fit", "cross_validate")),
    ("--ckpt_path best", "the checkpoint: best, last or a file", ("validate", "test", "predict")),
    ("--data.validation_file FILE", "the rows to measure it on", ("validate",)),
    ("--data.test_file FILE", "the rows to measure it on", ("test",)),
    ("--data.predict_file FILE", "the rows to predict, or --text TEXT", ("predict",)),
    ("--output FILE", "the file to write", ("predict", "cross_validate", "init")),
)
"""Options that most runs set, with the commands that have them, for the beginning of `--help`."""


def _usage_of(command: str) -> str:
    """What `--help` begins with: how the command is called, and the options that most runs set."""
    usual = [f"  {option:<33}{text}" for option, text, commands in _USUAL if command in commands]
    call = f"lit-textclf {command} [--config FILE.yaml] [--OPTION VALUE ...]"
    return "\n".join([call, "", "what most runs set:", *usual, "", "all options:"])


def add_options(parser: ArgumentParser, command: str) -> None:
    """Adds the options of trainer, model, data, TensorBoard and metrics, and a short beginning of the help."""
    parser.usage = _usage_of(command)
    parser.add_class_arguments(Trainer, "trainer", fail_untyped=False, instantiate=False, sub_configs=True)
    parser.add_class_arguments(TextClassifier, "model", skip=NOT_OPTIONS, sub_configs=False)
    add_data_options(parser, TextDataModule)
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


@built_once
def parser_of(command: str, description: str) -> Parser:
    """The complete parser of a command besides those of Lightning's CLI, which accepts configs of `fit`."""
    parser = config_parser(prog=f"lit-textclf {command}", description=description)
    add_options(parser, command)
    return parser
