"""A comparison as a figure: each metric of each run, with its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from lit_textclf.classifier.metric_table import higher_is_better, shown_in
from lit_textclf.compare.statistics import LEVEL, Interval
from lit_textclf.evaluation.report.figure_style import canvas, short_names
from lit_textclf.utils.messages import plural

if TYPE_CHECKING:
    from lit_textclf.compare.comparison import Comparison


def comparison_figure(found: Comparison) -> Figure:
    """One panel a metric, one line a run, the first run on top."""
    panels = _panels(found)
    names = short_names([run.name for run in found.runs])
    title = f"{plural(len(names), 'run')}; {LEVEL:.0%} intervals on the same "
    title += "rows" if found.shared is None else plural(len(found.shared.given), "row")
    if found.intervals is None:
        title = f"{plural(len(names), 'run')}, each on its own rows"
    with canvas(title, 0.7 + len(panels) * (0.75 + 0.22 * len(names))) as (figure, whole):
        whole.remove()
        for axes, (metric, values) in zip(
            figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
        ):
            places = np.arange(len(names))[::-1]
            for place, one in zip(places, values, strict=True):
                low, high = (one.value, one.value) if math.isnan(one.low) else (one.low, one.high)
                axes.plot([low, high], [place, place], color="#1f77b4", linewidth=2, solid_capstyle="butt")
                axes.plot([one.value], [place], "o", color="#1f77b4", markersize=5)
            # What the first run reached, to see on which side the others are.
            axes.axvline(values[0].value, color="#8c8c8c", linestyle=":", linewidth=1)
            axes.set_yticks(places, names, fontsize=8.5)
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.margins(x=0.08)
            better = higher_is_better(metric)
            side = "" if better is None else " (more is better)" if better else " (less is better)"
            axes.set_xlabel(f"{metric}{side}", fontsize=9)
            axes.tick_params(axis="x", labelsize=8)
    return figure


def _panels(found: Comparison) -> dict[str, list[Interval]]:
    if found.intervals is not None:
        return dict(found.intervals.of_runs)
    first = found.runs[0]
    panels = {}
    for name in shown_in("interval"):
        values = [run.metrics.get(f"{run.prefix}{name}", math.nan) for run in found.runs]
        if not any(map(math.isnan, values)):
            label = f"{first.prefix}{name}" if len({run.prefix for run in found.runs}) == 1 else name
            panels[label] = [Interval(value, math.nan, math.nan) for value in values]
    return panels
