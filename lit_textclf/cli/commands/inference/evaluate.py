"""The commands `validate` and `test`: with ONNX Runtime on numpy alone, otherwise through Lightning's Trainer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lit_textclf.classifier.inference.calibration import formatted
from lit_textclf.cli.commands.inference.plain import (
    PlainRun,
    padder_of,
    run_plain_or_with_lightning,
    stopped_by_sigterm,
)
from lit_textclf.cli.parser import Parser
from lit_textclf.data.batches.dataset import WINDOW_BATCHES, sorted_in_windows
from lit_textclf.data.encoded_data import EncodedData
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.curves import reliability
from lit_textclf.evaluation.report.results import show_and_write
from lit_textclf.export.load import OnnxClassifier
from lit_textclf.utils.atomic import write_file
from lit_textclf.utils.messages import long_quiet, note, progress
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import CONFIG, LOGS, OTHER_ROOT, new_folder

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


def evaluate(args: Sequence[str], callbacks: Sequence[Callback] = ()) -> tuple[dict[str, float], list[Path]]:
    """Measures a model; returns the metrics, and the files that were written."""
    return run_plain_or_with_lightning(PLAIN[args[0]], args, callbacks)


class PlainEvaluation(PlainRun):
    """An evaluation by ONNX Runtime without torch, Lightning and transformers.

    Attributes:
        command: its name.
        split: the rows that it measures on.
    """

    command: ClassVar[str]
    split: ClassVar[str]

    @classmethod
    def suits(cls, options: Any, *, has_torch: bool) -> bool:
        """Only torch writes TensorBoard's events."""
        return options.trainer.logger is False or not has_torch

    @staticmethod
    def add_own_options(parser: Parser) -> None:
        """Adds the option that leaves out TensorBoard's events."""
        parser.add_argument("--trainer.logger", type=bool | None, default=None)

    def run(self) -> tuple[dict[str, float], list[Path]]:
        """Measures, and writes the files; see :func:`evaluate`."""
        options = self.options()
        data, model = self.start(options)
        if model.thresholds is not None:
            thresholds = f"labels are assigned by threshold ({formatted(model.thresholds)})"
            note(f"{self.command}: {thresholds}, not by the highest probability")
        if options.trainer.logger is not False:
            note("tensorboard: no events are written, because torch is not installed")
        data.prepare(self.command, model)
        root = expand_path(options.trainer.default_root_dir or ".", "trainer.default_root_dir")
        folder = new_folder((root if options.trainer.default_root_dir else Path()) / LOGS, "version_")
        try:
            with stopped_by_sigterm():
                write_file(folder / CONFIG, self.parser.dump(options), remedy=OTHER_ROOT)
                evaluation = self._evaluation(data, model)
                metrics = self._metrics(model, evaluation)
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        written = show_and_write(evaluation, metrics, folder, self.split, str(self.engine.stored.path))
        note(f"next: open {written[-1]} in a browser")
        return metrics, written

    def _evaluation(self, data: EncodedData, model: OnnxClassifier) -> Evaluation:
        """Computes the logits, in the batches of :meth:`TextDataModule.val_dataloader`."""
        encoded, size, padder = data.encoded[self.split], data.eval_batch_size, padder_of(data)
        order = sorted_in_windows(encoded.lengths, size * WINDOW_BATCHES if data.batch_by_length else 1)
        starts, started, logits = range(0, len(order), size), time.perf_counter(), list[np.ndarray]()
        for start in starts:
            logits.append(model.logits_of(padder.pad([encoded[row] for row in order[start : start + size].tolist()])))
            if long_quiet():
                done = min(start + size, len(order))
                rate = done / max(time.perf_counter() - started, 1e-9)
                note(f"{self.split}: {progress(len(logits), len(starts), 'batch', rate)}")
        assert encoded.targets is not None
        outcomes = Outcomes.from_rows(data, self.split, order, np.concatenate(logits), encoded.targets[order])
        return Evaluation(outcomes, model.calibration, model.thresholds)

    def _metrics(self, model: OnnxClassifier, evaluation: Evaluation) -> dict[str, float]:
        """The metrics of the table, and the calibration error with and without the temperature."""
        outcomes = evaluation.outcomes
        metrics = self.measured(model, [(outcomes.logits, outcomes.targets)])
        if outcomes.target.has_probabilities:
            metrics[f"{self.prefix}ece"] = reliability(evaluation.without_thresholds).error
            metrics[f"{self.prefix}ece_uncalibrated"] = reliability(evaluation.uncalibrated).error
        return metrics


class PlainValidation(PlainEvaluation):
    """`validate`."""

    command, split, prefix = "validate", "validation", "val_"


class PlainTest(PlainEvaluation):
    """`test`."""

    command = split = "test"
    prefix = "test_"


PLAIN: dict[str, type[PlainEvaluation]] = {"validate": PlainValidation, "test": PlainTest}
