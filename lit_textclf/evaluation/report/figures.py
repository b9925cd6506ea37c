"""The figures of an evaluation. Each has a function, which returns None if the task does not have the figure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.curves import (
    average_precision,
    curves,
    precision_recall,
    reliability,
    roc,
    roc_area,
    thinned,
)
from lit_textclf.evaluation.report.figure_style import BLUE, GREY, ORANGE, canvas, legend_below, png, short_names
from lit_textclf.utils.messages import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CONFUSED = 20
MAX_BARS = 150


def _title(evaluation: Evaluation, what: str) -> str:
    return f"{what}\n({evaluation.split}, {plural(len(evaluation), 'row')})"


# Classes --------------------------------------------------------------------------------------------------------------
def confusion_figure(evaluation: Evaluation, *, normalize: bool = False) -> Figure | None:
    """The confusion matrix, true labels in rows: numbers of rows, or normalized, percentages of each true label's."""
    matrix = evaluation.confusion
    if matrix is None:
        return None
    classes = len(matrix)
    names, note = short_names(evaluation.target.labels), ""
    shown = np.arange(classes)
    if classes > MAX_CONFUSED:
        errors = matrix.sum(0) + matrix.sum(1) - 2 * matrix.diagonal()
        shown = np.argsort(-errors, kind="stable")[:MAX_CONFUSED]
        note = f"\nthe {MAX_CONFUSED} of {classes} classes with the most errors"
    values = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1) if normalize else matrix
    title = "Confusion matrix, % of each true label's rows" if normalize else "Confusion matrix, rows"
    return _matrix(_title(evaluation, title + note), values[np.ix_(shown, shown)], [names[index] for index in shown])


def _matrix(title: str, values: np.ndarray, names: list[str]) -> Figure:
    size = len(names)
    numbered = size > 6 or max(map(len, names)) > 12
    across = [str(number) for number in range(1, size + 1)] if numbered else names
    down = [f"{name}  {number}" for name, number in zip(names, across, strict=True)] if numbered else names
    small = 9 if size <= 6 else 7.5 if size <= 10 else 5.5
    with canvas(title, 4 if size <= 10 else 4.6) as (figure, axes):
        top = max(float(values.max()), 1e-9)
        axes.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
        axes.set_xticks(range(size), across, fontsize=9 if size <= 10 else 6)
        axes.set_yticks(range(size), down, fontsize=9 if size <= 10 else 7)
        axes.set_xlabel("predicted" + (" (as numbered)" if numbered else ""))
        axes.set_ylabel("true")
        for (row, column), value in np.ndenumerate(values):
            if value or size <= 6:
                color = "white" if value > 0.5 * top else "black"
                axes.text(column, row, _short(value), ha="center", va="center", color=color, fontsize=small)
    return figure


def _short(value: float) -> str:
    if 0 < value < 0.5:
        return "<1"
    return f"{value:.0f}" if value < 9999.5 else f"{value / 1000:.0f}k"


def per_class_f1_figure(evaluation: Evaluation) -> Figure | None:
    """A bar for the F1 of each label, the worst label at the bottom, with its number of rows."""
    scores = evaluation.label_scores
    if not scores:
        return None
    names = short_names(evaluation.target.labels)
    seen = [(label, name) for label, name in zip(scores, names, strict=True) if label.seen]
    shown = sorted(seen, key=lambda pair: pair[0].f1)[:MAX_BARS]
    title = "F1 of each label (number of rows in brackets)"
    if len(shown) < len(seen):
        title += f"\nthe {len(shown)} lowest of {len(seen)}"
    if len(seen) < len(scores):
        title += f"\n{plural(len(scores) - len(seen), 'label')} without rows"
    f1 = [label.f1 for label, _ in shown]
    with canvas(_title(evaluation, title), 1.3 + 0.2 * len(shown)) as (figure, axes):
        bars = axes.barh(range(len(shown)), f1, color=BLUE, height=0.75)
        axes.bar_label(bars, [f"{score:.2f}" for score in f1], padding=2, fontsize=8)
        axes.set_yticks(range(len(shown)), [f"{name} ({label.rows:,})" for label, name in shown], fontsize=8.5)
        axes.set_xlim(0, 1.12)
        axes.set_xticks(np.arange(0, 1.01, 0.25))
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("F1")
    return figure


# Curves ---------------------------------------------------------------------------------------------------------------
def precision_recall_figure(evaluation: Evaluation) -> Figure | None:
    """Precision against recall, of the positive label or of each label against the others."""
    what = "Precision and recall"
    return _curves(evaluation, what, "AP", average_precision, precision_recall, ("recall", "precision"))


def roc_figure(evaluation: Evaluation) -> Figure | None:
    """True against false positive rate, of the positive label or of each label against the others."""
    return _curves(evaluation, "ROC", "AUC", roc_area, roc, ("false positive rate", "true positive rate"))


def _curves(
    evaluation: Evaluation,
    what: str,
    measure: str,
    area: Callable[[np.ndarray, np.ndarray], float],
    points: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    axis_names: tuple[str, str],
) -> Figure | None:
    if evaluation.decisions is None:
        return None
    drawn, note = curves(evaluation, area)
    if not drawn:  # all rows have one label
        return None
    with canvas(_title(evaluation, what + note), 3.8) as (figure, axes):
        for number, (name, scores, true, size) in enumerate(drawn):
            x, y = (thinned(values) for values in points(scores, true))
            first = number == 0
            axes.plot(
                x, y, color="black" if first else f"C{(number - 1) % 10}", linewidth=1.8 if first else 1.1,
                label=f"{measure} {size:.3f}  {name}", zorder=3 if first else 2,
            )  # fmt: skip
        if measure == "AUC":
            axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        axes.set(xlabel=axis_names[0], ylabel=axis_names[1], xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        legend_below(figure, axes)
    return figure


# Scores ---------------------------------------------------------------------------------------------------------------
def reliability_figure(evaluation: Evaluation) -> Figure | None:
    """The share of correct decisions against their score, before and after calibration."""
    if evaluation.decisions is None:
        return None
    multi, temperature = evaluation.target.has_label_sets, evaluation.calibration.temperature
    lines = [("uncalibrated", BLUE if temperature == 1 else GREY, reliability(evaluation.uncalibrated))]
    if temperature != 1:
        lines.append((f"temperature {temperature:.3g}", BLUE, reliability(evaluation.without_thresholds)))
    with canvas(_title(evaluation, "Reliability (dot size: number of rows)")) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for name, color, found in lines:
            axes.plot(found.score, found.right, color=color, linewidth=1, label=f"ECE {found.error:.3f}  {name}")
            axes.scatter(found.score, found.right, s=6 + 120 * found.share, color=color, alpha=0.7, zorder=3)
        low = 0 if multi else min(float(np.floor(10 * found.score.min()) / 10) for _, _, found in lines)
        axes.set(xlim=(low - 0.01, 1.02), ylim=(-0.02, 1.05))
        axes.set_xlabel("probability of a label" if multi else "score of the predicted label")
        axes.set_ylabel("share of rows with the label" if multi else "accuracy")
        legend_below(figure, axes)
    return figure


def score_histogram_figure(evaluation: Evaluation) -> Figure | None:
    """The distribution of scores, for right and for wrong decisions."""
    decisions = evaluation.without_thresholds.decisions
    if decisions is None:
        return None
    right, wrong = decisions.score[decisions.right], decisions.score[~decisions.right]
    low, high = np.floor(50 * float(decisions.score.min())) / 50, np.ceil(50 * float(decisions.score.max())) / 50
    edges = np.linspace(low, max(high, low + 0.02), 21).tolist()  # scores of many classes may all be small
    of = "decisions" if evaluation.target.has_label_sets else "rows"
    with canvas(_title(evaluation, "Scores of right and wrong predictions")) as (figure, axes):
        axes.hist(
            [wrong, right], edges, stacked=True, color=[ORANGE, BLUE],
            label=[f"wrong ({len(wrong):,})", f"right ({len(right):,})"],
        )  # fmt: skip
        axes.set(xlabel="score of the prediction", ylabel=of, xlim=(edges[0], edges[-1]))
        legend_below(figure, axes)
    return figure


def coverage_figure(evaluation: Evaluation) -> Figure | None:
    """The accuracy on rows whose score reaches a threshold, against the share of these rows."""
    decisions = evaluation.without_thresholds.decisions
    if decisions is None or evaluation.target.has_label_sets:
        return None
    order = np.argsort(-decisions.score, kind="stable")
    score, kept = decisions.score[order], np.arange(1, len(order) + 1)
    accuracy = decisions.right[order].cumsum() / kept
    last = np.append(np.diff(score) != 0, True)  # rows with equal scores are kept together
    share = kept[last] / len(score)
    with canvas(_title(evaluation, "Accuracy on the most confident rows")) as (figure, axes):
        axes.plot(thinned(share), thinned(accuracy[last]), color=BLUE)
        for number, threshold in enumerate((0.5, 0.8, 0.9, 0.95, 0.99)):
            above = int((score >= np.float32(threshold)).sum())
            if 0 < above < len(score):
                reached, right = above / len(score), float(accuracy[above - 1])
                label = f"score ≥ {threshold}: {reached:.1%} of rows, accuracy {right:.1%}"
                axes.plot([reached], [right], "o", color=f"C{number + 1}", label=label)
        axes.set(xlabel="share of rows kept", ylabel="accuracy", xlim=(0, 1.02))
        axes.margins(y=0.1)
        legend_below(figure, axes)
    return figure


# Numbers and lengths --------------------------------------------------------------------------------------------------
def prediction_figure(evaluation: Evaluation) -> Figure | None:
    """Predicted against true values."""
    if evaluation.target.has_probabilities:
        return None
    true, predicted = evaluation.outcomes.targets.astype(float), evaluation.decided.astype(float)
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    opacity = float(np.clip(300 / len(true), 0.08, 0.7))
    with canvas(_title(evaluation, "Predicted and true values"), 4.2) as (figure, axes):
        axes.plot([low, high], [low, high], color=GREY, linestyle=":", linewidth=1)
        axes.scatter(true, predicted, s=8, alpha=opacity, color=BLUE, linewidths=0, rasterized=True)
        axes.set(xlabel="true", ylabel="predicted")
    return figure


def residual_figure(evaluation: Evaluation) -> Figure | None:
    """The distribution of errors."""
    if evaluation.target.has_probabilities:
        return None
    residuals = evaluation.decided.astype(float) - evaluation.outcomes.targets.astype(float)
    with canvas(_title(evaluation, "Residuals")) as (figure, axes):
        axes.hist(residuals, 40, color=BLUE)
        axes.axvline(0, color=GREY, linestyle=":", linewidth=1)
        axes.axvline(float(residuals.mean()), color=ORANGE, linewidth=1.5, label=f"mean {residuals.mean():.3g}")
        axes.plot([], [], " ", label=f"standard deviation {residuals.std():.3g}")
        axes.set(xlabel="predicted - true", ylabel="rows")
        legend_below(figure, axes)
    return figure


def length_histogram_figure(evaluation: Evaluation) -> Figure | None:
    """The distribution of lengths in tokens, and how many rows exceed the maximum length."""
    lengths, limit = evaluation.outcomes.lengths, evaluation.outcomes.max_length
    longest, cut = int(lengths.max()), int((lengths > limit).sum())
    step = max(1, -(-longest // 40))
    near = limit <= 1.5 * longest
    with canvas(_title(evaluation, "Tokens per row")) as (figure, axes):
        axes.hist(lengths, [edge - 0.5 for edge in range(0, longest + 2 * step, step)], color=BLUE)
        label = f"max_length {limit:,}: {plural(cut, 'row')} longer ({cut / len(lengths):.1%})"
        axes.axvline(limit if near else longest, color=ORANGE, linewidth=1.5, alpha=1.0 if near else 0.0)
        axes.plot([], [], color=ORANGE, label=label if near else f"{label}, beyond the right edge")
        axes.set(xlabel=f"tokens (longest row: {longest:,})", ylabel="rows")
        legend_below(figure, axes)
    return figure


# Table ----------------------------------------------------------------------------------------------------------------
class FigureKind(NamedTuple):
    """A kind of figure.

    Attributes:
        name: in TensorBoard; stays the same between versions.
        title: in report.html.
        draw: draws the figure; returns None if the task does not have it.
        file: its name in the folder of `validate` and `test`; empty for none.
    """

    name: str
    title: str
    draw: Callable[[Evaluation], Figure | None]
    file: str = ""

    def image(self, evaluation: Evaluation) -> bytes | None:
        """The figure as PNG, drawn once for TensorBoard, report.html and the files."""
        if self.name not in evaluation.images:
            figure = self.draw(evaluation)
            evaluation.images[self.name] = None if figure is None else png(figure)
        return evaluation.images[self.name]


FIGURES = (
    FigureKind("confusion", "Confusion matrix", confusion_figure, "confusion_matrix.png"),
    FigureKind("confusion_normalized", "Confusion matrix, in per cent", partial(confusion_figure, normalize=True)),
    FigureKind("per_class_f1", "F1 of each label", per_class_f1_figure),
    FigureKind("precision_recall", "Precision and recall", precision_recall_figure),
    FigureKind("roc", "ROC", roc_figure),
    FigureKind("reliability", "Reliability", reliability_figure, "calibration.png"),
    FigureKind("score_histogram", "Scores", score_histogram_figure),
    FigureKind("coverage", "Coverage", coverage_figure),
    FigureKind("prediction", "Predictions", prediction_figure),
    FigureKind("residuals", "Residuals", residual_figure),
    FigureKind("length_histogram", "Lengths", length_histogram_figure),
)
"""A new figure is a function and a line here: TensorBoard and report.html then show it."""
