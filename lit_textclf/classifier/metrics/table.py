"""The table of metrics: what each is computed with and where it is shown. Does not import torch.

A new metric is one line of :data:`METRICS`. Logged names have a stage before them (`val_f1_macro`), and those of a
cross-validation a statistic behind (`val_f1_macro_mean`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lit_textclf.data.labels.table import Task
from lit_textclf.utils.messages import UserError

Reads = Literal["predicted", "positive", "positive_score"]
Shown = Literal["head", "epoch_line", "progress_bar", "interval", "monitor", "quality", "baseline"]
STAGES = ("val_", "test_", "predict_")
READS: tuple[Reads, ...] = ("predicted", "positive", "positive_score")
"""What metrics are computed from, in the order in which they are logged."""


@dataclass(frozen=True)
class MetricEntry:
    """One metric.

    Attributes:
        name: without the stage.
        higher_is_better: the direction.
        classes: by task the dotted name of a `torchmetrics.Metric`; none where other code computes the value.
        arguments: of that class, besides the number of labels.
        reads: what the metric is updated with, besides the true labels: the predicted labels, label sets or values;
            whether the positive label is predicted; or its probability. The last two are for binary tasks.
        chart: title of the chart in TensorBoard; none if empty.
        head: position among the large numbers at the top of report.html; 0 leaves it out.
        epoch_line: position in the line that `fit` prints after each epoch; 0 leaves it out.
        progress_bar: position in the progress bar of a terminal; 0 leaves it out.
        interval: position among the bootstrap intervals of `compare`, which must be able to resample it; 0 leaves it
            out.
        monitor: rank among the metrics that may decide which epoch is best; a task takes its first one.
        quality: rank among the metrics that may limit what int8 weights cost; a task takes its first one.
        baseline: rank among the metrics by which a model beats a baseline, which need an interval; a task takes its
            first one.
    """

    name: str
    higher_is_better: bool
    classes: Mapping[Task, str] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reads: Reads = "predicted"
    chart: str = ""
    head: int = 0
    epoch_line: int = 0
    progress_bar: int = 0
    interval: int = 0
    monitor: int = 0
    quality: int = 0
    baseline: int = 0


_OWN = "lit_textclf.classifier.metrics.classes."


def _single(name: str) -> dict[Task, str]:
    return {"single_label": f"torchmetrics.classification.{name}"}


def _own(name: str) -> dict[Task, str]:
    return {"single_label": f"{_OWN}{name}"}


def _values(name: str) -> dict[Task, str]:
    return {"regression": f"torchmetrics.regression.{name}"}


_MACRO, _MICRO, _WEIGHTED = ({"average": average} for average in ("macro", "micro", "weighted"))
_F1 = _own("F1Score") | {"multi_label": "torchmetrics.classification.MultilabelF1Score"}
_SHARES = "accuracy, exact matches, AUROC and MCC"

METRICS: tuple[MetricEntry, ...] = (
    MetricEntry(
        "f1_macro", True, _F1, _MACRO, chart="F1", head=3, epoch_line=3, progress_bar=2, interval=3, monitor=1
    ),
    MetricEntry("f1_micro", True, _F1, _MICRO, chart="F1", interval=4, quality=2, baseline=2),
    MetricEntry("f1_weighted", True, _own("F1Score"), _WEIGHTED, chart="F1"),
    MetricEntry("f1", True, _single("BinaryF1Score"), reads="positive", chart="F1", head=4, interval=2),
    MetricEntry("precision_macro", True, _own("Precision"), _MACRO, chart="precision and recall"),
    MetricEntry("precision", True, _single("BinaryPrecision"), reads="positive", chart="precision and recall"),
    MetricEntry("recall_macro", True, _own("Recall"), _MACRO, chart="precision and recall"),
    MetricEntry("recall", True, _single("BinaryRecall"), reads="positive", chart="precision and recall"),
    MetricEntry(
        "accuracy", True, _single("MulticlassAccuracy"), _MICRO, chart=_SHARES, head=1, epoch_line=2, interval=1,
        quality=1, baseline=1,
    ),
    MetricEntry(
        "exact_match", True, {"multi_label": "torchmetrics.classification.MultilabelExactMatch"}, chart=_SHARES,
        head=2, epoch_line=4, interval=5,
    ),
    MetricEntry("auroc", True, _own("AUROC"), reads="positive_score", chart=_SHARES),
    MetricEntry("mcc", True, _own("MatthewsCorrCoef"), reads="positive", chart=_SHARES),
    MetricEntry("mse", False, _values("MeanSquaredError"), chart="errors", interval=7, baseline=3),
    MetricEntry("mae", False, _values("MeanAbsoluteError"), chart="errors", head=7, interval=8),
    MetricEntry(
        "pearson", True, _values("PearsonCorrCoef"), chart="correlation", head=5, epoch_line=5, interval=6, quality=3
    ),
    MetricEntry("r2", True, {"regression": f"{_OWN}R2Score"}, chart="correlation"),
    MetricEntry("spearman", True, {"regression": f"{_OWN}SpearmanCorrCoef"}, chart="correlation", head=6),
    MetricEntry("loss", False, head=8, epoch_line=1, progress_bar=1, interval=9, monitor=2),
    MetricEntry("ece", False),
)  # fmt: skip


def metrics_of(task: Task, *, binary: bool = False) -> list[MetricEntry]:
    """The metrics that a task computes with torchmetrics.

    Args:
        task: the task.
        binary: whether there are two labels, one of them the positive one.
    """
    return [entry for entry in METRICS if task in entry.classes and (binary or entry.reads == "predicted")]


def shown_in(where: Shown) -> list[str]:
    """The names of the metrics that are shown somewhere, in the order in which they appear there."""
    positions = {entry.name: getattr(entry, where) for entry in METRICS}
    return sorted((name for name in positions if positions[name]), key=positions.__getitem__)


def charts_of(task: Task) -> dict[str, list[str]]:
    """The names of a task's metrics by the chart of TensorBoard that they share."""
    charts: dict[str, list[str]] = {}
    for entry in metrics_of(task, binary=True):
        if entry.chart:
            charts.setdefault(entry.chart, []).append(entry.name)
    return charts


def loss_is_nan(prefix: str) -> UserError:
    """The error of rows whose loss is NaN, of a stage with this prefix of names."""
    return UserError(
        f"{prefix}loss is NaN: the model's outputs are; train with a lower model.learning_rate, or set "
        "trainer.precision to 32-true"
    )


def plain_name(logged: str) -> str:
    """A metric's name without the stage and without `_mean`."""
    for stage in STAGES:
        logged = logged.removeprefix(stage)
    return logged.removesuffix("_mean")


def higher_is_better(logged: str) -> bool | None:
    """The direction of a metric; None for numbers without one, such as seconds.

    Example:
        >>> higher_is_better("val_f1_macro"), higher_is_better("test_loss"), higher_is_better("seconds")
        (True, False, None)
    """
    name = plain_name(logged)
    return next((entry.higher_is_better for entry in METRICS if entry.name == name), None)


def task_of(logged: Iterable[str]) -> Task | None:
    """The task that metrics were computed for; None if no name belongs to exactly one task."""
    names = {plain_name(name) for name in logged}
    for entry in METRICS:
        if entry.name in names and len(entry.classes) == 1:
            return next(iter(entry.classes))
    return None


def monitor_of(task: Task) -> tuple[str, Literal["min", "max"]]:
    """The validation metric that decides which epoch is best, and which direction is better."""
    name = _first_of(task, "monitor")
    return name, "max" if higher_is_better(name) else "min"


def quality_of(task: Task) -> str:
    """The validation metric that limits what int8 weights may cost; higher is better."""
    return _first_of(task, "quality")


def baseline_metric_of(task: Task) -> str:
    """The validation metric by which a model beats a baseline, or does not."""
    return _first_of(task, "baseline")


def _first_of(task: Task, role: Shown) -> str:
    """The first metric of a role that the task has; the loss, which names no class, is every task's."""
    names = {entry.name for entry in METRICS if task in entry.classes or not entry.classes}
    return f"val_{next(name for name in shown_in(role) if name in names)}"
