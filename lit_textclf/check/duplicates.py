"""Texts that stand more than once: in a split, with different labels, or in two splits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lit_textclf.check.findings import Finding, examples
from lit_textclf.data.labels.names import split_names
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.normalize import equal_codes, joined, normalised
from lit_textclf.data.rows.rows import Rows

SEVERE_SHARE = 0.01
"""From this share of a split's rows on, leaks and conflicts are severe: they move a metric by as much."""


def text_codes(splits: Mapping[str, Rows], *, near: bool) -> dict[str, np.ndarray]:
    """A number for each row, `(rows,)`, equal for equal texts of all splits; of near-equal ones with `near`."""
    joint = []
    for rows in splits.values():
        columns = [rows.text, rows.text_pair]
        if near:
            columns = [None if column is None else normalised(column) for column in columns]
        joint.append(joined(*columns))
    return dict(zip(splits, equal_codes(joint), strict=True))


def beyond_first(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows that repeat an earlier one, and for every row the first with its code, `(rows,)`."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    repeated = np.ones(len(codes), bool)
    repeated[first] = False
    return np.flatnonzero(repeated), first[inverse]


def _with_first(rows: Rows, repeated: np.ndarray, first: np.ndarray) -> list[str]:
    """Examples of repeated rows, each with the row that it repeats."""
    shown = zip(examples(rows, repeated), repeated, strict=False)
    return [f"{example} is {rows.where(int(first[index]))}" for example, index in shown]


def repeats_of(
    split: str, rows: Rows, exact: np.ndarray, near: np.ndarray, target: Target | None
) -> tuple[dict[str, int], list[Finding]]:
    """Duplicates (rows beyond the first of each text), near duplicates, and texts with more than one label."""
    (again, first), (nearly, near_first) = beyond_first(exact), beyond_first(near)
    numbers = {"duplicates": len(again), "conflicts": 0, "near_duplicates": len(nearly)}
    findings = []
    if len(again):
        findings.append(
            Finding(
                "warning" if len(again) >= SEVERE_SHARE * len(rows) else "note",
                "duplicates",
                split,
                len(again),
                "rows repeat the text of an earlier row",
                "remove them, unless a text's frequency matters",
                _with_first(rows, again, first),
            )
        )
    if more := len(nearly) - len(again):
        only_nearly = np.setdiff1d(nearly, again, assume_unique=True)
        findings.append(
            Finding(
                "note",
                "near_duplicates",
                split,
                more,
                "more rows repeat an earlier text, except for case and punctuation",
                "look at them",
                _with_first(rows, only_nearly, near_first),
            )
        )
    if rows.label is not None:
        conflicting = _conflicts(exact, rows, target)
        numbers["conflicts"] = len(conflicting)
        if len(conflicting):
            share = np.isin(exact, exact[conflicting]).mean()
            findings.append(
                Finding(
                    "severe" if share >= SEVERE_SHARE else "warning",
                    "conflicts",
                    split,
                    len(conflicting),
                    "texts stand there with more than one label",
                    "decide on one label for each",
                    [
                        f"{example} has {_labels_of(exact, rows, index)}"
                        for example, index in zip(examples(rows, conflicting), conflicting, strict=False)
                    ],
                )
            )
    return numbers, findings


def _conflicts(codes: np.ndarray, rows: Rows, target: Target | None) -> np.ndarray:
    """The first row of each text that stands with different labels; sets and numbers are compared as such."""
    assert rows.label is not None
    encoded = rows.label.combine_chunks().dictionary_encode()
    labels = encoded.indices.fill_null(-1).to_numpy()
    if target is not None and not target.one_label_per_row:
        whole = np.concatenate([_as_meant(encoded.dictionary.to_pylist(), rows.label_lists, target), [-1]])
        labels = whole[labels]
    known = labels >= 0
    pairs = np.unique(np.stack([codes[known], labels[known]]), axis=1)
    texts, labels_of_text = np.unique(pairs[0], return_counts=True)
    several = texts[labels_of_text > 1]
    _, first = np.unique(codes, return_index=True)
    return np.sort(first[np.isin(codes[first], several)])


def _as_meant(spelled: list[str], lists: bool, target: Target) -> np.ndarray:
    """A number for each spelling of a label, equal for those that mean the same set or number."""
    meant: list[Any] = []
    for name in spelled:
        try:
            names = json.loads(name) if lists else split_names(name)
            meant.append(float(name) if not target.has_probabilities else tuple(sorted(map(str, names))))
        except (ValueError, TypeError):
            meant.append(name)
    places = {value: place for place, value in enumerate(dict.fromkeys(meant))}
    return np.array([places[value] for value in meant], np.int64)


def _labels_of(codes: np.ndarray, rows: Rows, index: int) -> str:
    assert rows.label is not None
    same = np.flatnonzero(codes == codes[index])
    return ", ".join(sorted({str(rows.label[int(row)].as_py()) for row in same}))


def leaks_of(
    splits: Mapping[str, Rows], exact: Mapping[str, np.ndarray], near: Mapping[str, np.ndarray]
) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Rows of each split whose text stands in an earlier split, from each and from all together."""
    names, leaks, findings = list(splits), {}, []
    for place, split in enumerate(names):
        found: dict[str, Any] = {}
        for codes, kind in ((exact, "exact"), (near, "near")):
            earlier = [codes[name] for name in names[:place]]
            found[kind] = int(np.isin(codes[split], np.concatenate(earlier)).sum()) if earlier else 0
        for name in names[:place]:
            leaked = np.flatnonzero(np.isin(exact[split], exact[name]))
            nearly = np.flatnonzero(np.isin(near[split], near[name]))
            found[f"from_{name}"] = {"exact": len(leaked), "near": len(nearly)}
            findings += _leak_findings(splits, split, name, leaked, nearly)
        leaks[split] = found
    return leaks, findings


def _leak_findings(
    splits: Mapping[str, Rows], split: str, earlier: str, leaked: np.ndarray, nearly: np.ndarray
) -> list[Finding]:
    rows, findings = splits[split], []
    remedy = f"remove them from {earlier}, or the metrics of {split} are better than the model"
    severe = len(leaked) >= SEVERE_SHARE * len(rows)
    if len(leaked):
        message = f"of {len(rows):,} rows ({len(leaked) / len(rows):.1%}) also stand in {earlier}"
        findings.append(
            Finding(
                "severe" if severe else "warning", "leak", split, len(leaked), message, remedy, examples(rows, leaked)
            )
        )
    if more := len(nearly) - len(leaked):
        only_nearly = np.setdiff1d(nearly, leaked, assume_unique=True)
        severe = not severe and len(nearly) >= SEVERE_SHARE * len(rows)
        message = f"more rows are also in {earlier}, except for case and punctuation"
        findings.append(
            Finding(
                "severe" if severe else "warning",
                "near_leak",
                split,
                more,
                message,
                remedy,
                examples(rows, only_nearly),
            )
        )
    return findings
