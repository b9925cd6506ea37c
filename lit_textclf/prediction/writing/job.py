"""A prediction from its options to its file, whatever computes the logits."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_textclf.classifier.inference.calibration import formatted
from lit_textclf.data.batches.parts import Part
from lit_textclf.prediction.formats import find_format
from lit_textclf.prediction.options import PredictOptions
from lit_textclf.prediction.output_file import PredictionFile, StandardOutput
from lit_textclf.prediction.output_format import Logits, Model, OutputFormat
from lit_textclf.prediction.writing.parts import PredictionParts, is_joined
from lit_textclf.prediction.writing.progress import RowsProgress
from lit_textclf.utils.atomic import refuse_input
from lit_textclf.utils.messages import UserError, note, plural
from lit_textclf.utils.paths import expand_path, resolve_files
from lit_textclf.utils.standard_input import DASH
from lit_textclf.version import __version__

if TYPE_CHECKING:
    from lit_textclf.data.encoded_data import EncodedData
    from lit_textclf.data.rows.stream import RowStream

Measure = Callable[[Iterable[tuple[np.ndarray, np.ndarray]]], dict[str, float]]
"""Computes metrics from raw logits and targets, part by part; none without parts."""


class PredictionJob:
    """Opens the file and its parts, collects batches into parts, joins them and measures.

    Args:
        options: of `predict`.
        progress_bar: whether to show a bar.

    Attributes:
        path: the file, once it is open; None for standard output.
        left: the parts that are to be predicted.
        metrics: the metrics of the last prediction if all its rows had labels; otherwise empty.
    """

    data: EncodedData
    file: PredictionFile
    format: OutputFormat
    parts: PredictionParts
    stream: RowStream

    def __init__(self, options: PredictOptions, *, progress_bar: bool = False) -> None:
        self.options = options
        self.path: Path | None = None
        self.metrics: dict[str, float] = {}
        self.left: list[int] = []
        self.is_open = False
        self._progress_bar, self._progress = progress_bar, RowsProgress(shown=False)
        self._held: dict[int, _Held] = {}
        self._can_resume, self._keeps_parts = True, False

    def write_next_to(self, path: Path) -> None:
        """Sets the file of the next prediction, one of several, whose parts are kept."""
        self.options, self._keeps_parts = replace(self.options, output=str(path)), True

    def open(self, model: Any, data: EncodedData, *, processes: int = 1, inputs: Sequence[Path] = ()) -> None:
        """Checks options and output file, and then reads the rows.

        Args:
            model: the classifier.
            data: has the rows.
            processes: how many predict.
            inputs: files that may not be written to, besides the data's.

        Raises:
            UserError: for anything wrong in the options, the output file or the input.
        """
        data.keep_columns(*(["predict"] if self.options.keep_columns else []))
        output_format = find_format(self.options.format)
        file = self._opened(output_format.output(self.options, data), processes)
        files = data.files("predict")
        refuse_input(file.path, [*(resolve_files(files, "data.predict_file") if files is not None else []), *inputs])
        data.prepare("predict", model)
        assert data.stream is not None
        self.data, self.stream, self.file = data, data.stream, file
        self.path = None if isinstance(file, StandardOutput) else file.path
        self.format = output_format.from_options(self.options, model, data)
        self.parts = PredictionParts(file, self.format, self.stream.total, overwrite=self.options.overwrite)
        self.metrics, self._held, self.is_open = {}, {}, True

    def _opened(self, output: str, processes: int) -> PredictionFile:
        """The file to write, or standard output, to which one process writes."""
        if output != DASH:
            path = expand_path(output, "--output")
            overwrite = self.options.overwrite or is_joined(path)
            return PredictionFile(path, overwrite=overwrite, encoding=self.options.output_encoding)
        if processes > 1:
            raise UserError("--output -: several processes cannot share standard output; name a file")
        return StandardOutput(encoding=self.options.output_encoding)

    def origin(
        self, model: Model, *, options: Mapping[str, Any], known: str | None, precision: str, device: str,
        versions: Sequence[str],
    ) -> dict[str, Any]:  # fmt: skip
        """What predictions depend on; the parts of a stopped prediction are used only if all of it is the same.

        Args:
            model: the classifier.
            options: the classifier's options.
            known: identifies its weights; None for weights in memory.
            precision: of the computation.
            device: that computes.
            versions: of the libraries that compute.
        """
        data, stream, own = self.data, self.stream, self.options
        read = data.read_options
        self._can_resume = known is not None and self.path is not None
        return {
            "input": stream.digest, "logits": "raw",
            # Weights in memory cannot be recognized: no other prediction has this token.
            "checkpoint": known or secrets.token_hex(16),
            "calibration": model.calibration.to_dict(),
            "model options": {name: repr(value) for name, value in options.items()},
            "options": {
                **{name: value for name, value in data.carried.items() if name != "positive_label"},
                "encoding": list(read.encodings), "delimiter": read.delimiter, "quote_char": read.quote_char,
                "eval_batch_size": data.eval_batch_size, "batch_by_length": data.batch_by_length,
                "pad_to_max_length": data.pad_to_max_length, "columns": [stream.columns.text, stream.columns.id],
                "with_logits": own.with_logits, "keep_columns": own.keep_columns,
                "output_encoding": own.output_encoding, "format": self.format.name,
                "threshold": model.thresholds, "min_score": own.min_score, "precision": precision, "device": device,
            },
            "versions": [__version__, *versions],
        }  # fmt: skip

    def start(self, own: Iterable[int], *, shown: bool = True) -> None:
        """Starts the clock of the parts that are left, of which this process predicts its `own`."""
        self._progress = RowsProgress(shown=self._progress_bar and shown)
        total, mine = (sum(map(self.parts.rows_of, indices)) for indices in (self.left, own))
        self._progress.start(total, mine)

    def take(
        self, row: np.ndarray, logits: np.ndarray, part: Part | None, as_given: Callable[[np.ndarray], Logits]
    ) -> None:
        """Takes a batch, and writes its part if that is complete.

        Args:
            row: the rows' indices in the input, `(batch,)`.
            logits: raw, float32 `(batch, outputs)`.
            part: the part that the batch begins; None if it continues one.
            as_given: makes of an array what the format gets.
        """
        index = int(row[0]) // self.parts.part_rows
        if part is not None:
            self._held[index] = _Held(part)
        held = self._held[index]
        self._progress.compute(len(row))
        if held.add(row, logits):
            self.parts.write(held.part, as_given(held.logits(self.parts)))
            del self._held[index]
            self._progress.advance(len(held.part.rows))

    def stop_clock(self) -> None:
        """Stops the clock, when all parts are written."""
        self._progress.stop()

    def finish(self, model: Model, measure: Measure) -> dict[str, float]:
        """Joins the parts, measures them, and reports what was done; returns the metrics."""
        tally = self.parts.merge()
        metrics = metrics_of([self.parts], measure)
        self.parts.close(remove=not self._keeps_parts)
        self._say(tally, model, measured=bool(metrics))
        return metrics

    def _say(self, tally: Counter[str], model: Model, *, measured: bool) -> None:
        if model.thresholds is not None:
            note(f"predict: labels are assigned by threshold: {formatted(model.thresholds)}")
        for line in self.format.report(tally, measured=measured):
            note(f"predict: {line}")
        note(f"predict: {self.data.predict_report(tally)}; {self._progress.speed()}")
        if equal := tally["equal"]:
            note(f"predict: {plural(equal, 'row')} equal to another one, computed once")
        if empty := tally["empty_label_sets"]:
            note(f"predict: {plural(empty, 'row')} with an empty label set, which counts as a label set")

    def close(self) -> None:
        """Keeps the parts of an unfinished prediction, with a note, if they can be resumed."""
        if not self.is_open:
            return
        self.is_open = False
        self._progress.stop()
        stopped = self.parts.is_open and self.parts.done
        self.parts.close(remove=not self._can_resume)
        if stopped and self.path is None:
            note("predict: stopped; nothing is kept, because standard output cannot be resumed: name a file")
        elif stopped and not self._can_resume:
            note("predict: stopped; nothing is kept, because weights in memory cannot be recognized: use ckpt_path")
        elif stopped:
            of = f"{self.parts.done:,} of {plural(self.parts.number, 'part')}"
            note(f"predict: kept {of} in {self.parts.folder}; run the same command to resume")


def metrics_of(predictions: Iterable[PredictionParts], measure: Measure) -> dict[str, float]:
    """The metrics of all rows of some predictions; none if a row has no label."""
    return measure(chain.from_iterable(parts.measured() for parts in predictions))


class _Held:
    """A part whose batches are being collected."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._wanted = len(part.computed)
        self._rows: list[np.ndarray] = []
        self._logits: list[np.ndarray] = []
        self._have = 0

    def add(self, row: np.ndarray, logits: np.ndarray) -> bool:
        """Takes a batch; whether the part is complete."""
        self._rows.append(row - self.part.start)
        self._logits.append(logits)
        self._have += len(row)
        return self._have == self._wanted

    def logits(self, parts: PredictionParts) -> np.ndarray:
        """The logits of all rows, float32 `(rows, outputs)`; those of equal texts come from earlier parts."""
        logits = np.concatenate(self._logits)
        of_row = np.empty((len(self.part.rows), logits.shape[1]), np.float32)
        of_row[np.concatenate(self._rows)] = logits
        for known, (part, row_of_part) in self.part.known.items():
            of_row[known] = parts.logits(part)[row_of_part]
        return np.asarray(of_row[self.part.taken])
