"""Lightning's CLI with our parser, checkpoints and callbacks: `fit`, `validate`, `test` and `predict`."""

from __future__ import annotations

import contextlib
import copy
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from lit_textclf.check.quick import report_severe_findings
from lit_textclf.classifier.checkpoint import find_checkpoint, read_checkpoint
from lit_textclf.classifier.inference.calibration import formatted, resolve_threshold
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.options import CLASSES
from lit_textclf.cli.baselines import CompareWithBaselines
from lit_textclf.cli.engine import (
    Engine,
    add_engine_options,
    carried_data,
    check_rows_or_text,
    fill_in,
    refuse_text_and_file,
)
from lit_textclf.cli.few_rows import cross_validation_of
from lit_textclf.cli.parser import Parser
from lit_textclf.cli.precedence import in_order_of_precedence
from lit_textclf.cli.sections import add_options, names_a_class, writer_of
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.evaluation.report.csv_files import write_evaluation, write_outcomes
from lit_textclf.evaluation.report.html import write_report
from lit_textclf.evaluation.report.results import show_and_write
from lit_textclf.evaluation.report.tables import print_table
from lit_textclf.prediction.options import PredictOptions
from lit_textclf.prediction.writer import write_predictions
from lit_textclf.training.callbacks.calibrate import Calibrate, note_calibration
from lit_textclf.training.callbacks.checkpoints import checkpoint_callbacks, written_checkpoints
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes, MeasureProbe
from lit_textclf.training.callbacks.fit_report import EpochReport, stage_metrics
from lit_textclf.training.callbacks.hf_evaluate import EvaluateMetrics
from lit_textclf.training.callbacks.progress import Progress, ProgressLines
from lit_textclf.training.callbacks.save_config import SaveRunConfig
from lit_textclf.training.callbacks.stop_and_resume import ReportStop
from lit_textclf.training.callbacks.tensorboard import ShowInTensorBoard
from lit_textclf.training.options import check_trainer
from lit_textclf.training.trainer import Trainer
from lit_textclf.utils.class_path import is_class_path
from lit_textclf.utils.imports.arrow import leave_out_pandas
from lit_textclf.utils.messages import UserError, agree, note, plural, rank
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import LOGS, folder_of, new_folder, write_metrics

_PARSERS: dict[tuple[type[TextCLI], str], tuple[Any, ...]] = {}
"""What LightningCLI builds for a command: its parser, that of the options, the arguments of the Trainer's method."""


def run(args: Sequence[str], callbacks: Sequence[Callback] = ()) -> tuple[dict[str, float], list[Path]]:
    """Runs `fit`, `validate`, `test` or `predict`; returns the metrics, and the files that were written."""
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
        self.report: EpochReport | None = None
        self.baselines: CompareWithBaselines | None = None
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
        """Only the command that runs: Lightning has four, and each parser takes 0.15 s to build.

        Arguments that the tool sets itself are left out; `weights_only` stays True.
        """
        skipped = {"weights_only", "verbose", "return_predictions", "dataloaders"}
        return {self.command: LightningCLI.subcommands()[self.command] | skipped}

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        """Copies the parser that an earlier run in this process has built, see :func:`built_once`."""
        key = (type(self), self.command)
        if key not in _PARSERS:
            super().setup_parser(*args, **kwargs)
            _PARSERS[key] = (self.parser, self._subcommand_parsers, self._subcommand_method_arguments)
        copied = copy.deepcopy(_PARSERS[key])
        self.parser, self._subcommand_parsers, self._subcommand_method_arguments = copied

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of trainer, model and data."""
        add_options(parser, self.command)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the options of the commands that use a trained model."""
        if self.command != "fit":
            add_engine_options(parser)
        if self.command == "predict":
            parser.add_class_arguments(PredictOptions)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses once to find the checkpoint, and again with the checkpoint's values as defaults."""
        self.as_typed = list(args)
        self.known = cast(TrainerParser, self._parser(self.command)).option_keys
        self.typed = in_order_of_precedence(args, self.known)
        self._parse()
        options = self.config[self.command]
        root = options.trainer.default_root_dir
        if options.ckpt_path is not None:
            self.refuse_checkpoint()
        self.engine = Engine.from_options(options)
        if self.engine is not None:
            self.stored = self.engine.stored
        elif options.ckpt_path is not None:
            folder = expand_path(root or ".", "trainer.default_root_dir")
            self.stored = read_checkpoint(find_checkpoint(options.ckpt_path, folder))
        if self.stored is not None:
            self._parse_with(self.stored)
            options = self.config[self.command]
            if self.engine is not None:
                self.engine.take_over(options.trainer, self.typed)
            else:
                options.ckpt_path = str(self.stored.path)
        if root is not None:
            options.trainer.default_root_dir = str(expand_path(root, "trainer.default_root_dir"))
        if self.typed.text is not None:
            refuse_text_and_file(self.typed.text, options.data)
            options.text = self.typed.text
        if not self.more_callbacks and not names_a_class(options):
            leave_out_pandas()

    def refuse_checkpoint(self) -> None:
        """Called with `--ckpt_path`; a command that does not take a checkpoint raises a UserError here."""

    def _parse(self) -> None:
        try:
            self.config = self.parser.parse_args(self.typed.args)
        except UserError as error:
            key = str(error).partition(":")[0]
            file = self.typed.files.get(key) if key not in self.typed.keys else None
            raise UserError(f"{file}: {error}" if file else str(error)) from None

    def _parse_with(self, stored: CheckpointInfo) -> None:
        """Parses again with the values of a checkpoint as defaults; refuses labels and a task that contradict it."""
        data = carried_data(stored, self.known)
        defaults = {f"data.{name}": value for name, value in data.items()}
        # Not class paths: jsonargparse 4.53 imports those that are defaults, and predict must not need the classes.
        classes = {name: value for name in CLASSES if is_class_path(value := stored.model.get(name))}
        model = {f"model.{name}": value for name, value in stored.model.items() if name not in classes}
        defaults |= {name: value for name, value in model.items() if name in self.known}
        self._parser(self.command).set_defaults(defaults)
        self._parse()
        names = ("lora", "freeze", "pooling", "learning_rate", "layerwise_lr_decay")
        tuned = {**{name: stored.model.get(name) for name in names}, **classes}
        self.stored = fill_in(self.config[self.command], stored, {"data": data, "model": tuned}, self.typed, classes)

    def _parse_ckpt_path(self) -> None:
        """Does nothing; Lightning's method lets the checkpoint's values override config files and flags."""

    def instantiate_classes(self) -> None:
        """Builds classifier and data module with the values of the checkpoint, reads the rows, builds the Trainer."""
        carried = self.stored.carried() if self.stored is not None else {}
        self.parser.add_instantiator(lambda cls, **options: cls(**options, **carried), TextClassifier, subclasses=False)
        self.config_init = self.parser.instantiate_classes(self.config)
        options = self.config_init[self.command]
        self.model, self.datamodule = options.model, options.data
        if self.stored is not None:
            self.datamodule.use_checkpoint(
                self.stored.target, self.stored.trained_on, id_required=self.typed.set_by_user("data.id_column")
            )
        if self.engine is not None:
            self.engine.attach_to(self.model)
        if self.stored is not None and (wanted := options.get("threshold")) is not None:
            self.model.thresholds = resolve_threshold(wanted, self.stored.target, self.model.calibration.thresholds)
            if self.command != "predict":
                thresholds = f"labels are assigned by threshold ({formatted(self.model.thresholds or {})})"
                note(f"{self.command}: {thresholds}, not by the highest probability")
        check_trainer(options.trainer, self.command)
        self._check_input(options)
        if self.command != "predict":  # predict checks its output file first
            self.prepare()
        self.trainer = self.instantiate_trainer()

    def prepare(self) -> None:
        """Reads the rows, so that mistakes in them show before anything is written."""
        self.datamodule.prepare(self.command, self.model)
        if self.command == "fit" and rank() == 0:
            report_severe_findings(self.datamodule)

    def _check_input(self, options: Any) -> None:
        """Refuses a command without a model, and `predict` without rows; `--text` is its row."""
        if self.command != "fit" and self.stored is None:
            raise UserError(
                f"{self.command} needs --ckpt_path: a checkpoint, last or best (or --engine onnx --model_dir DIR)"
            )
        if self.command == "predict":
            check_rows_or_text(options.text, self.datamodule, "predict")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Creates the run folder, and the Trainer with our callbacks."""
        options = self.config_init[self.command].trainer
        named = options.callbacks or []
        wanted = options.enable_progress_bar
        kwargs["enable_progress_bar"] = sys.stderr.isatty() if wanted is None else wanted
        if self.command == "predict":
            kwargs["logger"] = False
        elif not options.fast_dev_run:
            root = Path(options.default_root_dir or ".")
            self.folder = self._run_folder(root)
            if options.logger in (None, True) and not options.barebones:
                # Lightning's default logger uses the same folder, but logs a metric hp_metric that is always -1.
                kwargs["logger"] = TensorBoardLogger(str(root), LOGS, self.folder.name, default_hp_metric=False)
        if self.command != "fit":
            kwargs["enable_checkpointing"] = False
        elif "validation" not in self.datamodule.rows:
            kwargs["limit_val_batches"] = 0  # noted already; Lightning would warn of an empty loader
        callbacks = [*(named if isinstance(named, list) else [named]), ReportStop(), *self.more_callbacks]
        if self.command == "predict":  # whose bar counts rows, in place of batches
            self.writer = writer_of(self.config_init["predict"], progress_bar=kwargs["enable_progress_bar"])
            kwargs["callbacks"] = [*(each for each in callbacks if not isinstance(each, ProgressBar)), self.writer]
            kwargs["enable_progress_bar"] = False
            return super().instantiate_trainer(**kwargs)  # type: ignore[return-value]
        kwargs["callbacks"] = [*callbacks, *self._measuring_callbacks(options)]
        report = self.report
        bar = Progress(report, force=wanted is True) if kwargs["enable_progress_bar"] else ProgressLines(report)
        kwargs["callbacks"].append(bar)
        return super().instantiate_trainer(**kwargs)  # type: ignore[return-value]

    def _run_folder(self, root: Path) -> Path:
        """The folder of the run that `fit` resumes, or a new one."""
        continued = None
        if self.command == "fit" and self.stored is not None:
            continued = folder_of(self.stored.path, root)
            if continued is None:
                note("this run has a new folder: best.ckpt and its metrics start from scratch")
        self.folder_is_new = continued is None
        return continued or new_folder(root / LOGS, "version_")

    def _measuring_callbacks(self, options: Any) -> list[Callback]:
        """The callbacks of `fit`, `validate` and `test`."""
        self.collected = CollectOutcomes()
        callbacks: list[Callback] = [self.collected, Calibrate(self.collected)]
        if entries := self.config[self.command].metrics.evaluate:
            callbacks.append(EvaluateMetrics(entries, self.collected))
        if self.folder is not None:
            callbacks.append(SaveRunConfig(self._parser(self.command), self.config[self.command], self.folder))
        if self.command == "fit":
            callbacks += self._fit_callbacks(options)
        if self.folder is not None:
            shown = self.config_init[self.command].tensorboard
            callbacks.append(ShowInTensorBoard(shown, self.collected, self.report, self.folder / "config.yaml"))
        return callbacks

    def _fit_callbacks(self, options: Any) -> list[Callback]:
        """The callbacks of `fit` alone."""
        self.report = EpochReport(self.collected, continues=self.folder is not None and not self.folder_is_new)
        probe = MeasureProbe()
        callbacks: list[Callback] = [self.report, probe]
        if self.folder is not None and self.config["fit"].metrics.baseline:
            self.baselines = CompareWithBaselines(self.report, probe, self.folder)
            callbacks.append(self.baselines)
        if options.logger not in (False, []) and not options.barebones:
            callbacks.append(LearningRateMonitor("step"))
        if self.folder is not None and options.enable_checkpointing is not False and not options.barebones:
            callbacks += checkpoint_callbacks(
                self.folder, self.datamodule.target, validated="validation" in self.datamodule.rows,
                every_n_steps=options.checkpoint_every_n_steps,
            )  # fmt: skip
        return callbacks

    def _remove_folder_of_nothing(self) -> None:
        """Removes the folder of a run that failed before its first step."""
        steps = self.trainer.global_step if hasattr(self, "trainer") else 0
        if self.folder_is_new and self.folder is not None and not steps:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # not empty: other runs
                self.folder.parent.rmdir()

    # Commands ---------------------------------------------------------------------------------------------------------

    def fit(self, **kwargs: Any) -> None:
        """Trains, and writes metrics and outcomes beside the checkpoints."""
        assert self.report is not None
        self._note_lost_states()
        self.trainer.fit(**kwargs)
        self.metrics = self.report.metrics(self.trainer)
        if not self.trainer.is_global_zero or self.folder is None:
            return
        if not self.report.rows:
            done, epochs = self.trainer.current_epoch, self.trainer.max_epochs
            of = f"{done} of {plural(epochs or 0, 'epoch')} {agree(done, 'is', 'are')} done"
            note(f"nothing was trained: {of}; raise trainer.max_epochs to continue")
            self._remove_folder_of_nothing()
            return
        validation = self.datamodule.rows.get("validation")
        if validation is not None:
            best, calibrate = self.report.best_evaluation, self.model.calibrate
            note_calibration(self.metrics, best, len(validation), calibrate=calibrate)
        checkpoints = written_checkpoints(self.folder, validated=validation is not None)
        self.written += [*checkpoints, write_metrics(self.metrics, self.folder)]
        evaluation, shown = self.report.best_evaluation, self.config_init["fit"].tensorboard.figures
        if evaluation is not None and not shown:
            write_outcomes(evaluation, self.folder)
        elif evaluation is not None:
            write_evaluation(evaluation, self.folder)
            model, baselines = str(checkpoints[0] if checkpoints else self.folder), self.baselines
            compared = [] if baselines is None else baselines.compared
            self.written.append(write_report(evaluation, self.metrics, self.folder, model, compared))
        self._note_next(self.folder, checkpoints)

    def _note_lost_states(self) -> None:
        """Names the callbacks whose state a resumed `fit` loses, in one line instead of Lightning's paragraph."""
        own = {callback.state_key for callback in self.trainer.callbacks}  # type: ignore[attr-defined]
        saved = () if self.stored is None else self.stored.callbacks
        if lost := [key.partition("{")[0] for key in saved if key not in own]:
            note(f"fit: the checkpoint's state of {', '.join(lost)} is not restored: this run has no such callback")

    def _note_next(self, folder: Path, checkpoints: list[Path]) -> None:
        if checkpoints:
            note(f"next: lit-textclf test --ckpt_path {checkpoints[0]} --data.test_file FILE")
        if command := cross_validation_of(self.as_typed, self.typed, self.datamodule):
            note(f"next: {command}, which measures on all training rows")
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

    def _evaluated(self, prefix: str, split: str) -> None:
        self.metrics = stage_metrics(self.trainer, prefix)
        if not self.trainer.is_global_zero or self.folder is None or self.stored is None:
            return
        evaluation = self.collected.evaluation(self.model)
        self.written += show_and_write(evaluation, self.metrics, self.folder, split, str(self.stored.path))
        if evaluation is None:
            return
        if self.engine is None:
            note(f"next: lit-textclf predict --ckpt_path {self.stored.path} --data.predict_file FILE --output FILE.csv")
        note(f"next: open {self.written[-1]} in a browser")

    def predict(self, **kwargs: Any) -> None:
        """Predicts to a file, or to one for each input file."""
        assert self.stored is not None
        writer = self.writer
        written, self.metrics, files = write_predictions(writer, self.trainer, **kwargs)
        if not self.trainer.is_global_zero:
            return
        self.written += written
        if self.metrics:
            file = sys.stderr if writer.path is None else sys.stdout  # which has the predictions
            print_table(self.metrics, f"predictions of {self.stored.path}{files}", file)
        if self.engine is None:
            note(f"next: lit-textclf export --ckpt_path {self.stored.path} --output FOLDER")
