"""Whether the model that `fit` trained beats baselines by more than chance."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback

from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.classifier.metrics.table import baseline_metric_of, higher_is_better, plain_name
from lit_textclf.compare.statistics import Interval, Measure, bootstrap
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.trainer import data_module_of
from lit_textclf.evaluation.baselines import Baseline, fit_baselines
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.sections import Compared
from lit_textclf.evaluation.skill import MIN_ROWS
from lit_textclf.training.callbacks.collect_outcomes import MeasureProbe
from lit_textclf.training.callbacks.fit_report import EpochReport
from lit_textclf.utils.messages import note, plural, still_working
from lit_textclf.utils.run_folder import write_metrics

RESAMPLES = 1_000
"""Bootstrap samples of the rows."""
_REMEDY = "raise trainer.max_epochs or model.learning_rate, add training rows, or use the baseline"


class CompareWithBaselines(Callback):
    """Compares the best epoch with baselines when `fit` ends, before TensorBoard's hparams are written.

    Args:
        report: has the best epoch, and takes the baselines' metrics; called before this callback.
        probe: has measured the model that a probe left.
        folder: of the run.

    Attributes:
        compared: for the report; empty before.
    """

    def __init__(self, report: EpochReport, probe: MeasureProbe, folder: Path) -> None:
        self.report, self.probe, self.folder = report, probe, folder
        self.compared: list[Compared] = []

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measures, on rank 0."""
        evaluation = self.report.best_evaluation
        if not trainer.is_global_zero or evaluation is None or not self.report.rows:
            return
        write_metrics(self.report.metrics(trainer), self.folder)  # a run that is killed now has them
        data = data_module_of(trainer)
        assert isinstance(data, TextDataModule)
        train, probe = data.rows["train"], self.probe.baseline(evaluation.outcomes.rows)
        self.report.baselines, self.compared = compare_with_baselines(evaluation, train, probe)


def compare_with_baselines(
    evaluation: Evaluation, train: Rows, probe: Baseline | None = None
) -> tuple[dict[str, float], list[Compared]]:
    """Measures baselines on the rows of an evaluation, and notes whether its model is better than each of them.

    Args:
        evaluation: of the fine-tuned model.
        train: the rows that it was trained on.
        probe: a baseline that has been measured on the rows.

    Returns:
        The baselines' metrics, as `baseline_tfidf_accuracy`, without those that are not defined; and what was noted.
    """
    outcomes, target = evaluation.outcomes, evaluation.target
    with still_working("baselines"):
        baselines = fit_baselines(train, outcomes.rows, target)
    if probe is not None:
        baselines.append(probe)
    logits = [baseline.logits.numpy() for baseline in baselines]
    evaluations = [evaluation, *(Evaluation(replace(outcomes, logits=each)) for each in logits)]
    predicted = [each.predicted for each in evaluations]
    losses = np.stack([each.losses for each in evaluations])
    intervals = bootstrap(
        Measure(target.task, evaluation.true, predicted, losses, target.positive_label), RESAMPLES, seed=0
    )
    metric = baseline_metric_of(target.task)
    measured, differences = (found[plain_name(metric)] for found in (intervals.of_runs, intervals.differences))
    of_model, *values = (_formatted(interval.value, metric) for interval in measured)
    few = f"{plural(len(outcomes.rows), 'row')} cannot show a difference" if len(outcomes.rows) < MIN_ROWS else None
    compared = [
        Compared(baseline.description, metric, value, of_model, few or verdict(difference, metric))
        for baseline, value, difference in zip(baselines, values, differences, strict=True)
    ]
    for baseline, each in zip(baselines, compared, strict=True):
        if baseline.name == decisions_of(target).constant[0] and not evaluation.has_skill:
            continue  # noted with the calibration
        note(f"baseline: {each.baseline} has {metric} {each.value}, this model {of_model}: {each.verdict}")
    metrics = {
        f"baseline_{baseline.name}_{name}": interval.value
        for index, baseline in enumerate(baselines, 1)
        for name, of_runs in intervals.of_runs.items()
        if name != "loss" and math.isfinite((interval := of_runs[index]).value)
    }
    return metrics, compared


def verdict(difference: Interval, metric: str) -> str:
    """Whether a model is better than a baseline, whose metric minus the model's is `difference`; else what to do."""
    by, low, high = difference.value, difference.low, difference.high
    if higher_is_better(metric):
        by, low, high = -by, -high, -low
    interval = f"(95 % interval {_formatted(low, metric)} to {_formatted(high, metric)})"
    if low > 0:
        return f"better by {_formatted(by, metric)} {interval}"
    if high < 0:
        return f"worse by {_formatted(-by, metric)} {interval}; {_REMEDY}"
    return f"not better by more than chance, difference {_formatted(by, metric)} {interval}; {_REMEDY}"


def _formatted(value: float, metric: str) -> str:
    """Shares with three decimals; errors, which have the labels' unit, with three digits."""
    return f"{value + 0.0:.3f}" if higher_is_better(metric) else f"{value:.3g}"
