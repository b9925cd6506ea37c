"""What `check` prints on a terminal."""

from __future__ import annotations

from typing import Any

import yaml
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from lit_textclf.check.findings import Examination
from lit_textclf.check.lengths import histogram
from lit_textclf.utils.console import stdout_console
from lit_textclf.utils.messages import clean, plural

ROWS = ("rows", "blank", "duplicates", "near_duplicates", "conflicts", "truncated")
TOKENS = ("p5", "p50", "p95", "p99", "max")
MOST_LABELS = 20


def show(found: Examination, suggestion: dict[str, dict[str, Any]]) -> None:
    """Prints numbers, histogram, findings and suggested options on standard output."""
    console = stdout_console()
    console.print(_numbers(found))
    if labels := _labels(found):
        console.print(labels)
    if "train" in found.lengths:
        sampled = found.splits["train"]["tokens"].get("sampled_rows")
        of = f"of each row, in a sample of {sampled:,} rows" if sampled else "of each row"
        console.print(Text(f"train: {found.unit} {of}"))
        console.print(_histogram(found))
    for finding in found.findings:
        console.print(Text(f"{finding.severity}: {finding.split}: {finding.message}"), soft_wrap=True)
        for example in finding.examples:
            console.print(Text(f"    {example}"), soft_wrap=True)
        console.print(Text(f"    -> {finding.remedy}"), soft_wrap=True)
    if not found.findings:
        console.print("nothing was found")
    console.print(Text("suggested options:\n"))
    console.print(Text(yaml.safe_dump(suggestion, sort_keys=False, allow_unicode=True)), soft_wrap=True)


def _table(first: str, found: Examination) -> Table:
    """A table with a column for each split."""
    table = Table(first)
    for split in found.splits:
        table.add_column(split, justify="right")
    return table


def _numbers(found: Examination) -> Table:
    table = _table("", found)
    for name in ROWS:
        table.add_row(name.replace("_", " "), *(f"{numbers[name]:,}" for numbers in found.splits.values()))
    for earlier in list(found.splits)[:-1]:
        for kind in ("exact", "near"):
            of_splits = [found.leaks[split].get(f"from_{earlier}", {}).get(kind, "") for split in found.splits]
            table.add_row(f"also in {earlier} ({kind})", *map(str, of_splits))
    for name in TOKENS:
        table.add_row(f"{found.unit}, {name}", *(f"{numbers['tokens'][name]:,}" for numbers in found.splits.values()))
    return table


def _labels(found: Examination) -> Table | None:
    names = list(dict.fromkeys(name for numbers in found.splits.values() for name in numbers["labels"]))
    if not names:
        return None
    table = _table("label", found)
    for name in names[:MOST_LABELS]:
        table.add_row(Text(clean(name)), *(f"{numbers['labels'].get(name, 0):,}" for numbers in found.splits.values()))
    if len(names) > MOST_LABELS:
        table.add_row(f"and {plural(len(names) - MOST_LABELS, 'more label')}", *("" for _ in found.splits))
    return table


def _histogram(found: Examination) -> Table:
    bins = histogram(found.lengths["train"])
    largest = max(rows for *_, rows in bins)
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(width=40)
    for start, end, rows in bins:
        table.add_row(f"{start:,} to {end:,}", f"{rows:,}", Bar(largest, 0, rows, width=40))
    return table
