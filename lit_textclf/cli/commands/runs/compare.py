"""The command `compare`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_textclf.cli.parser import Parser
from lit_textclf.compare.comparison import compare_runs
from lit_textclf.compare.runs import read_runs
from lit_textclf.compare.tables import csv_of, show
from lit_textclf.utils.atomic import check_output, write_file
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import expand_path

FEWEST_RESAMPLES = 100


def compare(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Compares runs; returns what `--format json` prints, and the figure's path with `--output`."""
    parser = Parser(
        prog="lit-textclf compare",
        description="Shows runs side by side: settings that differ, metrics, and, on the rows that all runs were "
        "measured on, bootstrap intervals, differences to the first run, and McNemar's test.",
    )
    parser.add_argument(
        "runs", nargs="+", type=str, metavar="RUN", help="run folders; lightning_logs means all runs in it"
    )
    parser.add_argument("--format", choices=["table", "json", "csv"], default="table", help="json is for machines")
    parser.add_argument("--output", type=str | None, default=None, help="PNG file for a figure of the comparison")
    parser.add_argument("--overwrite", type=bool, default=False, help="overwrite the figure if it exists")
    parser.add_argument("--resamples", type=int, default=10_000, help="number of bootstrap samples")
    parser.add_argument("--seed", type=int, default=42, help="seed of the bootstrap")
    options = parser.parse_args([f"{name}=true" if name == "--overwrite" else name for name in args[1:]])
    if options.resamples < FEWEST_RESAMPLES:
        raise UserError(f"--resamples {options.resamples}: must be at least {FEWEST_RESAMPLES} for an interval")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: must be 0 or more")
    output = None if options.output is None else expand_path(options.output, "--output")
    if output is not None:
        if output.suffix.lower() != ".png":
            raise UserError(f"--output {output}: the figure is a PNG file; choose a name that ends in .png")
        check_output(output, options.overwrite)
    found = compare_runs(read_runs(options.runs), options.resamples, options.seed)
    if options.format == "json":
        print(json.dumps(found.to_dict(), indent=2, allow_nan=False, default=str))
    elif options.format == "csv":
        print(csv_of(found), end="")
    else:
        show(found)
    written = []
    if output is not None:
        from lit_textclf.compare.figure import comparison_figure  # matplotlib takes longer than the comparison
        from lit_textclf.evaluation.report.figure_style import png

        write_file(output, png(comparison_figure(found)))
        written.append(output)
    elif options.format == "table":
        note("next: --output comparison.png draws this as a figure; --format json or csv is for machines")
    return found.to_dict(), written
