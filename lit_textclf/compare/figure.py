"""A comparison as a figure: each metric of each run, with its interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lit_textclf.classifier.metrics.table import higher_is_better, shown_in
from lit_textclf.compare.comparison import Comparison
from lit_textclf.compare.statistics import LEVEL, Interval
from lit_textclf.evaluation.report.figure_style import BLUE, GREY, canvas, short_names
from lit_textclf.utils.messages import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def comparison_figure(found: Comparison) -> Figure:
    """One panel for each metric, one line for each run, the first run on top."""
    panels = _panels(found)
    names = short_names([run.name for run in found.runs])
    title = plural(len(names), "run")
    if found.shared is None:
        title += ", each on its own rows"
    else:
        title += f"; {LEVEL:.0%} intervals on the same {plural(len(found.shared.true), 'row')}"
    with canvas(title, 0.7 + len(panels) * (0.75 + 0.22 * len(names))) as (figure, single):
        single.remove()
        all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axes, (metric, values) in zip(all_axes, panels.items(), strict=True):
            heights = np.arange(len(names))[::-1]
            for height, one in zip(heights, values, strict=True):
                low, high = (one.value, one.value) if math.isnan(one.low) else (one.low, one.high)
                axes.plot([low, high], [height, height], color=BLUE, linewidth=2, solid_capstyle="butt")
                axes.plot([one.value], [height], "o", color=BLUE, markersize=5)
            # The first run's value, to compare the others with.
            axes.axvline(values[0].value, color=GREY, linestyle=":", linewidth=1)
            axes.set_yticks(heights, names, fontsize=8.5)
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.margins(x=0.08)
            direction = {True: " (higher is better)", False: " (lower is better)", None: ""}[higher_is_better(metric)]
            axes.set_xlabel(f"{metric}{direction}", fontsize=9)
            axes.tick_params(axis="x", labelsize=8)
    return figure


def _panels(found: Comparison) -> dict[str, list[Interval]]:
    if found.intervals is not None:
        return dict(found.intervals.of_runs)
    prefixes = {run.prefix for run in found.runs}
    panels = {}
    for name in shown_in("interval"):
        values = [run.metrics.get(f"{run.prefix}{name}", math.nan) for run in found.runs]
        if not any(map(math.isnan, values)):
            label = f"{next(iter(prefixes))}{name}" if len(prefixes) == 1 else name
            panels[label] = [Interval(value, math.nan, math.nan) for value in values]
    return panels
