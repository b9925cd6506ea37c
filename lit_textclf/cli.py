"""LightningCLI, assembled: parser, checkpoint, classes and callbacks; the rooms do the work."""

from __future__ import annotations

import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException

from lit_textclf.checkpoint import StoredRun, find_checkpoint, read_checkpoint
from lit_textclf.classifier import TextClassifier
from lit_textclf.command_line import in_order_of_precedence
from lit_textclf.data import TextDataModule
from lit_textclf.errors import UserError, nearest, say
from lit_textclf.reports import FitReport, SayStopped, print_table, same_as_last, stage_metrics, write_metrics
from lit_textclf.trainer import Trainer

NOT_OPTIONS = {"target", "architecture", "tokenizer"}
"""Arguments of the classes that only Python and checkpoints set."""

IGNORED_WARNINGS = (
    # jsonargparse 4.53 with lightning 2.6.6: four blocks at every start, about names that Lightning uses.
    r"(?s)\s*.*(was deprecated in v4\.|JsonargparseDeprecationWarning).*",
    # Workers are an option, data.num_workers: rows are cut from a memory-mapped file, and 0 is fastest on few cores.
    r".*does not have many workers.*",
    # torch.utils._pytree, called by Lightning 2.6.6 (Lightning-AI/pytorch-lightning#21240).
    r".*LeafSpec.*is deprecated.*",
    # Only fit needs them: the same callbacks as in training, and their folder.
    r".*callbacks used to create the checkpoint need to be provided.*",
    # Where no validation took place; said once more at the end, with what best.ckpt is then.
    r".*could not find the monitored key in the returned metrics.*",
    # A run that continues in its own folder finds the folder's files there.
    r".*Checkpoint directory .* exists and is not empty.*",
    # Short runs log fewer points than trainer.log_every_n_steps.
    r".*number of training batches .* is smaller than the logging interval.*",
    # mmap'ed token ids are read-only; every batch copies them.
    r".*given NumPy array is not writable.*",
)


class Parser(LightningArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raises the message as a UserError, with the nearest option where one was mistyped."""
        raise UserError(_one_line(message, [action.dest for action in self._actions]))


class TextCLI(LightningCLI):
    """The commands `fit`, `validate`, `test` and `predict`."""

    def __init__(self, args: Sequence[str]) -> None:
        self.metrics: dict[str, float] = {}
        self.written: list[Path] = []
        self.stored: StoredRun | None = None
        super().__init__(
            TextClassifier,
            TextDataModule,
            trainer_class=Trainer,
            parser_class=Parser,
            seed_everything_default=42,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None if args[0] == "predict" else SaveConfigCallback,
            save_config_kwargs={"overwrite": True},  # a run that continues in its folder finds its own
            args=list(args),
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's four, without what the tool decides itself: weights_only stays True."""
        skipped = {"weights_only", "verbose", "return_predictions", "dataloaders"}
        return {name: skip | skipped for name, skip in LightningCLI.subcommands().items()}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of trainer, model and data."""
        parser.add_lightning_class_args(Trainer, "trainer")
        parser.add_class_arguments(TextClassifier, "model", skip=NOT_OPTIONS, sub_configs=False)
        parser.add_class_arguments(TextDataModule, "data", skip=NOT_OPTIONS, sub_configs=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses once to find the checkpoint, and again with the checkpoint's values as defaults."""
        command = args[0]
        known = [action.dest for action in self._subcommand_parsers[command]._actions]
        ordered = in_order_of_precedence(args, known)
        self.config = parser.parse_args(ordered)
        options = self.config[command]
        if options.ckpt_path is None:
            return
        path = find_checkpoint(options.ckpt_path, Path(options.trainer.default_root_dir or "."))
        self.stored = read_checkpoint(path)
        defaults = {
            **{f"model.{name}": value for name, value in self.stored.model.items()},
            **{f"data.{name}": value for name, value in self.stored.data.items()},
        }
        self._subcommand_parsers[command].set_defaults({key: defaults[key] for key in defaults if key in known})
        self.config = parser.parse_args(ordered)
        options = self.config[command]
        options.ckpt_path = str(path)
        for name, value in self.stored.data.items():
            if options.data.get(name) in (None, "auto"):  # a saved config's null means what it meant there
                options.data[name] = value
        if conflict := self.stored.target.conflict(options.data.task, options.data.labels):
            raise UserError(f"{path}: {conflict}")
        # It changes no prediction, only whose F1 is measured: here a flag may differ from the checkpoint.
        target = replace(self.stored.target, positive_label=options.data.positive_label)
        self.stored = replace(self.stored, target=target)

    def _parse_ckpt_path(self) -> None:
        """Does nothing in place of Lightning's: there the checkpoint's values beat config files and flags."""

    def instantiate_classes(self) -> None:
        """Makes classifier and data module, with what the checkpoint carries, then the trainer."""
        carried = self.stored.carried() if self.stored is not None else {}
        self.parser.add_instantiator(lambda cls, **options: cls(**options, **carried), TextClassifier, subclasses=False)
        self.config_init = self.parser.instantiate_classes(self.config)
        options = self.config_init[self.subcommand]
        self.model, self.datamodule = options.model, options.data
        self.datamodule.target = self.model.target
        self._check_command(options)
        self.trainer = self.instantiate_trainer()

    def _check_command(self, options: Any) -> None:
        """Finds what would fail late before anything is read."""
        strategy = options.trainer.strategy
        known = ["auto", *StrategyRegistry.available_strategies()]
        if isinstance(strategy, str) and strategy not in known:
            raise UserError(
                f"trainer.strategy: no strategy {strategy!r}{nearest(strategy, known)}; there are {', '.join(known)}"
            )
        if self.subcommand != "predict":
            _check_folder(Path(options.trainer.default_root_dir or "."))
        if self.subcommand != "fit" and self.stored is None:
            raise UserError(f"{self.subcommand} needs --ckpt_path: a checkpoint, last or best")
        if self.subcommand == "predict":
            if options.text is None and not self.datamodule._has("predict"):
                raise UserError("predict needs rows: set --data.predict_file, or --text")
            if options.text is not None and self.datamodule.columns.text_pair is not None:
                raise UserError("--text is one text, and the checkpoint's model reads pairs; use --data.predict_file")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Reads the rows, which decides what is monitored, and makes the Trainer with our callbacks."""
        trainer = self.config_init[self.subcommand].trainer
        root = trainer.default_root_dir or "."
        callbacks: list[Callback] = [SayStopped()]
        progress = sys.stderr.isatty() and trainer.enable_progress_bar is not False
        if progress:
            callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
        if self.subcommand == "fit":
            self.datamodule.read("fit")
            callbacks += self._fit_callbacks(trainer, quiet=progress)
        if self.subcommand == "predict":
            kwargs["logger"] = False
        elif trainer.logger in (None, True):
            # Not Lightning's default of the same folder: that logs a metric called hp_metric, always -1.
            kwargs["logger"] = TensorBoardLogger(
                root, name="lightning_logs", version=self._continued_version(root), default_hp_metric=False
            )
        if self.subcommand != "fit":
            kwargs["enable_checkpointing"] = False
        elif "validation" not in self.datamodule.rows:
            kwargs["limit_val_batches"] = 0  # said already; Lightning would warn of a loader of length 0
        kwargs["enable_progress_bar"] = progress
        config = {**vars(trainer), **kwargs}
        try:
            return self._instantiate_trainer(config, callbacks)  # type: ignore[return-value]
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise UserError(f"trainer: {error}") from None

    def _fit_callbacks(self, trainer: Any, *, quiet: bool) -> list[Callback]:
        assert self.datamodule.target is not None
        self.report = FitReport(quiet=quiet)
        callbacks: list[Callback] = [self.report]
        if trainer.logger is not False:
            callbacks.append(LearningRateMonitor("step"))
        self.checkpoints: dict[str, ModelCheckpoint] = {}
        if trainer.enable_checkpointing is not False and not trainer.fast_dev_run:
            monitor, mode = self.datamodule.target.monitor
            # Without a logger Lightning would write to the same folder again and again, over the last run's.
            root = trainer.default_root_dir or "."
            own = TensorBoardLogger(root, name="lightning_logs").log_dir if trainer.logger is False else None
            common: dict[str, Any] = {
                "dirpath": Path(own, "checkpoints") if own else None, "enable_version_counter": False,
            }  # fmt: skip
            self.checkpoints["last"] = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **common)
            if "validation" in self.datamodule.rows:
                self.checkpoints["best"] = ModelCheckpoint(filename="best", monitor=monitor, mode=mode, **common)
            callbacks += self.checkpoints.values()
        return callbacks

    def _continued_version(self, root: str) -> str | None:
        """The run's own folder, where `fit` goes on from its last checkpoint."""
        if self.subcommand != "fit" or self.stored is None or self.stored.path.name != "last.ckpt":
            return None
        run = self.stored.path.resolve().parent.parent
        return run.name if run.parent == (Path(root) / "lightning_logs").resolve() else None

    # Commands ---------------------------------------------------------------------------------------------------------

    def fit(self, **kwargs: Any) -> None:
        """Trains, and writes what there is to say of it."""
        self.trainer.fit(**kwargs)
        folder = self.trainer.log_dir  # a collective call: every rank asks
        if not self.trainer.is_global_zero or self.config[self.subcommand].trainer.fast_dev_run:
            return
        last = self.checkpoints.get("last")
        if last is not None and last.best_model_path:
            path = Path(last.best_model_path)
            best = path.with_name("best.ckpt")
            folder = str(path.parent.parent)
            if not best.exists():
                if "best" in self.checkpoints:
                    say("no validation took place: best.ckpt is the same as last.ckpt")
                same_as_last(best, path)
            self.written += [best, path]
        self.metrics = self.report.metrics(self.trainer)
        self._write_metrics(folder)
        if last is not None and self.written:
            say(f"next: lit-textclf test --ckpt_path {self.written[0]} --data.test_file FILE")
        if folder is not None and self.trainer.logger is not None:
            say(f"next: tensorboard --logdir {Path(folder).parent}")

    def validate(self, **kwargs: Any) -> None:
        """Measures on the validation rows."""
        self.trainer.validate(**kwargs, verbose=False)
        self._evaluated("val_", "validation")

    def test(self, **kwargs: Any) -> None:
        """Measures on the test rows."""
        self.trainer.test(**kwargs, verbose=False)
        self._evaluated("test_", "test")

    def predict(self, **kwargs: Any) -> None:
        """Predicts to CSV."""
        self.metrics = self.trainer.predict(**kwargs)  # type: ignore[assignment]
        if self.metrics:
            print_table(self.metrics, f"predictions of {kwargs['ckpt_path']}")
        self.written.append(Path(kwargs["output"]))

    def _evaluated(self, prefix: str, split: str) -> None:
        self.metrics = stage_metrics(self.trainer, prefix)
        folder = self.trainer.log_dir
        if self.trainer.is_global_zero:
            print_table(self.metrics, f"{split} of {self.config[self.subcommand].ckpt_path}")
            self._write_metrics(folder)

    def _write_metrics(self, folder: str | None) -> None:
        if folder is not None:
            self.written.append(write_metrics(self.metrics, Path(folder)))


def run(args: Sequence[str]) -> dict[str, float]:
    """Runs one command in this process; see :func:`lit_textclf.main`."""
    from transformers.utils import logging as transformers_logging

    # Their progress bars and reports are in our lines already, with what matters counted.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for pattern in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message=pattern)
        try:
            cli = TextCLI(args)
        except SIGTERMException:  # a SystemExit of Lightning's, with the exit code of success
            raise SystemExit(1) from None
        finally:
            # Lightning leaves the group open, and gloo's threads may then abort the process at its exit.
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
    if cli.written:
        print(f"wrote {' '.join(map(str, cli.written))}")
    return cli.metrics


def _check_folder(folder: Path) -> None:
    """Makes the folder of the runs.

    Raises:
        UserError: if it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); change trainer.default_root_dir") from None


def _one_line(message: str, known: list[str]) -> str:
    """Turns a parser's paragraph into a line: the key, the value and what was expected."""
    if match := re.search(r"[Uu]nrecognized arguments: *--([\w.]+)", message):
        return f"no option --{match[1]}{nearest(match[1], known)}"
    key = re.search(r'(?:Parser key|[Kk]ey) "?([\w.]+)"?', message)
    value = re.search(r"(?:Given value|Got value): (.*)", message)
    expected = re.findall(r"Expected an? (.*?)(?:\. Got|$)", message, re.MULTILINE)
    if key and expected:
        names = [re.sub(r"<class '(.*?)'>|typing\.", r"\1", name) for name in dict.fromkeys(expected)]
        names = ["null" if name == "NoneType" else name for name in names]
        names = [re.sub(r"^Literal\[(.*)\]$", r"one of \1", name) for name in names]
        return f"{key[1]}: {value[1] if value else 'this'} is not {' or '.join(names)}"
    return message
