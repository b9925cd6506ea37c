"""What a model does on a split, drawn: one function a figure, which gives None where the task has no such figure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_precision_recall_curve,
    binary_roc,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multilabel_f1_score,
)

from lit_textclf.classifier.calibration import Calibration
from lit_textclf.data.labels.target import THRESHOLD
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.curves import Decisions, ranked, reliability, thinned
from lit_textclf.evaluation.report.figure_style import canvas, legend_below, short_names
from lit_textclf.utils.messages import plural

MOST_CONFUSED = 20
MOST_BARS = 150
_BLUE, _ORANGE, _GREY = "#1f77b4", "#ff7f0e", "#8c8c8c"


def figures_of(evaluation: Evaluation) -> dict[str, Figure]:
    """All figures that the task has, by names that stay; what is right is what was decided, by thresholds too.

    Args:
        evaluation: of a split.
    """
    outcomes, decisions, calibration = evaluation.outcomes, evaluation.decisions, evaluation.calibration
    drawn = {
        "confusion": confusion_figure(decisions, normalize=False),
        "confusion_normalized": confusion_figure(decisions, normalize=True),
        "per_class_f1": per_class_f1_figure(decisions),
        "precision_recall": precision_recall_figure(outcomes),
        "roc": roc_figure(outcomes),
        "reliability": reliability_figure(outcomes, calibration),
        "score_histogram": score_histogram_figure(outcomes, calibration),
        "coverage": coverage_figure(outcomes, calibration),
        "prediction": prediction_figure(outcomes),
        "residuals": residual_figure(outcomes),
        "length_histogram": length_histogram_figure(outcomes),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _title(outcomes: Outcomes, what: str) -> str:
    return f"{what}\n({outcomes.split}, {plural(len(outcomes.targets), 'row')})"


# Classes --------------------------------------------------------------------------------------------------------------
def confusion_figure(outcomes: Outcomes, *, normalize: bool) -> Figure | None:
    """The confusion matrix: true labels down, predicted ones across.

    Args:
        outcomes: of a single-label task.
        normalize: per cent of each true label's rows, in place of numbers of rows.
    """
    if not outcomes.target.one_label_per_row:
        return None
    classes = outcomes.target.num_outputs
    matrix = multiclass_confusion_matrix(outcomes.logits, outcomes.targets, classes).numpy()
    total = matrix.sum(1, keepdims=True)
    names, note = short_names(outcomes.target.labels), ""
    shown = np.arange(classes)
    if classes > MOST_CONFUSED:
        errors = matrix.sum(0) + matrix.sum(1) - 2 * matrix.diagonal()
        shown = np.argsort(-errors, kind="stable")[:MOST_CONFUSED]
        note = f"\nthe {MOST_CONFUSED} of {classes} classes with the most errors"
    values = 100 * matrix / np.maximum(total, 1) if normalize else matrix
    values = values[np.ix_(shown, shown)]
    title = "Confusion matrix, % of each true label's rows" if normalize else "Confusion matrix, rows"
    return _matrix(_title(outcomes, title + note), values, [names[place] for place in shown])


def _matrix(title: str, values: np.ndarray, names: list[str]) -> Figure:
    size = len(names)
    numbered = size > 6 or max(map(len, names)) > 12
    across = [str(place) for place in range(1, size + 1)] if numbered else names
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


def per_class_f1_figure(outcomes: Outcomes) -> Figure | None:
    """Each label's F1 as a bar, the worst one lowest, with its number of rows."""
    target = outcomes.target
    if not target.has_probabilities:
        return None
    if target.has_label_sets:
        present = outcomes.logits.sigmoid() >= THRESHOLD
        scores = multilabel_f1_score(present.long(), outcomes.targets.long(), target.num_outputs, average="none")
        rows, predicted = outcomes.targets.sum(0), present.sum(0)
    else:
        guesses = outcomes.logits.argmax(-1)
        scores = multiclass_f1_score(guesses, outcomes.targets, target.num_outputs, average="none")
        rows = outcomes.targets.bincount(minlength=target.num_outputs)
        predicted = guesses.bincount(minlength=target.num_outputs)
    there = torch.nonzero((rows > 0) | (predicted > 0)).flatten()
    order = there[torch.argsort(scores[there], stable=True)][:MOST_BARS]
    title = "F1 of each label (in brackets the rows with it)"
    if len(order) < len(there):
        title += f"\nthe {len(order)} lowest of {len(there)}"
    if len(there) < target.num_outputs:
        title += f"\n{plural(target.num_outputs - len(there), 'label')} without rows"
    names = short_names(target.labels)
    labels = [f"{names[place]} ({int(rows[place]):,})" for place in order.tolist()]
    with canvas(_title(outcomes, title), 1.3 + 0.2 * len(order)) as (figure, axes):
        bars = axes.barh(range(len(order)), scores[order].numpy(), color=_BLUE, height=0.75)
        axes.bar_label(bars, [f"{score:.2f}" for score in scores[order].tolist()], padding=2, fontsize=8)
        axes.set_yticks(range(len(order)), labels, fontsize=8.5)
        axes.set_xlim(0, 1.12)
        axes.set_xticks(np.arange(0, 1.01, 0.25))
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel("F1")
    return figure


# Curves ---------------------------------------------------------------------------------------------------------------
def precision_recall_figure(outcomes: Outcomes) -> Figure | None:
    """Precision against recall, of the positive label or of each label against the others."""
    if not outcomes.target.has_probabilities:
        return None

    def curve(scores: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        precision, recall, _ = binary_precision_recall_curve(scores, true)
        return recall, precision

    return _curves(outcomes, "Precision and recall", "AP", binary_average_precision, curve, ("recall", "precision"))


def roc_figure(outcomes: Outcomes) -> Figure | None:
    """True against false positives, of the positive label or of each label against the others."""
    if not outcomes.target.has_probabilities:
        return None

    def curve(scores: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        false_positives, true_positives, _ = binary_roc(scores, true)
        return false_positives, true_positives

    axes = ("false positive rate", "true positive rate")
    return _curves(outcomes, "ROC", "AUC", binary_auroc, curve, axes)


def _curves(
    outcomes: Outcomes,
    what: str,
    measure: str,
    area: Callable[[Tensor, Tensor], Tensor],
    curve: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    axis_names: tuple[str, str],
) -> Figure | None:
    curves, note = ranked(outcomes, area)
    if not curves:  # all rows have one label
        return None
    with canvas(_title(outcomes, what + note), 3.8) as (figure, axes):
        for number, (name, scores, true, size) in enumerate(curves):
            x, y = (thinned(values.numpy()) for values in curve(scores, true))
            first = number == 0
            axes.plot(
                x, y, color="black" if first else f"C{(number - 1) % 10}", linewidth=1.8 if first else 1.1,
                label=f"{measure} {size:.3f}  {name}", zorder=3 if first else 2,
            )  # fmt: skip
        if measure == "AUC":
            axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
        axes.set(xlabel=axis_names[0], ylabel=axis_names[1], xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        legend_below(figure, axes)
    return figure


# Scores ---------------------------------------------------------------------------------------------------------------
def reliability_figure(outcomes: Outcomes, calibration: Calibration | None = None) -> Figure | None:
    """The share that is right against the score, before and after calibration where there was any."""
    if not outcomes.target.has_probabilities:
        return None
    multi = outcomes.target.has_label_sets
    temperature = 1.0 if calibration is None else calibration.temperature
    lines = [("as trained", _BLUE if temperature == 1 else _GREY, reliability(outcomes))]
    if temperature != 1:
        lines.append((f"temperature {temperature:.3g}", _BLUE, reliability(outcomes, calibration)))
    with canvas(_title(outcomes, "Reliability; the larger a dot, the more rows")) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
        for name, color, found in lines:
            axes.plot(found.score, found.right, color=color, linewidth=1, label=f"ECE {found.error:.3f}  {name}")
            axes.scatter(found.score, found.right, s=6 + 120 * found.share, color=color, alpha=0.7, zorder=3)
        low = 0 if multi else min(float(np.floor(10 * found.score.min()) / 10) for _, _, found in lines)
        axes.set(xlim=(low - 0.01, 1.02), ylim=(-0.02, 1.05))
        axes.set_xlabel("probability of a label" if multi else "score of the predicted label")
        axes.set_ylabel("share of rows with it" if multi else "share that is right")
        legend_below(figure, axes)
    return figure


def score_histogram_figure(outcomes: Outcomes, calibration: Calibration | None = None) -> Figure | None:
    """How often each score was given, to what is right and to what is wrong."""
    if not outcomes.target.has_probabilities:
        return None
    found = Decisions.of_outcomes(outcomes, calibration or Calibration())
    right, wrong = found.score[found.right].numpy(), found.score[~found.right].numpy()
    low, high = np.floor(50 * float(found.score.min())) / 50, np.ceil(50 * float(found.score.max())) / 50
    edges = np.linspace(low, max(high, low + 0.02), 21).tolist()  # scores of many classes may all be small
    with canvas(_title(outcomes, "Scores of what is right and what is wrong")) as (figure, axes):
        axes.hist(
            [wrong, right], edges, stacked=True, color=[_ORANGE, _BLUE],
            label=[f"wrong ({len(wrong):,})", f"right ({len(right):,})"],
        )  # fmt: skip
        axes.set(xlabel="score of what was decided", ylabel=found.of, xlim=(edges[0], edges[-1]))
        legend_below(figure, axes)
    return figure


def coverage_figure(outcomes: Outcomes, calibration: Calibration | None = None) -> Figure | None:
    """Accuracy of the rows whose score reaches a threshold, against the share of rows that do."""
    if not outcomes.target.one_label_per_row:
        return None
    found = Decisions.of_outcomes(outcomes, calibration or Calibration())
    score, order = found.score.sort(descending=True, stable=True)
    kept = torch.arange(1, len(score) + 1)
    accuracy = found.right[order].cumsum(0) / kept
    last = torch.cat([score[1:] != score[:-1], torch.tensor([True])])  # equal scores are kept or left together
    share = kept[last] / len(score)
    with canvas(_title(outcomes, "Accuracy when only sure rows are kept")) as (figure, axes):
        axes.plot(thinned(share.numpy()), thinned(accuracy[last].numpy()), color=_BLUE)
        for number, threshold in enumerate((0.5, 0.8, 0.9, 0.95, 0.99)):
            above = int((score >= threshold).sum())
            if 0 < above < len(score):
                reached, right = above / len(score), float(accuracy[above - 1])
                label = f"score ≥ {threshold}: {reached:.1%} of rows, {right:.1%} right"
                axes.plot([reached], [right], "o", color=f"C{number + 1}", label=label)
        axes.set(xlabel="share of rows that are kept", ylabel="accuracy", xlim=(0, 1.02))
        axes.margins(y=0.1)
        legend_below(figure, axes)
    return figure


# Numbers and lengths --------------------------------------------------------------------------------------------------
def _values(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    return outcomes.targets.double().numpy(), outcomes.logits.squeeze(-1).double().numpy()


def prediction_figure(outcomes: Outcomes) -> Figure | None:
    """Predicted against true values."""
    if outcomes.target.has_probabilities:
        return None
    true, predicted = _values(outcomes)
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    with canvas(_title(outcomes, "Predicted and true values"), 4.2) as (figure, axes):
        axes.plot([low, high], [low, high], color=_GREY, linestyle=":", linewidth=1)
        axes.scatter(true, predicted, s=8, alpha=_opacity(len(true)), color=_BLUE, linewidths=0, rasterized=True)
        axes.set(xlabel="true", ylabel="predicted")
    return figure


def residual_figure(outcomes: Outcomes) -> Figure | None:
    """How often predictions are how far off."""
    if outcomes.target.has_probabilities:
        return None
    true, predicted = _values(outcomes)
    residuals = predicted - true
    with canvas(_title(outcomes, "Residuals")) as (figure, axes):
        axes.hist(residuals, 40, color=_BLUE)
        axes.axvline(0, color=_GREY, linestyle=":", linewidth=1)
        axes.axvline(float(residuals.mean()), color=_ORANGE, linewidth=1.5, label=f"mean {residuals.mean():.3g}")
        spread = Line2D([], [], linestyle="none", label=f"standard deviation {residuals.std():.3g}")
        axes.add_line(spread)
        axes.set(xlabel="predicted - true", ylabel="rows")
        legend_below(figure, axes)
    return figure


def _opacity(rows: int) -> float:
    return float(np.clip(300 / max(rows, 1), 0.08, 0.7))


def length_histogram_figure(outcomes: Outcomes) -> Figure | None:
    """How long the rows are, in tokens, and how many are longer than the model reads."""
    lengths, limit = outcomes.lengths.numpy(), outcomes.max_length
    longest, cut = int(lengths.max()), int((lengths > limit).sum())
    step = max(1, -(-longest // 40))
    near = limit <= 1.5 * longest
    with canvas(_title(outcomes, "Tokens of a row")) as (figure, axes):
        axes.hist(lengths, [edge - 0.5 for edge in range(0, longest + 2 * step, step)], color=_BLUE)
        label = f"max_length {limit:,}: {plural(cut, 'row')} longer ({cut / len(lengths):.1%})"
        axes.axvline(limit if near else longest, color=_ORANGE, linewidth=1.5, alpha=1.0 if near else 0.0)
        axes.plot([], [], color=_ORANGE, label=label if near else f"{label}, beyond the right edge")
        axes.set(xlabel=f"tokens (the longest row: {longest:,})", ylabel="rows")
        legend_below(figure, axes)
    return figure
