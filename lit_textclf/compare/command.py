"""The command `compare`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lit_textclf.canvas import png
from lit_textclf.compare.figure import comparison_figure
from lit_textclf.compare.resampling import Intervals, McNemar, Measure, bootstrap, mcnemar
from lit_textclf.compare.run_folders import RunResults, SharedRows, differing, read_runs, shared_rows
from lit_textclf.compare.show import csv_of, show
from lit_textclf.errors import UserError, count, say
from lit_textclf.parser import Parser
from lit_textclf.rows.paths import expanded
from lit_textclf.whole_files import check_place, write_whole

FEWEST_RESAMPLES = 100


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


def compare(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Prints what runs were set to and what they reached, and whether their differences are more than chance.

    Args:
        args: the command, the runs' folders and options.

    Returns:
        What `--format json` prints, and the figure, where one was asked for.

    Raises:
        UserError: if a folder is no run's, or runs have different tasks.
    """
    parser = Parser(
        prog="lit-textclf compare",
        description="Runs side by side: settings that differ, metrics, and on the rows that all were measured on "
        "bootstrap intervals, differences to the first run, and McNemar's test.",
    )
    parser.add_argument(
        "runs", nargs="+", type=str, metavar="RUN", help="run folders; lightning_logs stands for all runs in it"
    )
    parser.add_argument("--format", choices=["table", "json", "csv"], default="table", help="json is for machines")
    parser.add_argument("--output", type=str | None, default=None, help="also draw the figure, a PNG")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace the figure if it exists")
    parser.add_argument("--resamples", type=int, default=10_000, help="draws of the bootstrap")
    parser.add_argument("--seed", type=int, default=42, help="of the bootstrap; the same one gives the same intervals")
    options = parser.parse_args([f"{name}=true" if name == "--overwrite" else name for name in args[1:]])
    if options.resamples < FEWEST_RESAMPLES:
        raise UserError(f"--resamples {options.resamples}: at least {FEWEST_RESAMPLES} are needed for an interval")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: 0 or more is needed")
    output = None if options.output is None else expanded(options.output, "--output")
    if output is not None:
        if output.suffix.lower() != ".png":
            raise UserError(f"{output}: the figure is a PNG; give --output a name that ends in .png")
        check_place(output, options.overwrite)
    found = compared(read_runs(options.runs), options.resamples, options.seed)
    if options.format == "json":
        print(json.dumps(found.to_dict(), indent=2, allow_nan=False, default=str))
    elif options.format == "csv":
        print(csv_of(found), end="")
    else:
        show(found)
    written = []
    if output is not None:
        write_whole(output, png(comparison_figure(found)))
        written.append(output)
    elif options.format == "table":
        say("next: the same as a figure with --output comparison.png, for machines with --format json or csv")
    return found.to_dict(), written


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
        say(f"compare: no outcomes.csv in {', '.join(without)}: no intervals; run test or validate with its checkpoint")
    else:
        say(
            "compare: the runs have no labelled row in common: no intervals, and no best one; name those that were "
            "measured on the same rows"
        )


def _say_rows(runs: Sequence[RunResults], shared: SharedRows) -> None:
    if shared.relabelled:
        say(f"compare: {count(shared.relabelled, 'row')} labelled differently in the runs, left out")
    if not shared.all_rows:
        numbers = ", ".join(f"{len(run.rows.given):,}" for run in runs if run.rows is not None)
        say(
            f"compare: the runs were measured on different rows ({numbers}); intervals and differences are of the "
            f"{len(shared.given):,} that all have, the metrics each run's own"
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
