"""A comparison as tables on the terminal, and as CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from lit_textclf.classifier.metrics.table import higher_is_better
from lit_textclf.compare.comparison import Comparison
from lit_textclf.compare.statistics import LEVEL, Interval, McNemar
from lit_textclf.utils.console import stdout_console
from lit_textclf.utils.csv_format import csv_lines

_MAX_CHARS = 60


def show(found: Comparison) -> None:
    """Prints the comparison on standard output."""
    console = stdout_console()
    names = [run.name for run in found.runs]
    if found.settings:
        console.print("settings that differ")
        settings = {name: [Text(_short(value)) for value in values] for name, values in found.settings.items()}
        console.print(_table("setting", names, settings, justify="left"))
    else:
        console.print("no settings differ")
    console.print("metrics; * is the best" if found.same_rows else "metrics")
    metrics = {}
    for metric, numbers in metrics_of(found).items():
        best = best_of(metric, numbers) if found.same_rows else set()
        metrics[metric] = [_marked(metric, number, index in best) for index, number in enumerate(numbers)]
    console.print(_table("metric", names, metrics))
    if found.shared is None or found.intervals is None:
        return
    console.print(
        f"on the same {len(found.shared.true):,} rows: {LEVEL:.0%} intervals of {found.resamples:,} bootstrap samples"
    )
    values = {metric: list(map(_formatted, intervals)) for metric, intervals in found.intervals.of_runs.items()}
    console.print(_table("metric", names, values))
    console.print(Text(f"difference from {names[0]}, on the same samples; * is significant ({LEVEL:.0%})"))
    differences = {
        metric: [_formatted(one, sign=True) for one in intervals]
        for metric, intervals in found.intervals.differences.items()
    }
    console.print(_table("metric", names[1:], differences))
    for name, test in zip(names[1:], found.tests, strict=bool(found.tests)):
        console.print(Text(sentence(names[0], name, test)), soft_wrap=True)
    if len(found.tests) > 1:
        console.print("p-values and intervals are not corrected for the number of comparisons")


def sentence(first: str, second: str, test: McNemar) -> str:
    """McNemar's test in words."""
    return (
        f"{second} against {first}: {test.only_second:,} rows right only in {second}, {test.only_first:,} only in "
        f"{first}; McNemar's exact test p = {test.p_value:.2g}"
    )


def _table(title: str, names: Sequence[str], rows: Mapping[str, Sequence[Text]], justify: Any = "right") -> Table:
    table = Table(Column(title, overflow="fold"))
    for name in names:
        table.add_column(Text(name), justify=justify, overflow="fold")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def metrics_of(found: Comparison) -> dict[str, list[float]]:
    """The value of each metric in each run, NaN if a run lacks it; speeds and the like come last."""
    names = list(dict.fromkeys(name for run in found.runs for name in run.metrics))
    names.sort(key=lambda name: not name.startswith(("test_", "val_")))
    return {name: [run.metrics.get(name, math.nan) for run in found.runs] for name in names}


def best_of(metric: str, numbers: Sequence[float]) -> set[int]:
    """The indices of the best numbers; empty if the metric has no direction or all numbers are equal."""
    higher = higher_is_better(metric)
    choose = None if higher is None else max if higher else min
    finite = [number for number in numbers if math.isfinite(number)]
    if choose is None or len(finite) < 2 or min(finite) == max(finite):
        return set()
    best = choose(finite)
    return {index for index, number in enumerate(numbers) if number == best}


def _marked(metric: str, number: float, best: bool) -> Text:
    if math.isnan(number):
        return Text("")
    formatted = f"{number:,.0f}" if metric == "epochs" else f"{number:,.4f}"
    return Text(f"*{formatted}", style="bold") if best else Text(formatted)


def _formatted(one: Interval, *, sign: bool = False) -> Text:
    """A value with its interval; with `sign` a difference, marked if the interval excludes 0."""
    if math.isnan(one.low):
        return Text("" if math.isnan(one.value) else f"{one.value:.4f}")
    form = "+.4f" if sign else ".4f"
    formatted = f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"
    chance = one.low <= 0 <= one.high
    return Text(f"*{formatted}", style="bold") if sign and not chance else Text(formatted)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    # The end of a path is more informative than its beginning.
    return text if len(text) <= _MAX_CHARS else f"…{text[1 - _MAX_CHARS :]}"


def csv_of(found: Comparison) -> str:
    """The comparison as CSV: a line for each differing setting, metric and interval of each run."""
    lines: list[Sequence[Any]] = [["run", "kind", "name", "value", "low", "high"]]
    metrics = metrics_of(found)
    intervals: Mapping[str, list[Interval]] = {} if found.intervals is None else found.intervals.of_runs
    differences = {} if found.intervals is None else found.intervals.differences
    for index, run in enumerate(found.runs):
        for name, values in found.settings.items():
            value = values[index]
            lines.append([run.name, "setting", name, value if isinstance(value, str) else json.dumps(value), "", ""])
        for name, numbers in metrics.items():
            if not math.isnan(numbers[index]):
                lines.append([run.name, "metric", name, numbers[index], "", ""])
        for name, each in intervals.items():
            lines.append([run.name, "on_shared_rows", name, *_cells(each[index])])
        for name, each in differences.items():
            if index:
                lines.append([run.name, "difference_to_first", name, *_cells(each[index - 1])])
        if index and found.tests:
            test = found.tests[index - 1]
            lines.append([run.name, "mcnemar_to_first", "p_value", test.p_value, "", ""])
    return csv_lines(lines)


def _cells(one: Interval) -> list[float | str]:
    return ["" if math.isnan(number) else number for number in (one.value, one.low, one.high)]
