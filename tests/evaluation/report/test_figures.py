"""Figures show the numbers that scikit-learn has, whatever the labels are called and however many there are."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from scipy.special import softmax
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_calibration_error

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.curves import (
    average_precision,
    precision_recall,
    reliability,
    roc,
    roc_area,
    thinned,
)
from lit_textclf.evaluation.report.figure_style import png, short_names
from lit_textclf.evaluation.report.figures import (
    FIGURES,
    confusion_figure,
    coverage_figure,
    length_histogram_figure,
    per_class_f1_figure,
    precision_recall_figure,
    roc_figure,
)

CLASSES = {
    "confusion", "confusion_normalized", "per_class_f1", "precision_recall", "roc", "reliability", "score_histogram",
    "length_histogram",
}  # fmt: skip

evaluated = Evaluation


def figures_of(evaluation: Evaluation) -> dict[str, Figure]:
    return {kind.name: figure for kind in FIGURES if (figure := kind.draw(evaluation)) is not None}


def outcomes(target: Target, rows: int = 200, max_length: int = 64, better: float = 2.0) -> Outcomes:
    generator = torch.Generator().manual_seed(3)
    outputs = target.num_outputs
    logits = torch.randn(rows, outputs, generator=generator)
    if target.task == "single_label":
        targets = torch.randint(0, outputs, (rows,), generator=generator)
        logits[torch.arange(rows), targets] += better
    elif target.task == "multi_label":
        targets = torch.rand(rows, outputs, generator=generator).lt(0.3).float()
        logits += better * (targets - 0.5)
    else:
        targets = logits[:, 0] + torch.randn(rows, generator=generator)
    lengths = torch.randint(3, 90, (rows,), generator=generator)
    arrays = (each.numpy() for each in (logits, targets, lengths))
    return Outcomes("validation", target, rows_of_texts(["text"] * rows), *arrays, max_length)


def two() -> Outcomes:
    return outcomes(Target("single_label", ("no", "yes"), "no"))


def texts(figure: Figure | None) -> list[str]:
    """All that stands in a figure."""
    assert figure is not None
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def of_legend(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (Target("single_label", ("no", "yes")), CLASSES | {"coverage"}),
        (Target("single_label", tuple(f"intent_number_{number}" for number in range(77))), CLASSES | {"coverage"}),
        (Target("multi_label", ("anger", "joy", "love")), CLASSES - {"confusion", "confusion_normalized"}),
        (Target("regression"), {"prediction", "residuals", "length_histogram"}),
    ],
)
def test_each_task_has_its_figures(target: Target, names: set[str]) -> None:
    figures = figures_of(Evaluation(outcomes(target), Calibration(1.5)))
    assert figures.keys() == names
    for figure in figures.values():
        image = Image.open(io.BytesIO(png(figure)))
        assert image.width == 720
        assert len(image.convert("RGB").getcolors(1 << 20)) > 10


@pytest.mark.parametrize(
    "target",
    [
        Target("single_label", tuple(f"W{n}_a_rather_LONG_NAME_OF_an_intent" for n in range(77))),
        Target("single_label", ("negative", "positive")),
        Target("multi_label", tuple(f"label {n}" for n in range(40))),
        Target("regression"),
    ],
)
def test_nothing_is_cut_off_and_ticks_do_not_overlap(target: Target) -> None:
    for name, figure in figures_of(Evaluation(outcomes(target, 400), Calibration(1.2))).items():
        figure.canvas.draw()  # type: ignore[attr-defined]
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        tight = figure.get_tightbbox(renderer)
        width, height = figure.get_size_inches()
        assert tight.x0 >= 0, name
        assert tight.y0 >= 0, name
        assert tight.x1 <= width, name
        assert tight.y1 <= height, name
        for axis, low, high in ((figure.axes[0].xaxis, "x0", "x1"), (figure.axes[0].yaxis, "y0", "y1")):
            boxes = [label.get_window_extent(renderer) for label in axis.get_ticklabels() if label.get_text()]
            boxes.sort(key=lambda box: float(getattr(box, low)))
            for one, other in itertools.pairwise(boxes):
                assert getattr(one, high) <= getattr(other, low) + 0.5, (name, low)


def test_confusion_numbers() -> None:
    found = two()
    expected = metrics.confusion_matrix(found.targets, found.logits.argmax(-1))
    evaluation = Evaluation(found)
    shown = texts(confusion_figure(evaluation))
    assert {str(value) for value in expected.flatten()} <= set(shown)
    percent = 100 * expected / expected.sum(1, keepdims=True)
    assert {f"{value:.0f}" for value in percent.flatten()} <= set(texts(confusion_figure(evaluation, normalize=True)))


def test_many_classes_show_the_most_confused() -> None:
    names = tuple(f"c{number:02}" for number in range(40))
    targets = np.tile(np.arange(40), 10)
    guesses = targets.copy()
    guesses[targets == 33] = 5  # ten rows of c33 taken for c05: these two have the most errors
    logits = np.eye(40, dtype=np.float32)[guesses]
    rows = rows_of_texts(["x"] * 400)
    found = Outcomes("test", Target("single_label", names), rows, logits, targets, np.ones(400), 8)
    figure = confusion_figure(evaluated(found))
    assert figure is not None
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(ticks) == 20
    assert {tick.split()[0] for tick in ticks[:2]} == {"c05", "c33"}
    assert "the 20 of 40 classes with the most errors" in " ".join(figure.get_suptitle().split())


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_f1_numbers(task: str) -> None:
    found = outcomes(Target(task, ("a", "b", "c")))  # type: ignore[arg-type]
    if task == "single_label":
        guesses = found.logits.argmax(-1)
        rows = np.bincount(found.targets)
    else:
        guesses = (found.logits > 0).astype(int)
        rows = found.targets.sum(0).astype(int)
    scores = metrics.f1_score(found.targets.astype(int), guesses, average=None)
    figure = per_class_f1_figure(evaluated(found))
    assert figure is not None
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [f"{'abc'[place]} ({rows[place]})" for place in np.argsort(scores)]
    assert {f"{score:.2f}" for score in scores} <= set(texts(figure))


def test_areas_of_the_positive_label() -> None:
    found = two()
    true, scores = found.targets == 0, softmax(found.logits, -1)[:, 0]  # "no" is the positive one
    assert of_legend(precision_recall_figure(evaluated(found))) == [
        f"AP {metrics.average_precision_score(true, scores):.3f}  no"
    ]
    assert of_legend(roc_figure(evaluated(found))) == [f"AUC {metrics.roc_auc_score(true, scores):.3f}  no"]


def test_areas_of_the_worst_labels() -> None:
    found = outcomes(Target("single_label", tuple("abcdefgh")))
    true = np.eye(8)[found.targets]
    scores = softmax(found.logits, -1)
    areas = metrics.roc_auc_score(true, scores, average=None)
    micro = metrics.roc_auc_score(true, scores, average="micro")
    worst = [f"AUC {areas[place]:.3f}  {'abcdefgh'[place]}" for place in np.argsort(areas)[:5]]
    assert of_legend(roc_figure(evaluated(found))) == [f"AUC {micro:.3f}  all labels (micro)", *worst]


@pytest.mark.parametrize("rows", [2, 5, 300])
def test_curves_are_those_of_scikit_learn(rows: int) -> None:
    """Of scores some of which are equal."""
    random = np.random.default_rng(rows)
    scores, true = random.random(rows).round(1).astype(np.float32), np.arange(rows) % 2
    precision, recall, _ = metrics.precision_recall_curve(true, scores)
    found = precision_recall(scores, true)
    assert found[0] == pytest.approx(recall)
    assert found[1] == pytest.approx(precision)
    for ours, theirs in zip(roc(scores, true), metrics.roc_curve(true, scores, drop_intermediate=False), strict=False):
        assert ours == pytest.approx(theirs)
    assert average_precision(scores, true) == pytest.approx(metrics.average_precision_score(true, scores))
    assert roc_area(scores, true) == pytest.approx(metrics.roc_auc_score(true, scores))


def test_labels_without_rows_have_no_curve() -> None:
    found = two()
    one = Outcomes(found.split, found.target, found.rows, found.logits, np.ones_like(found.targets), found.lengths, 9)
    assert precision_recall_figure(evaluated(one)) is None
    assert {"roc", "precision_recall"}.isdisjoint(figures_of(Evaluation(one)))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_calibration_error(temperature: float) -> None:
    found = outcomes(Target("single_label", tuple("abcde")))
    chances = (torch.from_numpy(found.logits) / temperature).softmax(-1)
    expected = multiclass_calibration_error(chances, torch.from_numpy(found.targets), 5, n_bins=15)
    drawn = reliability(Evaluation(found, Calibration(temperature)))
    assert drawn.error == pytest.approx(float(expected), abs=1e-6)
    assert drawn.share.sum() == pytest.approx(1)


def test_coverage_by_hand() -> None:
    # Scores 0.9, 0.8 (wrong), 0.7, 0.6: a threshold of 0.8 keeps two rows, of which one is right.
    chances = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    logits = np.stack([np.zeros(4, np.float32), np.log(chances / (1 - chances))], 1)
    rows = rows_of_texts(["x"] * 4)
    labels = Target("single_label", ("no", "yes"))
    found = Outcomes("test", labels, rows, logits, np.array([1, 0, 1, 1]), np.ones(4), 8)
    figure = coverage_figure(evaluated(found))
    assert figure is not None
    line = figure.axes[0].lines[0]
    assert line.get_xdata() == pytest.approx([0.25, 0.5, 0.75, 1])
    assert line.get_ydata() == pytest.approx([1, 0.5, 2 / 3, 0.75])
    assert "score ≥ 0.8: 50.0% of rows, accuracy 50.0%" in of_legend(figure)


def test_rows_that_are_too_long_are_counted() -> None:
    found = two()
    longer = sum(length > 64 for length in found.lengths.tolist())
    assert of_legend(length_histogram_figure(evaluated(found))) == [
        f"max_length 64: {longer} rows longer ({longer / 200:.1%})"
    ]


def test_names_of_all_kinds() -> None:
    """No warning of missing glyphs or of hidden legend entries, and no formula where a name has dollar signs."""
    names = ("差评", "$5_and_$6^{", "_hidden", "a\nb", "مرحبا", "🙂", "x" * 90)
    for figure in figures_of(Evaluation(outcomes(Target("single_label", names)))).values():
        png(figure)
    assert any(
        "_hidden" in entry for entry in of_legend(roc_figure(evaluated(outcomes(Target("single_label", names[:4])))))
    )


def test_short_names_stay_different() -> None:
    long = [f"{'same beginning ' * 3}{number}" for number in range(3)]
    assert short_names(["a", " b\tc "]) == ["a", "b c"]
    cut = short_names(long)
    assert len(set(cut)) == 3
    assert all(len(name) <= 30 and "…" in name for name in cut)


def test_thinned_keeps_both_ends() -> None:
    values = thinned(np.arange(10_001), 100)
    assert (len(values), values[0], values[-1]) == (100, 0, 10_000)
