"""Notes, tables and files of `fit`, `validate` and `test`."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl

from lit_textclf.classifier.checkpoint import CheckpointInfo
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.csv_files import write_evaluation, write_outcomes
from lit_textclf.evaluation.report.html import write_report
from lit_textclf.evaluation.report.tables import print_labels, print_table
from lit_textclf.training.callbacks.calibrate import note_calibration
from lit_textclf.training.callbacks.fit_report import EpochReport
from lit_textclf.utils.messages import note
from lit_textclf.utils.run_folder import write_metrics


def note_lost_states(trainer: pl.Trainer, stored: CheckpointInfo | None) -> None:
    """Names the callbacks whose state a resumed `fit` loses, in one line instead of Lightning's paragraph."""
    own = {callback.state_key for callback in trainer.callbacks}  # type: ignore[attr-defined]
    saved = () if stored is None else stored.callbacks
    if lost := [key.partition("{")[0] for key in saved if key not in own]:
        note(f"fit: the checkpoint's state of {', '.join(lost)} is not restored: this run has no such callback")


def write_fit(report: EpochReport, metrics: dict[str, float], data: TextDataModule, folder: Path) -> list[Path]:
    """Notes the calibration, and writes the metrics and the outcomes of the best epoch.

    Returns:
        The files to name.
    """
    if "validation" in data.rows:
        note_calibration(metrics, report.best_thresholds, len(data.rows["validation"]))
    if report.best_evaluation is not None:
        write_outcomes(report.best_evaluation, folder)
    return [write_metrics(metrics, folder)]


def write_measured(
    metrics: dict[str, float], evaluation: Evaluation | None, folder: Path, *, split: str, source: Path
) -> list[Path]:
    """Prints tables of metrics and labels, and writes them, the outcomes and the report.

    Args:
        metrics: by name.
        evaluation: None if the rows were not collected.
        folder: of the run.
        split: the rows that were measured.
        source: the checkpoint or ONNX model.

    Returns:
        The files to name; the report comes last.
    """
    written = [write_metrics(metrics, folder)]
    print_table(metrics, f"{split} of {source}")
    if evaluation is not None:
        print_labels(evaluation)
        write_evaluation(evaluation, folder)
        written.append(write_report(evaluation, metrics, folder, str(source)))
    return written
