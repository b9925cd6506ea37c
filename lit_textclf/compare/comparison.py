"""What there is to say of some runs."""

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
    """What there is to say of some runs.

    Attributes:
        runs: in the order in which they were named.
        settings: those that differ, one value a run.
        shared: the rows that all were measured on; None where there are none.
        intervals: of the metrics on these rows.
        tests: of each run but the first against it; none where nothing is right or wrong.
        resamples: of the bootstrap.
        seed: of the bootstrap.
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
        """Whether each run's own metrics are of the same rows, so that they can be ranked."""
        return self.shared is not None and self.shared.all_rows

    def to_dict(self) -> dict[str, Any]:
        """What `--format json` prints; null for what is no number."""
        found: dict[str, Any] = {
            "runs": [{"name": run.name, "folder": str(run.folder), "metrics": dict(run.metrics)} for run in self.runs],
            "settings": {name: list(values) for name, values in self.settings.items()},
            "rows": 0 if self.shared is None else len(self.shared.given),
        }
        if self.shared is not None and self.intervals is not None:
            found |= {
                "all_rows": self.shared.all_rows,
                "rows_labelled_differently": self.shared.relabelled,
                "resamples": self.resamples,
                "seed": self.seed,
                "intervals": {name: [asdict(one) for one in each] for name, each in self.intervals.of_runs.items()},
                "differences_to_first": {
                    name: [asdict(one) for one in each] for name, each in self.intervals.differences.items()
                },
                "mcnemar_to_first": [asdict(test) for test in self.tests],
            }
        plain: dict[str, Any] = _without_nan(found)
        return plain


def compared(runs: Sequence[RunResults], resamples: int, seed: int) -> Comparison:
    """Compares runs.

    Args:
        runs: two or more.
        resamples: draws of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UserError: if the runs' tasks differ, or a run's files contradict each other.
    """
    tasks = {run.task: run for run in runs if run.task is not None}
    if len(tasks) > 1:
        first, second = list(tasks)[:2]
        raise UserError(
            f"{tasks[first].folder} is of the task {first}, {tasks[second].folder} of {second}: nothing to compare"
        )
    for run in runs:
        _check(run)
    shared, task = shared_rows(runs), next(iter(tasks), None)
    intervals, tests = None, []
    if shared is None or task is None:
        shared = None
        _say_why_not(runs)
    else:
        positive = {run.positive_label for run in runs}
        measure = Measure(
            task, shared.given, shared.predicted, shared.loss, positive.pop() if len(positive) == 1 else None
        )
        intervals = bootstrap(measure, resamples, seed)
        if task != "regression":
            tests = [mcnemar(measure.right[0], right) for right in measure.right[1:]]
        _say_rows(runs, shared)
    return Comparison(runs, differing(runs), shared, intervals, tests, resamples, seed)


def _check(run: RunResults) -> None:
    """Finds an `outcomes.csv` that is not that of `metrics.json`: one of them was copied or changed."""
    stated = run.metrics.get(f"{run.prefix}loss")
    if run.rows is None or stated is None or not len(run.rows.loss):
        return
    found = float(run.rows.loss.mean())
    if math.isfinite(stated) and not math.isclose(found, stated, rel_tol=1e-4, abs_tol=1e-6):
        raise UserError(
            f"{run.folder}: the mean loss of outcomes.csv is {found:.6f}, metrics.json says {stated:.6f}: they are not "
            "of one evaluation; run it again"
        )


def _say_why_not(runs: Sequence[RunResults]) -> None:
    without = [run.name for run in runs if run.rows is None]
    if without:
        note(
            f"compare: no outcomes.csv in {', '.join(without)}: no intervals; run test or validate with its checkpoint"
        )
    else:
        note(
            "compare: the runs have no labelled row in common: no intervals, and no best one; name those that were "
            "measured on the same rows"
        )


def _say_rows(runs: Sequence[RunResults], shared: SharedRows) -> None:
    if shared.relabelled:
        note(f"compare: {plural(shared.relabelled, 'row')} labelled differently in the runs, left out")
    if not shared.all_rows:
        numbers = ", ".join(f"{len(run.rows.given):,}" for run in runs if run.rows is not None)
        note(
            f"compare: the runs were measured on different rows ({numbers}); intervals and differences are of the "
            f"{len(shared.given):,} that all have, the metrics each run's own"
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
