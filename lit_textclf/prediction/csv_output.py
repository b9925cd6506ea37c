"""The last room: predictions as CSV, written batch by batch and put in place only when whole."""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from lit_textclf.classifier.decisions import decided_by_logits
from lit_textclf.data.rows.labels import Target, join_names
from lit_textclf.data.rows.rows import Rows
from lit_textclf.prediction.glue import GlueColumns
from lit_textclf.utils.atomic import check_place, give_usual_permissions, open_beside, put_in_place
from lit_textclf.utils.csv_format import csv_lines, format_float32
from lit_textclf.utils.messages import UserError, note


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
    """

    def __init__(
        self, target: Target, id_column: str | None, kept: Sequence[str], *, with_logits: bool, where: Path,
        thresholds: Mapping[str, float] | None = None, min_score: float | None = None,
    ) -> None:  # fmt: skip
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
            logits: float32 `(rows, outputs)`.
        """
        logits = logits.float().cpu()
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
        """Counts of what is to be said of these predictions."""
        if self.min_score is None:
            return {}
        logits = logits.float()
        probabilities, best = logits.softmax(-1), decided_by_logits(self.target, logits, self.thresholds)
        return {"abstained": int((probabilities.gather(1, best[:, None])[:, 0] < self.min_score).sum())}


class PredictionFile:
    """A CSV of predictions, one row for each input row, in input order; see :class:`PredictionColumns`.

    Args:
        path: where the file is to be.
        overwrite: whether a file that is there may be replaced.
        encoding: the file's encoding, `utf-8` or `utf-8-sig` for spreadsheets.
        with_logits: write the logits too.

    Raises:
        UserError: if the file exists and may not be replaced, or its folder cannot be written to.
    """

    def __init__(
        self, path: Path, *, overwrite: bool = False, encoding: str = "utf-8", with_logits: bool = False
    ) -> None:
        check_place(path, overwrite)
        try:
            if not codecs.lookup(encoding)._is_text_encoding:  # type: ignore[attr-defined]
                raise LookupError
            "row".encode(encoding)
        except (LookupError, UnicodeError):
            raise UserError(f"--output_encoding {encoding!r}: no such encoding; use utf-8 or utf-8-sig") from None
        self.path, self.overwrite, self.with_logits, self.encoding = path, overwrite, with_logits, encoding
        self._temporary: Path | None = None
        self._file: TextIOWrapper | None = None
        self._make_temporary()
        self.discard()  # it could be written: the rows are read first, which may take a while
        self.rows: Rows | None = None
        self.rows_written = 0

    def _make_temporary(self) -> None:
        """A file beside the one that is to be, which takes its place when it is whole."""
        try:
            self._file, self._temporary = open_beside(self.path, self.encoding)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); choose another --output") from None

    def begin(self, target: Target, rows: Rows) -> None:
        """Writes the header of rows in memory, which :meth:`write` takes from there."""
        self.rows = rows
        kept = rows.kept.column_names if rows.kept is not None else []
        self.columns = PredictionColumns(target, rows.columns.id, kept, with_logits=self.with_logits, where=self.path)
        self.begin_with(self.columns)

    def begin_with(self, columns: PredictionColumns | GlueColumns) -> None:
        """Writes the header."""
        self._make_temporary()
        self._write(columns.header())

    def write(self, row: Tensor, logits: Tensor) -> None:
        """Writes a batch, which must go on where the last one ended.

        Args:
            row: places in the rows that :meth:`begin` was given, int64 `(batch,)`.
            logits: float32 `(batch, outputs)`.
        """
        numbers = row.tolist()
        if numbers != list(range(self.rows_written, self.rows_written + len(numbers))):
            raise RuntimeError(f"rows {numbers} came after row {self.rows_written - 1}")
        assert self.rows is not None
        self._write(self.columns.lines(self.rows.slice(self.rows_written, len(numbers)), logits))
        self.rows_written += len(numbers)

    def append(self, lines: BinaryIO) -> None:
        """Copies lines that were made, and encoded without a byte order mark, before."""
        assert self._file is not None
        try:
            self._file.flush()
            shutil.copyfileobj(lines, self._file.buffer, 1 << 20)
        except OSError as error:
            raise self._unwritable(error) from None

    def _write(self, lines: str) -> None:
        assert self._file is not None
        try:
            self._file.write(lines)
        except UnicodeEncodeError as error:
            raise unencodable(self.path, error) from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"{self.path}: cannot be written ({error.strerror})")

    def commit(self) -> None:
        """Checks that every row is there and puts the file in place.

        Raises:
            UserError: if the disk is full, or another process has written the file meanwhile.
        """
        if self.rows is not None and self.rows_written != len(self.rows):
            raise RuntimeError(f"{self.rows_written} of {len(self.rows)} rows were predicted")
        assert self._file is not None
        assert self._temporary is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            give_usual_permissions(self._temporary)
            if self.overwrite:
                self._temporary.replace(self.path.resolve())
            else:
                put_in_place(self._temporary, self.path)
        except FileExistsError:
            raise UserError(f"{self.path}: was written by another process meanwhile; choose another --output") from None
        except OSError as error:
            raise self._unwritable(error) from None

    def discard(self) -> None:
        """Removes what was written so far; does nothing after :meth:`commit`."""
        if self._file is not None and self._temporary is not None:
            with contextlib.suppress(OSError):  # a full disk fails once more when the rest is flushed
                self._file.close()
            self._temporary.unlink(missing_ok=True)


def unencodable(path: Path, error: UnicodeEncodeError) -> UserError:
    """Says which character an encoding lacks."""
    return UserError(f"{path}: {error.object[error.start]!r} has no place in {error.encoding}; use utf-8")
