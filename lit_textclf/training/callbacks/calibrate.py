"""Learns temperature and thresholds after each validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from lit_textclf.classifier.calibration import fit_temperature, thresholds_of
from lit_textclf.classifier.inference.calibration import Calibration, formatted, labels_with_thresholds
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import THRESHOLD
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.skill import describe_no_skill, has_skill
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from lit_textclf.utils.messages import agree, note, plural


class Calibrate(Callback):
    """Learns temperature and thresholds after each validation of `fit`, before its checkpoint is written.

    A model without skill, see :func:`has_skill`, keeps temperature 1 and thresholds of 0.5.

    Logs the expected calibration error of every evaluation, with and without the temperature.

    Args:
        collected: has the outcomes; called before this one.
    """

    def __init__(self, collected: CollectOutcomes) -> None:
        self.collected = collected
        self._noted = False

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Learns, in `fit`, and logs."""
        outcomes = self.collected.outcomes
        if outcomes is None and trainer.state.fn == "fit" and not (trainer.sanity_checking or self._noted):
            note("calibration: temperature stays 1, because it is learned from a TextDataModule's validation rows")
            self._noted = True
        if trainer.sanity_checking or outcomes is None or not outcomes.target.has_probabilities:
            return
        target, logits, targets = outcomes.target, *map(torch.from_numpy, (outcomes.logits, outcomes.targets))
        if trainer.state.fn == "fit" and has_skill(target, outcomes.logits, outcomes.targets):
            temperature = fit_temperature(target.task, logits, targets) if pl_module.calibrate else 1.0
            calibrated = Calibration(temperature).apply(logits)
            thresholds = thresholds_of(target, calibrated, targets, pl_module.threshold_for)
            pl_module.calibration = Calibration(temperature, thresholds)
        elif trainer.state.fn == "fit":
            pl_module.calibration = Calibration(1.0, dict.fromkeys(labels_with_thresholds(target), THRESHOLD))
        rules, calibration = rules_of(target), pl_module.calibration
        values = {
            "ece": rules.calibration_error(calibration.apply(logits), targets),
            "ece_uncalibrated": rules.calibration_error(logits, targets),
        }
        if trainer.state.fn == "fit":
            values["temperature"] = calibration.temperature
        for name, value in values.items():
            # All ranks have the same value; Lightning asks for a reduction.
            pl_module.log(f"{'test' if trainer.testing else 'val'}_{name}", value, sync_dist=trainer.world_size > 1)

    on_test_epoch_end = on_validation_epoch_end


def note_calibration(best: Mapping[str, float], evaluation: Evaluation | None, rows: int, *, calibrate: bool) -> None:
    """Notes the best epoch's temperature and its effect, learned on `rows` validation rows, and its thresholds.

    Of a model without skill it notes that instead.
    """
    if evaluation is not None and not evaluation.has_skill:
        note(f"validation: {describe_no_skill(evaluation.outcomes)}")
        return
    temperature, learned = best.get("val_temperature"), plural(rows, "validation row")
    if temperature == 1 and calibrate:
        note(f"calibration: temperature stays 1; {learned} {agree(rows, 'shows', 'show')} no better one beyond chance")
    elif temperature is not None and temperature != 1:
        before, after = best["val_ece_uncalibrated"], best["val_ece"]
        note(
            f"calibration: temperature {temperature:.3g} for the probabilities, which lowers the loss of {learned}; "
            f"expected calibration error {before:.3f} without it, {after:.3f} with it"
        )
    thresholds = {} if evaluation is None else evaluation.calibration.thresholds
    moved = {name: value for name, value in thresholds.items() if value != THRESHOLD}
    if evaluation is not None and moved:
        rest = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        shown = formatted(dict(list(moved.items())[:3]))
        note(f"thresholds from the validation rows, used only with --threshold best: {shown}{rest}")
        for name in _given_to_all(evaluation, moved):
            note(f"threshold {formatted({name: moved[name]})}: would give {name!r} to all {learned}")


def _given_to_all(evaluation: Evaluation, thresholds: Mapping[str, float]) -> list[str]:
    """The labels that these thresholds would give to all rows of an evaluation."""
    labels, scores = evaluation.target.labels, evaluation.probabilities.astype(float)
    return [name for name, value in thresholds.items() if (scores[:, labels.index(name)] >= value).all()]
