"""Labels: how many rows each has, which are missing, and which look like mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow.compute as pc

from lit_textclf.check.findings import Examination, Finding, Severity, examples
from lit_textclf.data.labels.names import SEPARATOR, have_decimal_commas, is_written_list, number_in
from lit_textclf.data.labels.table import REGRESSION
from lit_textclf.data.labels.target import label_counts
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError, plural

IMBALANCE = 3.0
"""The ratio of the largest class to the smallest at which `class_weights` is suggested."""
FEW_ROWS = 10
MOST_LABELS = 50


def check_labels(found: Examination) -> Iterator[Finding]:
    """Rows without a label, and labels that training would refuse. Counts the rows of each label."""
    for split, rows in found.rows.items():
        found.splits[split]["labels"] = {}
        if rows.label is None:
            continue
        missing = rows.unlabelled() if found.target is None else found.target.missing(rows)
        if len(missing):
            # GLUE's test splits have no labels at all, which is fine for predict.
            severity: Severity = "note" if split == "test" and len(missing) == len(rows) else "severe"
            message = f"{plural(len(missing), 'row has', 'rows have')} no label"
            remedy = "label them or remove them" if split == "train" else "label them, or use them with predict"
            yield Finding(severity, "unlabelled", split, len(missing), message, remedy, examples(rows, missing))
            rows = rows.take(np.setdiff1d(np.arange(len(rows)), missing))
        if len(rows):
            yield from _count(found, split, rows)


def _count(found: Examination, split: str, rows: Rows) -> Iterator[Finding]:
    """Stores how many of these labelled rows each label has; for regression, their range."""
    target, numbers = found.target, found.splits[split]
    if target is None:
        numbers["labels"] = dict(sorted(label_counts(rows).items()))
        return
    try:
        encoded = target.encode(rows)
    except UserError as error:
        by_rows = sorted(label_counts(rows).items(), key=lambda item: -item[1])
        numbers["labels"] = dict(by_rows[:MOST_LABELS])
        yield Finding("severe", "labels", split, 1, f"training refuses 1 label or more: {error}", "fix it")
        return
    if not target.has_probabilities:
        values = {"min": encoded.min(), "mean": encoded.mean(), "max": encoded.max()}
        numbers["values"] = {name: float(value) for name, value in values.items()}
    elif target.has_label_sets:
        empty = target.label_task.empty_sets(encoded)
        numbers |= {"labels": label_counts(rows, target), "empty_label_sets": len(empty)}
        if len(empty):
            message = f"{plural(len(empty), 'row has', 'rows have')} an empty label set"
            remedy = "nothing to do if that is intended"
            yield Finding("note", "empty_label_sets", split, len(empty), message, remedy, examples(rows, empty))
    else:
        counts = label_counts(rows, target)
        numbers["labels"] = {name: counts[name] for name in target.labels if name in counts}


def _present(found: Examination) -> dict[str, int]:
    """The labels that training rows have, with their numbers of rows."""
    labels = found.splits.get("train", {}).get("labels", {})
    return {name: number for name, number in labels.items() if number}


def check_label_names(found: Examination) -> Iterator[Finding]:
    """Names that differ only in case or spaces, are numbers with a few exceptions, or look joined."""
    names = list(_present(found))
    if found.target is None or not found.target.has_probabilities:
        return
    alike: dict[str | float, list[str]] = {}
    for name in names:
        number = number_in(name)
        alike.setdefault(" ".join(name.casefold().split()) if number is None else number, []).append(name)
    if same := [group for group in alike.values() if len(group) > 1]:
        labels = sum(map(len, same))
        shown = "; ".join(", ".join(map(repr, group)) for group in same[:3])
        message = f"{labels:,} labels are the same except for case, spaces or the form of a number: {shown}"
        yield Finding("severe", "similar_labels", "train", labels, message, "make them one")
    if not found.target.one_label_per_row:
        yield from _comma_separated(found, names)
        return
    if lists := [name for name in names if is_written_list(name)]:
        are = plural(len(lists), "label is a list as Python writes it", "labels are lists as Python writes them")
        message = f"{are}: {_first(lists)}"
        remedy = "write a|b, and type --data.task multi_label"
        yield Finding("severe", "list_labels", "train", len(lists), message, remedy)
    yield from _almost_numbers(found, names)
    joined = [name for name in names if "|" in name]
    parts = [part for name in joined for part in name.split("|")]
    if len(joined) > 1 and len(set(parts)) < len(parts):
        message = f"{len(joined):,} labels look like names joined by |: {_first(joined)}"
        yield Finding("warning", "joined_labels", "train", len(joined), message, "type --data.task multi_label")


def _almost_numbers(found: Examination, names: list[str]) -> Iterator[Finding]:
    """Names that are numbers except for a few, or except for a comma in place of the point."""
    others = [name for name in names if number_in(name) is None]
    meant = found.data.labels_are_names
    stray = not meant and REGRESSION.stray_cell(found.rows["train"], among_integers=True) is not None
    if stray or (len(names) > 5 and 0 < len(others) <= len(names) / 5):
        message = (
            f"{plural(len(others), 'label is not a number', 'labels are not numbers')}, the other "
            f"{len(names) - len(others)} are: {_first(others)}"
        )
        remedy = "fix them for regression"
        if stray:
            remedy = "fill them in or remove the rows, or type --data.task single_label if they are a class"
        severity: Severity = "severe" if stray else "warning"
        yield Finding(severity, "almost_numbers", "train", len(others), message, remedy)
    if have_decimal_commas(names):
        message = (
            f"{plural(len(others), 'label is a number', 'labels are numbers')} with a decimal comma, used as names"
        )
        remedy = "type --data.task regression to read them as numbers, or write them with a point"
        severity = "warning" if meant else "severe"
        yield Finding(severity, "decimal_commas", "train", len(others), f"{message}: {_first(others)}", remedy)


def _comma_separated(found: Examination, names: list[str]) -> Iterator[Finding]:
    """Label sets of one name each, whose names look like several."""
    rows = found.rows["train"]
    if rows.label is None or rows.label_lists or pc.any(pc.match_substring(rows.label, SEPARATOR)).as_py():
        return
    for separator in (",", ";"):
        joined = [name for name in names if separator in name]
        parts = [part.strip() for name in names for part in name.split(separator)]
        if joined and len(set(parts)) < len(parts):
            contain = plural(len(joined), "name contains", "names contain")
            message = f"every row has one label, and {contain} {separator!r}: {_first(joined)}"
            remedy = "separate the names of a row by |, as in a|b"
            yield Finding("severe", "joined_names", "train", len(joined), message, remedy)


def check_balance(found: Examination) -> Iterator[Finding]:
    """Training labels with few rows, and label columns that look like something else."""
    present, target = _present(found), found.target
    if target is None or not target.has_probabilities or not present:
        return
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    ratio = present[largest] / present[smallest]
    if ratio >= IMBALANCE:
        message = (
            f"{plural(present[smallest], 'row has', 'rows have')} the label {smallest!r}, {present[largest]:,} have "
            f"{largest!r}: {ratio:.1f} times as many"
        )
        remedy = "type --model.class_weights balanced"
        yield Finding("warning", "imbalance", "train", present[smallest], message, remedy)
    if rare := [name for name, number in present.items() if number < FEW_ROWS]:
        message = f"{plural(len(rare), 'label has', 'labels have')} fewer than {FEW_ROWS} rows each: {_first(rare)}"
        remedy = "collect more rows of them, or merge labels"
        yield Finding("warning", "rare_labels", "train", len(rare), message, remedy)
    if not target.one_label_per_row:
        return
    labels, rows = len(found.splits["train"]["labels"]), len(found.rows["train"])
    if labels > max(MOST_LABELS, rows / 5):
        message = f"{labels:,} different labels in {plural(rows, 'row')} look like texts, ids or numbers"
        remedy = "name another column with --data.label_column, or type --data.task"
        yield Finding("severe", "label_column", "train", labels, message, remedy)
    elif labels > 10 and all(name.lstrip("-").isdecimal() for name in target.labels):
        message = f"{labels:,} labels are all integers, and are used as names"
        remedy = "type --data.task regression if they are a scale"
        yield Finding("warning", "integer_labels", "train", labels, message, remedy)


def check_absent_labels(found: Examination) -> Iterator[Finding]:
    """Training labels that no validation or test row has."""
    if found.target is None:
        return
    for split in ("validation", "test"):
        counts = found.splits.get(split, {}).get("labels")
        if counts and (absent := [name for name in _present(found) if not counts.get(name)]):
            message = f"{plural(len(absent), 'label has', 'labels have')} no row: {_first(absent)}"
            yield Finding("note", "absent_labels", split, len(absent), message, "their F1 is 0 or left out")


def _first(names: Iterable[str]) -> str:
    return ", ".join(map(repr, list(names)[:3]))
