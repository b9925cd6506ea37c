"""LightningCLI, assembled: parser, checkpoint, classes and callbacks; the rooms do the work."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import StrategyRegistry
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_textclf.check.quick import say_severe_findings
from lit_textclf.classifier.calibration import Calibration
from lit_textclf.classifier.checkpoint import CheckpointInfo, find_checkpoint, read_checkpoint
from lit_textclf.classifier.decisions import resolve_threshold
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.cli.engine import Engine, add_engine_options
from lit_textclf.cli.parser import Parser
from lit_textclf.cli.precedence import in_order_of_precedence
from lit_textclf.cli.sections import add_options
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.csv_files import write_evaluation, write_rows
from lit_textclf.evaluation.report.html import write_report
from lit_textclf.evaluation.report.tables import print_labels, print_table
from lit_textclf.training.callbacks.calibrate import Calibrate, say_calibration
from lit_textclf.training.callbacks.checkpoints import checkpoint_callbacks, written_checkpoints
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from lit_textclf.training.callbacks.fit_report import EpochReport, stage_metrics
from lit_textclf.training.callbacks.hf_evaluate import EvaluateMetrics
from lit_textclf.training.callbacks.progress_bar import Progress
from lit_textclf.training.callbacks.save_config import SaveRunConfig
from lit_textclf.training.callbacks.stop_and_resume import ReportStop
from lit_textclf.training.callbacks.tensorboard import ShowInTensorBoard
from lit_textclf.training.trainer import Trainer
from lit_textclf.utils.messages import UserError, did_you_mean, note
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import LOGS, folder_of, new_run_folder, write_metrics


def run(args: Sequence[str], callbacks: Sequence[Callback] = ()) -> tuple[dict[str, float], list[Path]]:
    """Runs `fit`, `validate`, `test` or `predict`.

    Args:
        args: the command and its options.
        callbacks: Lightning's, besides the tool's own.

    Returns:
        The metrics, and the files that were written.

    Raises:
        UserError: for anything wrong in options or files.
    """
    cli = TextCLI(args, callbacks)
    return cli.metrics, cli.written


class TrainerParser(Parser, LightningArgumentParser):
    """The parser that LightningCLI asks for."""


class TextCLI(LightningCLI):
    """The commands `fit`, `validate`, `test` and `predict`."""

    def __init__(self, args: Sequence[str], callbacks: Sequence[Callback] = ()) -> None:
        self.more_callbacks = callbacks
        self.command = args[0]
        self.metrics: dict[str, float] = {}
        self.written: list[Path] = []
        self.stored: CheckpointInfo | None = None
        self.folder: Path | None = None
        self.folder_is_new = False
        try:
            super().__init__(
                TextClassifier,
                TextDataModule,
                trainer_class=Trainer,
                parser_class=TrainerParser,
                seed_everything_default=42,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                save_config_callback=None,  # added with the run's folder, see instantiate_trainer
                args=list(args),
            )
        except Exception:
            self._remove_folder_of_nothing()
            raise

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one of Lightning's four that is run, for building a parser takes 0.15 s.

        Without what the tool decides itself: weights_only stays True.
        """
        skipped = {"weights_only", "verbose", "return_predictions", "dataloaders"}
        return {self.command: LightningCLI.subcommands()[self.command] | skipped}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of trainer, model and data."""
        add_options(parser)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of the engine and of thresholds, which all commands but `fit` have."""
        if self.command != "fit":
            add_engine_options(parser)
            parser.add_argument(
                "--threshold", type=float | Literal["best"] | dict[str, float] | None, default=None,
                help="with two labels the probability from which on the positive one is given, with label sets that of "
                "each label, or {label: probability}; best takes what the validation rows have shown",
            )  # fmt: skip

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses once to find the checkpoint, and again with the checkpoint's values as defaults."""
        command = args[0]
        known = [action.dest for action in self._subcommand_parsers[command]._actions]
        self.given = in_order_of_precedence(args, known)
        self._parse(parser)
        options = self.config[command]
        root = options.trainer.default_root_dir
        if options.ckpt_path is not None:
            self.refuse_checkpoint()
        self.engine = Engine.from_options(options)
        if self.engine is not None:
            self.stored = self.engine.stored
            self._parse_with(self.stored, parser, known)
            options = self.config[command]
            self.engine.take_over(options.trainer, self.given)
        elif options.ckpt_path is not None:
            path = find_checkpoint(options.ckpt_path, expand_path(root or ".", "trainer.default_root_dir"))
            self.stored = read_checkpoint(path)
            self._parse_with(self.stored, parser, known)
            options = self.config[command]
            options.ckpt_path = str(path)
        if root is not None:
            options.trainer.default_root_dir = str(expand_path(root, "trainer.default_root_dir"))
        if self.given.text is not None:
            if options.data.predict_file is not None:
                raise UserError("--text and data.predict_file are both given; use one")
            options.text = self.given.text

    def refuse_checkpoint(self) -> None:
        """Does nothing; a command that takes no checkpoint raises a UserError."""

    def _parse(self, parser: LightningArgumentParser) -> None:
        try:
            self.config = parser.parse_args(self.given.args)
        except UserError as error:
            key = str(error).partition(":")[0]
            file = self.given.files.get(key) if key not in self.given.keys else None
            raise UserError(f"{file}: {error}" if file else str(error)) from None

    def _parse_with(self, stored: CheckpointInfo, parser: LightningArgumentParser, known: list[str]) -> None:
        """Parses again on top of what a checkpoint carries, and refuses labels and tasks that contradict it."""
        data = {name: value for name, value in stored.data.items() if f"data.{name}" in known}
        defaults = {f"data.{name}": value for name, value in data.items()}
        defaults |= {f"model.{name}": value for name, value in stored.model.items() if f"model.{name}" in known}
        command = self.config.subcommand
        self._subcommand_parsers[command].set_defaults(defaults)
        self._parse(parser)
        tuned = {name: stored.model.get(name) for name in ("lora", "freeze", "layerwise_lr_decay")}
        for section, values in (("data", data), ("model", tuned)):
            options = self.config[command][section]
            for name, value in values.items():
                # A saved config's null means what it meant there; a null that was typed means null.
                if options.get(name) in (None, "auto") and f"{section}.{name}" not in self.given.keys:
                    options[name] = value
        options = self.config[command].data
        if conflict := stored.target.conflict(options.task, options.labels):
            raise UserError(f"{stored.path}: {conflict}")
        # It changes no prediction, only whose F1 is measured: here a flag may differ from the checkpoint.
        self.stored = replace(stored, target=replace(stored.target, positive_label=options.positive_label))

    def _parse_ckpt_path(self) -> None:
        """Does nothing in place of Lightning's: there the checkpoint's values beat config files and flags."""

    def instantiate_classes(self) -> None:
        """Makes classifier and data module with what the checkpoint carries, reads the rows, makes the trainer."""
        carried = self.stored.carried() if self.stored is not None else {}
        self.parser.add_instantiator(lambda cls, **options: cls(**options, **carried), TextClassifier, subclasses=False)
        self.config_init = self.parser.instantiate_classes(self.config)
        options = self.config_init[self.subcommand]
        self.model, self.datamodule = options.model, options.data
        if self.stored is not None:
            self.datamodule.use_checkpoint(
                self.stored.target, self.stored.trained_on, id_required=self.given.set_by_user("data.id_column")
            )
        if self.engine is not None:
            self.engine.attach_to(self.model)
        if self.stored is not None and (wanted := options.get("threshold")) is not None:
            self.model.thresholds = resolve_threshold(wanted, self.stored.target, self.model.calibration)
            if self.subcommand != "predict":
                note(f"{self.subcommand}: labels are given by thresholds ({self.model.thresholds}), not by what wins")
        self._check_command(options)
        if self.subcommand != "predict":  # which looks at its output file first
            self.prepare()
        self.trainer = self.instantiate_trainer()

    def prepare(self) -> None:
        """Reads the rows, whose mistakes then show before anything is written."""
        self.datamodule.prepare(self.subcommand, self.model)
        if self.subcommand == "fit" and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            say_severe_findings(self.datamodule)

    def _check_command(self, options: Any) -> None:
        """Finds what would fail late before anything is read."""
        trainer = options.trainer
        known = ["auto", *StrategyRegistry.available_strategies()]
        if isinstance(trainer.strategy, str) and trainer.strategy not in known:
            raise UserError(
                f"trainer.strategy: no strategy {trainer.strategy!r}{did_you_mean(trainer.strategy, known)}; "
                f"there are {', '.join(known)}"
            )
        if self.subcommand != "fit" and self.stored is None:
            raise UserError(
                f"{self.subcommand} needs --ckpt_path: a checkpoint, last or best (or --engine onnx --model_dir DIR)"
            )
        for name in (
            "accumulate_grad_batches", "val_check_interval", "check_val_every_n_epoch", "log_every_n_steps",
            "checkpoint_every_n_steps",
        ):  # fmt: skip
            if (value := trainer.get(name)) is not None and value <= 0:
                raise UserError(f"trainer.{name} {value}: more than 0 is needed")
        if trainer.gradient_clip_val is not None and trainer.gradient_clip_val < 0:
            raise UserError(f"trainer.gradient_clip_val {trainer.gradient_clip_val}: below 0; null clips nothing")
        limit = {"validate": "limit_val_batches", "test": "limit_test_batches", "predict": "limit_predict_batches"}
        used = [limit[self.subcommand]] if self.subcommand in limit else ["limit_train_batches", "limit_val_batches"]
        for name in used:
            value = trainer.get(name)
            if value in (None, 1.0) and not isinstance(value, int):
                continue
            if self.subcommand == "predict":
                raise UserError("trainer.limit_predict_batches would leave rows out; use data.max_predict_samples")
            if value == 0 and (self.subcommand in limit or name == "limit_train_batches"):
                raise UserError(f"trainer.{name} is 0: nothing would be done")
            note(f"trainer.{name} {value}: only a part of the rows is used")
        if self.subcommand == "predict":
            if trainer.fast_dev_run:
                raise UserError("trainer.fast_dev_run would leave rows out; use data.max_predict_samples")
            if options.text is None and not self.datamodule.has("predict"):
                raise UserError("predict needs rows: set --data.predict_file, or --text")
            if options.text is not None and self.datamodule.columns.text_pair is not None:
                raise UserError("--text is one text, and the checkpoint's model reads pairs; use --data.predict_file")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Makes the run's folder and the Trainer with our callbacks."""
        options = self.config_init[self.subcommand].trainer
        root = Path(options.default_root_dir or ".")
        progress = sys.stderr.isatty() and options.enable_progress_bar is not False
        callbacks: list[Callback] = [ReportStop(), *self.more_callbacks]
        kwargs["enable_progress_bar"] = progress
        self.collected = CollectOutcomes()
        if self.subcommand != "predict":
            callbacks += [self.collected, Calibrate(self.collected)]
            if entries := self.config[self.subcommand].metrics.evaluate:
                callbacks.append(EvaluateMetrics(entries))
        if self.subcommand == "predict":
            kwargs["logger"] = False
        elif not options.fast_dev_run:
            continued = None
            if self.subcommand == "fit" and self.stored is not None:
                continued = folder_of(self.stored.path, root)
                if continued is None:
                    note("this run has a new folder: best.ckpt and its metrics begin anew")
            self.folder, self.folder_is_new = continued or new_run_folder(root), continued is None
            parser = self._subcommand_parsers[self.config.subcommand]
            callbacks.append(SaveRunConfig(parser, self.config[self.subcommand], self.folder))
            if options.logger in (None, True) and not options.barebones:
                # Not Lightning's default of the same folder: that logs a metric called hp_metric, always -1.
                kwargs["logger"] = TensorBoardLogger(str(root), LOGS, self.folder.name, default_hp_metric=False)
        if self.subcommand == "fit":
            self.report = EpochReport(self.collected, continues=self.folder is not None and continued is not None)
            callbacks.append(self.report)
            if options.logger not in (False, []) and not options.barebones:
                callbacks.append(LearningRateMonitor("step"))
            if "validation" not in self.datamodule.rows:
                kwargs["limit_val_batches"] = 0  # said already; Lightning would warn of a loader of length 0
            if self.folder is not None and options.enable_checkpointing is not False and not options.barebones:
                validated = "validation" in self.datamodule.rows
                callbacks += checkpoint_callbacks(
                    self.folder, self.datamodule.target, validated=validated,
                    every_n_steps=options.checkpoint_every_n_steps,
                )  # fmt: skip
        else:
            kwargs["enable_checkpointing"] = False
        if progress:
            callbacks.append(Progress(self.report if self.subcommand == "fit" else None))
        if self.subcommand != "predict" and self.folder is not None:
            shown = self.config_init[self.subcommand].tensorboard
            report = self.report if self.subcommand == "fit" else None
            callbacks.append(ShowInTensorBoard(shown, self.collected, report, self.folder / "config.yaml"))
        return self._instantiate_trainer({**vars(options), **kwargs}, callbacks)  # type: ignore[return-value]

    def _remove_folder_of_nothing(self) -> None:
        """Removes the folder of a run that failed before its first step."""
        steps = self.trainer.global_step if hasattr(self, "trainer") else 0
        if self.folder_is_new and self.folder is not None and not steps:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # not empty: other runs
                self.folder.parent.rmdir()

    # Commands ---------------------------------------------------------------------------------------------------------

    def fit(self, **kwargs: Any) -> None:
        """Trains, and writes what there is to say of it."""
        self.trainer.fit(**kwargs)
        self.metrics = self.report.metrics(self.trainer)
        if not self.trainer.is_global_zero or self.folder is None:
            return
        if not self.report.rows:
            done = f"{self.trainer.current_epoch} of {self.trainer.max_epochs} epochs are done"
            note(f"nothing was trained: {done}; raise trainer.max_epochs to go on")
            self._remove_folder_of_nothing()
            return
        if "validation" in self.datamodule.rows:
            say_calibration(self.metrics, self.report.best_thresholds, len(self.datamodule.rows["validation"]))
        checkpoints = written_checkpoints(self.folder, validated="validation" in self.datamodule.rows)
        self.written += [*checkpoints, write_metrics(self.metrics, self.folder)]
        if (best := self.report.best_outcomes) is not None:
            calibration = Calibration(self.metrics.get("val_temperature", 1.0))
            write_rows(Evaluation.from_outcomes(best, calibration), self.folder)
        self._say_next(self.folder, checkpoints)

    def _say_next(self, folder: Path, checkpoints: list[Path]) -> None:
        if checkpoints:
            note(f"next: lit-textclf test --ckpt_path {checkpoints[0]} --data.test_file FILE")
        if self.trainer.logger is not None:
            note(f"next: tensorboard --logdir {folder.parent}")

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
        if not self.trainer.is_global_zero:
            return
        assert isinstance(self.trainer, Trainer)
        self.written.append(self.trainer.predicted_to)
        if self.metrics:
            print_table(self.metrics, f"predictions of {self._measured}")
        if self.engine is None:
            note(f"next: lit-textclf export --ckpt_path {self._measured} --output FOLDER")

    def _evaluated(self, prefix: str, split: str) -> None:
        self.metrics = stage_metrics(self.trainer, prefix)
        if not self.trainer.is_global_zero or self.folder is None:
            return
        self.written.append(write_metrics(self.metrics, self.folder))
        print_table(self.metrics, f"{split} of {self._measured}")
        if self.collected.outcomes is not None:
            self._look_at(self.collected.outcomes, self.folder)

    def _look_at(self, outcomes: Outcomes, folder: Path) -> None:
        """Writes and prints what single rows and labels say."""
        evaluation = Evaluation.from_outcomes(outcomes, self.model.calibration, self.model.thresholds)
        print_labels(evaluation)
        write_evaluation(evaluation, folder)
        report = write_report(evaluation, self.metrics, folder, str(self._measured))
        self.written.append(report)
        if self.engine is None:
            note(f"next: lit-textclf predict --ckpt_path {self._measured} --data.predict_file FILE --output FILE.csv")
        note(f"next: open {report} in a browser")

    @property
    def _measured(self) -> Path | None:
        """The checkpoint, or the ONNX model, that was used."""
        return None if self.stored is None else self.stored.path
