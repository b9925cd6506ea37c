"""K-fold cross-validation: `fit` once for each fold, the metrics' mean and spread, and out-of-fold predictions."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.cli import LightningArgumentParser

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.cli.lightning_cli import TextCLI
from lit_textclf.cli.sections import add_options
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.csv_files import write_label_errors, write_outcomes
from lit_textclf.evaluation.report.tables import table_of_numbers
from lit_textclf.evaluation.skill import describe_no_skill
from lit_textclf.prediction.csv_output import CsvFormat
from lit_textclf.prediction.output_file import PredictionFile
from lit_textclf.training.callbacks.collect_outcomes import outcomes_of
from lit_textclf.utils.atomic import refuse_input
from lit_textclf.utils.console import stdout_console
from lit_textclf.utils.csv_format import check_csv_name
from lit_textclf.utils.messages import UserError, agree, note
from lit_textclf.utils.paths import expand_path, resolve_files
from lit_textclf.utils.run_folder import LOGS, new_folder, write_metrics

FOLDS = 5
"""Default of `data.folds`."""
_OUTPUT = "the CSV file of the out-of-fold predictions; by default predictions.csv in the folder of the runs"
BLOCK_ROWS = 4096
"""Rows of the predictions that are formatted at a time."""


class FoldCLI(TextCLI):
    """`fit` on all folds except `fold`, from 0, in the folder `root` of all folds' runs; None creates it."""

    def __init__(self, args: Sequence[str], fold: int, root: Path | None, output: Path | None = None) -> None:
        self.fold, self.root, self.output = fold, root, output
        super().__init__(args)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Sets the fold and the run's folder."""
        self._parser("fit").set_defaults({"data.folds": FOLDS})
        super().parse_arguments(parser, args)
        options = self.config["fit"]
        if options.data.fold is not None:
            raise UserError("data.fold: cross_validate takes each fold in turn; remove it")
        if options.trainer.fast_dev_run:
            raise UserError("cross_validate needs complete runs; remove trainer.fast_dev_run")
        if options.trainer.enable_checkpointing is False or options.trainer.barebones:
            raise UserError("cross_validate predicts with each fold's best checkpoint: checkpointing cannot be off")
        options.data.fold = self.fold
        self.folds = options.data.folds

    def refuse_checkpoint(self) -> None:
        """Refuses a checkpoint, which may have been trained on the held-out rows."""
        raise UserError("cross_validate trains each fold from scratch; remove --ckpt_path")

    def instantiate_classes(self) -> None:
        """Refuses several processes, once the Trainer knows their number."""
        super().instantiate_classes()
        if self.trainer.world_size > 1:
            raise UserError("cross_validate does not run in several processes yet; set --trainer.devices 1")

    def prepare(self) -> None:
        """Reads the rows with all columns, then creates the folder, so that a mistake in a file leaves no folder."""
        self.datamodule.keep_columns("train")
        if self.output is not None:
            for split in ("train", "test"):
                if files := self.datamodule.files(split):
                    refuse_input(self.output, resolve_files(files, f"data.{split}_file"))
        super().prepare()
        options = self.config_init["fit"].trainer
        if self.root is None:
            self.root = new_folder(Path(options.default_root_dir or ".") / LOGS, "cross_validation_")
        options.default_root_dir = str(self.root)

    def _note_next(self, folder: Path, checkpoints: list[Path]) -> None:
        """Prints nothing, because the next fold follows."""

    def out_of_fold(self) -> tuple[Outcomes, float]:
        """The held-out rows with the best checkpoint's logits, and its temperature.

        Folds whose best epochs differ are comparable only after calibration.
        """
        assert self.folder is not None
        best = torch.load(self.folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(best["state_dict"])
        outcomes = outcomes_of(self.trainer, self.model, "validation", self.datamodule.val_dataloader())
        return outcomes, best[self.model.CHECKPOINT_HYPER_PARAMS_KEY]["calibration"]["temperature"]


class _Help(FoldCLI):
    """Prints the options of `cross_validate`: those of `fit` with its own, without those that it refuses."""

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Without `--ckpt_path`."""
        return {name: skipped | {"ckpt_path"} for name, skipped in super().subcommands().items()}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds its own options, and hides `data.fold`."""
        add_options(parser, "cross_validate")
        parser.add_argument("--output", type=str, help=_OUTPUT)
        parser.add_argument("--overwrite", type=bool, default=False, help="replace the file if it exists")
        for action in parser._actions:
            if action.dest == "data.fold":
                action.help = argparse.SUPPRESS


def cross_validate(args: Sequence[str]) -> tuple[dict[str, float], list[Path]]:
    """Runs `fit` for each fold.

    Besides the options of `fit` it takes `--output` (the CSV file of the out-of-fold predictions; by default in the
    folder of the runs) and `--overwrite`.

    Returns:
        The mean and the standard deviation of each validation metric over the folds (`val_accuracy_mean`,
        `val_accuracy_std`), and the files that were written.
    """
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--output")
    own.add_argument("--overwrite", nargs="?", const="true", default="false", choices=("true", "false"))
    own.add_argument("--help", "-h", action="store_true")
    options, rest = own.parse_known_args(args[1:])
    if options.help:
        _Help(["fit", "--help"], 0, None)
    file = None
    if options.output is not None:
        check_csv_name(options.output)
        file = PredictionFile(expand_path(options.output, "--output"), overwrite=options.overwrite == "true")
    root: Path | None = None
    metrics: list[dict[str, float]] = []
    held_out: list[tuple[Outcomes, float]] = []
    while True:
        cli = FoldCLI(["fit", *rest], len(metrics), root, None if file is None else file.path)
        root = cli.root
        metrics.append({name: value for name, value in cli.metrics.items() if name.startswith("val_")})
        if not metrics[-1]:
            raise UserError(
                "cross_validate: no validation took place, so a fold has no metrics; change trainer.limit_val_batches"
            )
        held_out.append(cli.out_of_fold())
        note(f"fold {len(metrics)} of {cli.folds} is done")
        if len(metrics) == cli.folds:
            break
    assert root is not None
    file = file or PredictionFile(root / "predictions.csv")
    parts, temperatures = zip(*held_out, strict=True)
    outcomes = Outcomes.joined(parts, "train")
    evaluation = Evaluation(outcomes, Calibration(by_row=np.array(temperatures, np.float32)[outcomes.fold][:, None]))
    write_predictions(file, evaluation)
    if not evaluation.has_skill:
        note(f"cross_validate: {describe_no_skill(outcomes)}")
    suspects = [write_outcomes(evaluation, root), *write_label_errors(evaluation, root)]
    if cli.trainer.current_epoch > 1:
        note("cross_validate: each fold's best epoch was chosen by its own rows, so the means are slightly optimistic")
    summary = _summary(metrics)
    _print(metrics, summary)
    return summary, [file.path, *suspects, write_metrics(summary, root)]


def write_predictions(file: PredictionFile, evaluation: Evaluation) -> None:
    """Writes the predictions of all folds in the order of the training file, a block of lines in memory at a time."""
    rows, kept = evaluation.outcomes.rows, evaluation.outcomes.rows.kept
    calibrated = evaluation.calibration.apply(evaluation.outcomes.logits)
    csv = CsvFormat(evaluation.target, rows.columns.id, [] if kept is None else kept.column_names, where=file.path)
    with file.writing():
        file.append(file.encode(csv.header(), first=True))
        for start in range(0, len(rows), BLOCK_ROWS):
            logits = calibrated[start : start + BLOCK_ROWS]
            file.append(file.encode(csv.lines(rows.slice(start, len(logits)), logits)))


def _summary(folds: Sequence[dict[str, float]]) -> dict[str, float]:
    summary = {}
    for name in folds[0]:
        values = [fold[name] for fold in folds if math.isfinite(fold[name])]
        if without := len(folds) - len(values):
            verb = agree(without, "has no value and is", "have no value and are")
            note(f"{name}: {without} of {len(folds)} folds {verb} left out")
        summary[f"{name}_mean"] = statistics.fmean(values) if values else math.nan
        summary[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else math.nan
    return summary


def _print(folds: Sequence[dict[str, float]], summary: dict[str, float]) -> None:
    table = table_of_numbers("metric", ("mean", "std", *(f"fold {number}" for number in range(len(folds)))))
    for name in folds[0]:
        values = [summary[f"{name}_mean"], summary[f"{name}_std"], *(fold[name] for fold in folds)]
        table.add_row(name, *(f"{value:.4f}" for value in values))
    stdout_console().print(table)
