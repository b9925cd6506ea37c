"""Compares runs: settings, metrics, and tests on the rows that all runs share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lit_textclf.compare.runs import RunResults, SharedRows, differing, shared_rows
from lit_textclf.compare.statistics import Intervals, McNemar, Measure, bootstrap, mcnemar
from lit_textclf.utils.messages import UserError, note, plural


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        settings: the settings that differ, one value for each run.
        shared: the rows that all runs share; None if they share none.
        intervals: of the metrics on these rows.
        tests: McNemar's test of each other run against the first; empty for regression.
    """

    runs: Sequence[RunResults]
    settings: Mapping[str, Sequence[Any]]
    shared: SharedRows | None
    intervals: Intervals | None
    tests: Sequence[McNemar]
    resamples: int
    seed: int

    @property
    def same_rows(self) -> bool:
        """Whether all runs were measured on the same rows, so that their metrics can be ranked."""
        return self.shared is not None and self.shared.all_rows

    def to_dict(self) -> dict[str, Any]:
        """What `--format json` prints; NaN and infinities become null."""
        found: dict[str, Any] = {
            "runs": [{"name": run.name, "folder": str(run.folder), "metrics": dict(run.metrics)} for run in self.runs],
            "settings": {name: list(values) for name, values in self.settings.items()},
            "rows": 0 if self.shared is None else len(self.shared.true),
        }
        if self.shared is not None and self.intervals is not None:
            intervals = asdict(self.intervals)
            found |= {
                "all_rows": self.shared.all_rows,
                "rows_labelled_differently": self.shared.relabelled,
                "resamples": self.resamples,
                "seed": self.seed,
                "intervals": intervals["of_runs"],
                "differences_to_first": intervals["differences"],
                "mcnemar_to_first": [asdict(test) for test in self.tests],
            }
        plain: dict[str, Any] = _without_nan(found)
        return plain


def compare_runs(runs: Sequence[RunResults], resamples: int, seed: int) -> Comparison:
    """Compares two runs or more, with as many bootstrap samples as `resamples`.

    Raises:
        UserError: if the runs' tasks differ, or the files of a run contradict each other.
    """
    tasks = {run.task: run for run in runs if run.task is not None}
    if len(tasks) > 1:
        first, second = list(tasks)[:2]
        raise UserError(
            f"the task of {tasks[first].folder} is {first}, the task of {tasks[second].folder} is {second}; compare "
            "runs of the same task"
        )
    for run in runs:
        _check_loss(run)
    shared, task = shared_rows(runs), next(iter(tasks), None)
    if shared is None or task is None:
        _note_no_intervals(runs)
        return Comparison(runs, differing(runs), None, None, [], resamples, seed)
    positive = {run.positive_label for run in runs}
    positive_label = positive.pop() if len(positive) == 1 else None
    measure = Measure(task, shared.true, shared.predicted, shared.loss, positive_label)
    intervals = bootstrap(measure, resamples, seed)
    tests = [mcnemar(measure.right[0], right) for right in measure.right[1:]]
    _note_rows(runs, shared)
    return Comparison(runs, differing(runs), shared, intervals, tests, resamples, seed)


def _check_loss(run: RunResults) -> None:
    """Refuses an `outcomes.csv` that does not match its `metrics.json`: one of them was copied or changed."""
    stated = run.metrics.get(f"{run.prefix}loss")
    if run.rows is None or stated is None or not len(run.rows.loss):
        return
    found = float(run.rows.loss.mean())
    if math.isfinite(stated) and not math.isclose(found, stated, rel_tol=1e-4, abs_tol=1e-6):
        raise UserError(
            f"{run.folder}: the mean loss is {found:.6f} in outcomes.csv and {stated:.6f} in metrics.json: they come "
            "from different evaluations; run it again"
        )


def _note_no_intervals(runs: Sequence[RunResults]) -> None:
    without = [run.name for run in runs if run.rows is None]
    if without:
        note(f"compare: no intervals without outcomes.csv ({', '.join(without)}); run test or validate first")
    else:
        note(
            "compare: the runs share no labelled rows, so they cannot be ranked; compare runs that were evaluated on "
            "the same rows"
        )


def _note_rows(runs: Sequence[RunResults], shared: SharedRows) -> None:
    if shared.relabelled:
        note(f"compare: left out {plural(shared.relabelled, 'row')} labelled differently in the runs")
    if not shared.all_rows:
        numbers = ", ".join(f"{len(run.rows.true):,}" for run in runs if run.rows is not None)
        note(
            f"compare: the runs were measured on different rows ({numbers}): intervals and differences use the "
            f"{len(shared.true):,} that all runs share, metrics use each run's own"
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
