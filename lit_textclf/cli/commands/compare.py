"""The command `compare`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_textclf.cli.parser import Parser
from lit_textclf.compare.comparison import compared
from lit_textclf.compare.figure import comparison_figure
from lit_textclf.compare.runs import read_runs
from lit_textclf.compare.tables import csv_of, show
from lit_textclf.evaluation.report.figure_style import png
from lit_textclf.utils.atomic import check_output, write_file
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import expand_path

FEWEST_RESAMPLES = 100


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
    output = None if options.output is None else expand_path(options.output, "--output")
    if output is not None:
        if output.suffix.lower() != ".png":
            raise UserError(f"{output}: the figure is a PNG; give --output a name that ends in .png")
        check_output(output, options.overwrite)
    found = compared(read_runs(options.runs), options.resamples, options.seed)
    if options.format == "json":
        print(json.dumps(found.to_dict(), indent=2, allow_nan=False, default=str))
    elif options.format == "csv":
        print(csv_of(found), end="")
    else:
        show(found)
    written = []
    if output is not None:
        write_file(output, png(comparison_figure(found)))
        written.append(output)
    elif options.format == "table":
        note("next: the same as a figure with --output comparison.png, for machines with --format json or csv")
    return found.to_dict(), written
