"""Predictions as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_textclf.classifier.calibration import Calibration
from lit_textclf.classifier.decisions import decided_by_logits
from lit_textclf.data.rows.labels import Target, join_names
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.csv_format import csv_lines, format_float32
from lit_textclf.utils.messages import note


class PredictionColumns:
    r"""The columns of predictions, and their lines: RFC 4180, `\n`.

    The columns are `row`, the id column, `label`, `score`, with a least score `abstained`, `prob_<name>` for each label
    (multi-label: `labels`, `prob_<name>`; regression: `prediction`), then `logit_<name>` and the input's columns where
    asked for. A number is written in the shortest form that reads back as the same float32.

    Args:
        target: task and labels.
        id_column: the name of the input's id column, or None.
        kept: the input's columns that are written too.
        with_logits: write the logits too.
        where: the file, for what is said of columns with another name.
        thresholds: by label the probability from which on it is given; None takes the most probable one.
        min_score: below it no label is given, and `abstained` is true.
        calibration: turns the rows' raw logits into those that are written: `prob_<name>` is their softmax (their
            sigmoid for label sets).
    """

    def __init__(
        self, target: Target, id_column: str | None, kept: Sequence[str], *, with_logits: bool, where: Path,
        thresholds: Mapping[str, float] | None = None, min_score: float | None = None,
        calibration: Calibration | None = None,
    ) -> None:  # fmt: skip
        self.calibration = calibration or Calibration()
        self.thresholds, self.min_score = thresholds, min_score
        self.target, self.id_column, self.with_logits, self.where = target, id_column, with_logits, where
        self.kept = [name for name in kept if name != id_column]

    def header(self) -> str:
        """The first line; says which of the input's columns have another name in it."""
        target = self.target
        if target.task == "regression":
            ours = ["prediction"]
        elif target.task == "multi_label":
            ours = ["labels", *(f"prob_{name}" for name in target.labels)]
        else:
            abstained = [] if self.min_score is None else ["abstained"]
            ours = ["label", "score", *abstained, *(f"prob_{name}" for name in target.labels)]
        if self.with_logits:
            ours += [f"logit_{name}" for name in target.labels or ("prediction",)]
        taken = {"row", *ours}
        ids = [] if self.id_column is None else [self._unique(self.id_column, taken)]
        return csv_lines([["row", *ids, *ours, *(self._unique(name, taken) for name in self.kept)]])

    def _unique(self, name: str, taken: set[str]) -> str:
        """A name for an input's column that is not taken; says so where it is another."""
        unique = name
        while unique in taken:
            unique = f"input_{unique}"
        taken.add(unique)
        if unique != name:
            note(f"{self.where}: the input's column {name!r} is written as {unique!r}")
        return unique

    def lines(self, rows: Rows, logits: Tensor) -> str:
        """The lines of some rows.

        Args:
            rows: the rows.
            logits: raw, float32 `(rows, outputs)`.
        """
        logits = self.calibration.apply(logits.float().cpu())
        numbers = np.arange(len(rows)) if rows.row_numbers is None else rows.row_numbers
        columns: list[Iterable[Any]] = [numbers.tolist()]
        if self.id_column is not None and rows.id is not None:
            columns.append(rows.id.to_pylist())
        if self.target.task == "regression":
            columns.append(format_float32(logits[:, 0]))
        elif self.target.task == "multi_label":
            probabilities = logits.sigmoid()
            given = decided_by_logits(self.target, logits, self.thresholds)
            columns.append([join_names(names) for names in self.target.sets(given.numpy())])
            columns += [format_float32(probabilities[:, index]) for index in range(probabilities.shape[1])]
        else:
            probabilities = logits.softmax(-1)
            best = decided_by_logits(self.target, logits, self.thresholds)
            scores = probabilities.gather(1, best[:, None])[:, 0]
            unsure = torch.zeros_like(best, dtype=torch.bool) if self.min_score is None else scores < self.min_score
            names = [self.target.labels[index] for index in best.tolist()]
            columns.append(["" if out else name for name, out in zip(names, unsure.tolist(), strict=True)])
            columns.append(format_float32(scores))
            if self.min_score is not None:
                columns.append([str(out).lower() for out in unsure.tolist()])
            columns += [format_float32(probabilities[:, index]) for index in range(probabilities.shape[1])]
        if self.with_logits:
            columns += [format_float32(logits[:, index]) for index in range(logits.shape[1])]
        if rows.kept is not None:
            there = set(rows.kept.column_names)  # of several files one may lack a column
            nothing = [None] * len(rows)
            columns += [rows.kept[name].to_pylist() if name in there else nothing for name in self.kept]
        return csv_lines(zip(*columns, strict=True))

    def tally(self, logits: Tensor) -> dict[str, int]:
        """Counts of what is to be said of these predictions, by their raw logits."""
        if self.min_score is None:
            return {}
        logits = self.calibration.apply(logits.float())
        probabilities, best = logits.softmax(-1), decided_by_logits(self.target, logits, self.thresholds)
        return {"abstained": int((probabilities.gather(1, best[:, None])[:, 0] < self.min_score).sum())}
