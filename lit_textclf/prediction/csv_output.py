"""Predictions as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lit_textclf.classifier.inference.calibration import NO_PROBABILITIES, Calibration
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.data.encoded_data import EncodedData
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows
from lit_textclf.prediction.options import PredictOptions
from lit_textclf.prediction.output_format import Logits, Model, OutputFormat
from lit_textclf.utils.csv_format import check_csv_name, csv_lines, format_float32
from lit_textclf.utils.messages import UserError, note, plural
from lit_textclf.utils.standard_input import DASH, STANDARD_OUTPUT


def check_min_score(min_score: float | None, target: Target) -> None:
    """Refuses a minimum score for a task without one score per row.

    Raises:
        UserError: leave it out; label sets have thresholds instead.
    """
    if min_score is not None and not target.has_probabilities:
        raise UserError(NO_PROBABILITIES)
    if min_score is not None and not target.one_label_per_row:
        raise UserError("--min_score is for one label per row; the model predicts label sets: use --threshold")


class CsvFormat(OutputFormat):
    r"""A row for each input row, RFC 4180 with `\n`.

    The columns are `row`, the id column, `label`, `score`, `abstained` (with `--min_score`), and `prob_<name>` for each
    label; for label sets `labels` and `prob_<name>`; for a regression `prediction`. Then come `logit_<name>` and the
    input's other columns on request. A number is written in the shortest form that reads back as the same float32.

    Args:
        target: task and labels.
        id_column: the input's id column, or None.
        kept: the input's columns to write.
        where: the file, for the note on a column that is renamed.
        with_logits: write the calibrated logits, too: `prob_<name>` is their softmax, or their sigmoid for label sets.
        thresholds: decision thresholds by label; None takes the most probable label.
        min_score: rows with a lower score get no label, and `abstained` is true.
        calibration: turns raw logits into calibrated ones.
    """

    def __init__(
        self, target: Target, id_column: str | None, kept: Sequence[str], *, where: Path | str = "",
        with_logits: bool = False, thresholds: Mapping[str, float] | None = None, min_score: float | None = None,
        calibration: Calibration | None = None,
    ) -> None:  # fmt: skip
        self.target, self.id_column, self.where = target, id_column, where
        self.kept = [name for name in kept if name != id_column]
        self.with_logits, self.thresholds, self.min_score = with_logits, thresholds, min_score
        self.calibration = calibration or Calibration()

    @classmethod
    def output(cls, options: PredictOptions, data: EncodedData) -> str:
        """Refuses a name that says something else than CSV."""
        check_csv_name(options.output)
        return options.output

    @classmethod
    def from_options(cls, options: PredictOptions, model: Model, data: EncodedData) -> CsvFormat:
        """Refuses a minimum score for a task without scores."""
        target, stream = data.target, data.stream
        assert target is not None
        assert stream is not None
        check_min_score(options.min_score, target)
        where = STANDARD_OUTPUT if options.output == DASH else options.output
        return cls(
            target, stream.columns.id, stream.kept, where=where, with_logits=options.with_logits,
            thresholds=model.thresholds, min_score=options.min_score, calibration=model.calibration,
        )  # fmt: skip

    def header(self) -> str:
        """The column names; prints which of the input's columns are renamed."""
        names = list(self._predictions(np.empty((0, self.target.num_outputs), np.float32)))
        taken = {"row", *names}
        ids = [] if self.id_column is None else [self._unique(self.id_column, taken)]
        return csv_lines([["row", *ids, *names, *(self._unique(name, taken) for name in self.kept)]])

    def _unique(self, name: str, taken: set[str]) -> str:
        """A name for an input's column that is not taken yet."""
        unique = name
        while unique in taken:
            unique = f"input_{unique}"
        taken.add(unique)
        if unique != name:
            note(f"{self.where}: the input's column {name!r} is written as {unique!r}")
        return unique

    def lines(self, rows: Rows, logits: Logits) -> str:
        """A line for each row."""
        columns: list[Iterable[Any]] = [rows.row_numbers.tolist()]
        if self.id_column is not None and rows.id is not None:
            columns.append(rows.id.to_pylist())
        columns += self._predictions(logits).values()
        if rows.kept is not None:
            present = set(rows.kept.column_names)  # one of several files may lack a column
            missing = [None] * len(rows)
            columns += [rows.kept[name].to_pylist() if name in present else missing for name in self.kept]
        return csv_lines(zip(*columns, strict=True))

    def _predictions(self, logits: Logits) -> dict[str, Iterable[Any]]:
        """The columns of predictions by name, from raw logits `(rows, outputs)`."""
        calibrated = self.calibration.apply(np.asarray(logits, np.float32))
        columns = decisions_of(self.target).columns(self.target, calibrated, self.thresholds, self.min_score)
        if self.with_logits:
            names = self.target.labels or ("prediction",)
            columns |= {f"logit_{name}": calibrated[:, index] for index, name in enumerate(names)}
        numbers = {name: format_float32(values) for name, values in columns.items() if isinstance(values, np.ndarray)}
        return {**columns, **numbers}

    def tally(self, logits: Logits) -> dict[str, int]:
        """How many rows get no label."""
        if self.min_score is None:
            return {}
        return {"abstained": list(self._predictions(logits)["abstained"]).count("true")}

    def report(self, tally: Mapping[str, int], *, measured: bool) -> list[str]:
        """How many rows got no label."""
        if self.min_score is None:
            return []
        rows, without = tally["rows"], tally["abstained"]
        share = f"{without:,} of {plural(rows, 'row')} ({without / max(1, rows):.1%})"
        also = "; the metrics are of all rows, as if they had one" if measured else ""
        return [f"{share} without a label, whose score is below {self.min_score:g}{also}"]
