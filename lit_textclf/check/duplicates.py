"""Texts that occur more than once: within a split, with different labels, or in two splits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lit_textclf.check.findings import Examination, Finding, Severity, examples
from lit_textclf.data.labels.names import split_names
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.text_keys import equal_codes, joined, normalized
from lit_textclf.utils.messages import agree, plural

SEVERE_SHARE = 0.01
"""The share of a split's rows at which leaks and conflicts are severe: they can move a metric by as much."""


def text_codes(splits: Mapping[str, Rows], *, near: bool) -> dict[str, np.ndarray]:
    """A number for each row, `(rows,)`, the same for equal texts of all splits (near-equal ones with `near`)."""
    joint = []
    for rows in splits.values():
        columns = [rows.text, rows.text_pair]
        if near:
            columns = [None if column is None else normalized(column) for column in columns]
        joint.append(joined(*columns))
    return dict(zip(splits, equal_codes(joint), strict=True))


def _codes(found: Examination, *, near: bool) -> dict[str, np.ndarray]:
    """:func:`text_codes` of an examination, computed once for all checks."""
    if near not in found.text_codes:
        found.text_codes[near] = text_codes(found.rows, near=near)
    return found.text_codes[near]


def beyond_first(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows that repeat an earlier one, and for every row the first with its code, `(rows,)`."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    repeated = np.ones(len(codes), bool)
    repeated[first] = False
    return np.flatnonzero(repeated), first[inverse]


def check_duplicates(found: Examination) -> Iterator[Finding]:
    """Rows that repeat the text of an earlier row, exactly or ignoring case and punctuation."""
    for split, rows in found.rows.items():
        again, first = beyond_first(_codes(found, near=False)[split])
        nearly, near_first = beyond_first(_codes(found, near=True)[split])
        found.splits[split] |= {"duplicates": len(again), "conflicts": 0, "near_duplicates": len(nearly)}
        if len(again):
            severity: Severity = "warning" if len(again) >= SEVERE_SHARE * len(rows) else "note"
            message = f"{plural(len(again), 'row repeats', 'rows repeat')} the text of an earlier row"
            remedy = "remove them, unless a text's frequency matters"
            shown = _with_first(rows, again, first)
            yield Finding(severity, "duplicates", split, len(again), message, remedy, shown)
        if more := len(nearly) - len(again):
            repeat = plural(more, "more row repeats", "more rows repeat")
            message = f"{repeat} an earlier text, except for case and punctuation"
            shown = _with_first(rows, np.setdiff1d(nearly, again, assume_unique=True), near_first)
            yield Finding("note", "near_duplicates", split, more, message, "look at them", shown)


def _with_first(rows: Rows, repeated: np.ndarray, first: np.ndarray) -> list[str]:
    """Examples of repeated rows, each with the row that it repeats."""
    shown = zip(examples(rows, repeated), repeated, strict=False)
    return [f"{example} is {rows.where(int(first[index]))}" for example, index in shown]


def check_conflicts(found: Examination) -> Iterator[Finding]:
    """Texts that have different labels in different rows of a split."""
    for split, rows in found.rows.items():
        if rows.label is None:
            continue
        codes = _codes(found, near=False)[split]
        conflicting = _conflicts(codes, rows, found.target)
        found.splits[split]["conflicts"] = len(conflicting)
        if len(conflicting):
            severe = np.isin(codes, codes[conflicting]).mean() >= SEVERE_SHARE
            message = f"{plural(len(conflicting), 'text has', 'texts have')} more than one label"
            shown = [
                f"{example} has {_labels_of(codes, rows, index)}"
                for example, index in zip(examples(rows, conflicting), conflicting, strict=False)
            ]
            remedy = "decide on one label for each"
            severity: Severity = "severe" if severe else "warning"
            yield Finding(severity, "conflicts", split, len(conflicting), message, remedy, shown)


def _conflicts(codes: np.ndarray, rows: Rows, target: Target | None) -> np.ndarray:
    """The first row of each text that has different labels; label sets and numbers are compared by value."""
    assert rows.label is not None
    encoded = rows.label.combine_chunks().dictionary_encode()
    labels = encoded.indices.fill_null(-1).to_numpy()
    if target is not None and not target.one_label_per_row:
        values = np.concatenate([_value_codes(encoded.dictionary.to_pylist(), rows.label_lists, target), [-1]])
        labels = values[labels]
    known = labels >= 0
    pairs = np.unique(np.stack([codes[known], labels[known]]), axis=1)
    texts, labels_of_text = np.unique(pairs[0], return_counts=True)
    several = texts[labels_of_text > 1]
    _, first = np.unique(codes, return_index=True)
    return np.sort(first[np.isin(codes[first], several)])


def _value_codes(labels: list[str], lists: bool, target: Target) -> np.ndarray:
    """A number for each label as written, the same for labels that mean the same set or number."""
    values: list[Any] = []
    for label in labels:
        try:
            names = json.loads(label) if lists else split_names(label)
            values.append(float(label) if not target.has_probabilities else tuple(sorted(map(str, names))))
        except (ValueError, TypeError):
            values.append(label)
    codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
    return np.array([codes[value] for value in values], np.int64)


def _labels_of(codes: np.ndarray, rows: Rows, index: int) -> str:
    assert rows.label is not None
    same = np.flatnonzero(codes == codes[index])
    return ", ".join(sorted({str(rows.label[int(row)].as_py()) for row in same}))


def check_leaks(found: Examination) -> Iterator[Finding]:
    """Rows whose text is also in an earlier split; counted for each earlier split and for all together."""
    both = {"exact": _codes(found, near=False), "near": _codes(found, near=True)}
    names = list(found.rows)
    for index, split in enumerate(names):
        numbers: dict[str, Any] = {}
        for kind, codes in both.items():
            earlier = [codes[name] for name in names[:index]]
            numbers[kind] = int(np.isin(codes[split], np.concatenate(earlier)).sum()) if earlier else 0
        for name in names[:index]:
            exact, near = (np.flatnonzero(np.isin(codes[split], codes[name])) for codes in both.values())
            numbers[f"from_{name}"] = {"exact": len(exact), "near": len(near)}
            if len(exact):
                yield leak(split, found.rows[split], name, exact)
            if len(near) > len(exact):
                yield _near_leak(split, found.rows[split], name, exact, near)
        found.leaks[split] = numbers


def leak(split: str, rows: Rows, earlier: str, leaked: np.ndarray) -> Finding:
    """The finding that the rows of a split with the indices `leaked`, `(leaks,)`, are also in an earlier split."""
    severity: Severity = "severe" if len(leaked) >= SEVERE_SHARE * len(rows) else "warning"
    share, verb = f"{len(leaked) / len(rows):.1%}", agree(len(leaked), "is", "are")
    message = f"{len(leaked):,} of {plural(len(rows), 'row')} ({share}) {verb} also in {earlier}"
    return Finding(severity, "leak", split, len(leaked), message, _leak_remedy(split, earlier), examples(rows, leaked))


def _near_leak(split: str, rows: Rows, earlier: str, exact: np.ndarray, near: np.ndarray) -> Finding:
    severe = len(exact) < SEVERE_SHARE * len(rows) <= len(near)  # else the exact ones are severe already
    severity: Severity = "severe" if severe else "warning"
    more = np.setdiff1d(near, exact, assume_unique=True)
    are = plural(len(more), "more row is", "more rows are")
    message, remedy = f"{are} also in {earlier}, except for case and punctuation", _leak_remedy(split, earlier)
    return Finding(severity, "near_leak", split, len(more), message, remedy, examples(rows, more))


def _leak_remedy(split: str, earlier: str) -> str:
    return f"remove them from {earlier}, or the metrics of {split} are too optimistic"
