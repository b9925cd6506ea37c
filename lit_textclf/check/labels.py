"""Labels: how many rows each has, which are missing, and what training would make of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lit_textclf.check.findings import Finding, examples
from lit_textclf.data.labels.target import Target, label_counts
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError

IMBALANCE = 3.0
"""From this ratio of the largest class to the smallest on, `class_weights` is suggested."""
FEW_ROWS = 10
MOST_LABELS = 50


def labels_of(split: str, rows: Rows, target: Target | None) -> tuple[dict[str, Any], list[Finding]]:
    """Counts by label (their range, for regression), and what is wrong with the labels of one split."""
    if rows.label is None:
        return {"labels": {}}, []
    findings = []
    missing = rows.unlabelled() if target is None else target.missing(rows)
    if len(missing):
        # A test split without any label is what GLUE has: fine in predict.
        findings.append(
            Finding(
                "note" if split == "test" and len(missing) == len(rows) else "severe",
                "unlabelled",
                split,
                len(missing),
                "rows have no label",
                "label them or remove them" if split == "train" else "label them, or use them with predict",
                examples(rows, missing),
            )
        )
    labelled = rows if not len(missing) else rows.take(np.setdiff1d(np.arange(len(rows)), missing))
    if not len(labelled):
        return {"labels": {}}, findings
    if target is not None:
        try:
            encoded = target.encode(labelled)
        except UserError as error:
            findings.append(
                Finding("severe", "labels", split, 1, f"label that training does not take, or more: {error}", "fix it")
            )
            return {"labels": _sorted(label_counts(labelled))}, findings
        if not target.has_probabilities:
            numbers = {"min": encoded.min(), "mean": encoded.mean(), "max": encoded.max()}
            return {"labels": {}, "values": {name: float(value) for name, value in numbers.items()}}, findings
        if target.has_label_sets:
            empty = target.label_task.empty_sets(encoded)
            if len(empty):
                findings.append(
                    Finding(
                        "note",
                        "empty_label_sets",
                        split,
                        len(empty),
                        "rows have an empty label set",
                        "none is needed if that is meant",
                        examples(labelled, empty),
                    )
                )
            return {"labels": label_counts(labelled, target), "empty_label_sets": len(empty)}, findings
    counts = label_counts(labelled)
    names = sorted(counts) if target is None else [name for name in target.labels if name in counts]
    return {"labels": {name: counts[name] for name in names}}, findings


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:MOST_LABELS])


def balance_of(rows: Rows, counts: Mapping[str, int], target: Target) -> list[Finding]:
    """Classes of the training rows that are rare, and label columns that look like something else."""
    if not target.has_probabilities:
        return []
    findings = []
    present = {name: number for name, number in counts.items() if number}
    if not present:
        return []
    findings += _odd_names(list(present), target)
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    ratio = present[largest] / present[smallest]
    if ratio >= IMBALANCE:
        message = f"rows have the label {smallest!r}, {present[largest]:,} have {largest!r}: {ratio:.1f} times as many"
        findings.append(
            Finding("warning", "imbalance", "train", present[smallest], message, "set model.class_weights balanced")
        )
    if rare := [name for name, number in present.items() if number < FEW_ROWS]:
        shown = ", ".join(map(repr, rare[:3]))
        findings.append(
            Finding(
                "warning",
                "rare_labels",
                "train",
                len(rare),
                f"labels have fewer than {FEW_ROWS} rows each: {shown}",
                "collect more rows of them, or merge labels",
            )
        )
    if len(counts) > max(MOST_LABELS, len(rows) / 5) and target.one_label_per_row:
        findings.append(
            Finding(
                "severe",
                "label_column",
                "train",
                len(counts),
                f"different labels stand in {len(rows):,} rows: these look like texts, ids or numbers",
                "name another data.label_column, or set data.task",
            )
        )
    elif target.one_label_per_row and len(counts) > 10 and _are_integers(target):
        findings.append(
            Finding(
                "warning",
                "integer_labels",
                "train",
                len(counts),
                "labels are all integers, and taken as names",
                "set data.task regression if they are a scale",
            )
        )
    return findings


def _odd_names(names: list[str], target: Target) -> list[Finding]:
    """Names that differ only in case or spaces, are all numbers but a few, or look joined."""
    findings = []
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(" ".join(name.casefold().split()), []).append(name)
    if same := [group for group in alike.values() if len(group) > 1]:
        shown = "; ".join(", ".join(map(repr, group)) for group in same[:3])
        message = f"labels are the same except for case and spaces: {shown}"
        findings.append(Finding("warning", "similar_labels", "train", sum(map(len, same)), message, "make them one"))
    if not target.one_label_per_row:
        return findings
    others = [name for name in names if not name.replace(".", "", 1).lstrip("+-").isdecimal()]
    if len(names) > 5 and 0 < len(others) <= len(names) / 5:
        message = (
            f"labels are not numbers, the other {len(names) - len(others)} are: {', '.join(map(repr, others[:3]))}"
        )
        findings.append(Finding("warning", "almost_numbers", "train", len(others), message, "fix them for regression"))
    joined = [name for name in names if "|" in name]
    parts = [part for name in joined for part in name.split("|")]
    if len(joined) > 1 and len(set(parts)) < len(parts):
        message = f"labels look like names joined by |: {', '.join(map(repr, joined[:3]))}"
        findings.append(Finding("warning", "joined_labels", "train", len(joined), message, "set data.task multi_label"))
    return findings


def _are_integers(target: Target) -> bool:
    return all(name.lstrip("-").isdecimal() for name in target.labels)


def unseen_labels(counts: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """Labels of the training rows that no validation row has."""
    found = []
    for split in ("validation", "test"):
        if counts.get(split):
            absent = [name for name, number in counts["train"].items() if number and not counts[split].get(name)]
            if absent:
                shown = ", ".join(map(repr, absent[:3]))
                found.append(
                    Finding(
                        "note",
                        "absent_labels",
                        split,
                        len(absent),
                        f"labels have no row: {shown}",
                        "their F1 is 0 or left out",
                    )
                )
    return found
