"""The last room: predictions as CSV, written batch by batch and put in place only when whole."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from lit_textclf.errors import UserError, say
from lit_textclf.labels import Target
from lit_textclf.rows import Rows


class PredictionFile:
    r"""A CSV of predictions: RFC 4180, `\n`, one row for each input row, in input order.

    The columns are `row`, the id column, `label`, `score`, `prob_<name>` for each label (regression: `prediction`),
    then `logit_<name>` and the input's columns where asked for. A number is written in the shortest form that reads
    back as the same float32.

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
        if path.is_dir():
            raise UserError(f"{path}: a folder; --output names a file")
        if path.exists() and not overwrite:
            raise UserError(f"{path}: exists already; add --overwrite, or choose another --output")
        if not path.parent.is_dir():
            raise UserError(f"{path}: the folder {path.parent} does not exist; make it, or choose another --output")
        try:
            "".encode(encoding)
        except LookupError:
            raise UserError(f"--output_encoding {encoding!r}: no such encoding; use utf-8 or utf-8-sig") from None
        try:
            handle, self._temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); choose another --output") from None
        self._file = os.fdopen(handle, "w", encoding=encoding, newline="")
        self.path, self.overwrite, self.with_logits = path, overwrite, with_logits
        # csv quotes what contains a character of the line end: with "\r\n" a lone "\r" in a text is quoted too.
        self._writer = csv.writer(_LineFeeds(self._file.write), lineterminator="\r\n")
        self.rows_written = 0

    def begin(self, target: Target, rows: Rows) -> None:
        """Writes the header."""
        self.target, self.rows = target, rows
        if target.task == "regression":
            ours = ["prediction"]
        else:
            ours = ["label", "score", *(f"prob_{name}" for name in target.labels)]
        if self.with_logits:
            ours += [f"logit_{name}" for name in target.labels or ("prediction",)]
        taken = {"row", *ours}
        ids = [] if rows.columns.id is None else [self._unique(rows.columns.id, taken)]
        kept = rows.kept.column_names if rows.kept is not None else []
        self._kept = [name for name in kept if name != rows.columns.id]
        self._write([["row", *ids, *ours, *(self._unique(name, taken) for name in self._kept)]])

    def _unique(self, name: str, taken: set[str]) -> str:
        """A name for an input's column that is not taken; says so where it is another."""
        unique = name
        while unique in taken:
            unique = f"input_{unique}"
        taken.add(unique)
        if unique != name:
            say(f"{self.path}: the input's column {name!r} is written as {unique!r}")
        return unique

    def write(self, row: Tensor, logits: Tensor) -> None:
        """Writes a batch, which must go on where the last one ended.

        Args:
            row: places in the input, int64 `(batch,)`.
            logits: float32 `(batch, outputs)`.
        """
        logits = logits.float().cpu()
        numbers = row.cpu()
        if numbers.tolist() != list(range(self.rows_written, self.rows_written + len(numbers))):
            raise RuntimeError(f"rows {numbers.tolist()} came after row {self.rows_written - 1}")
        span = (self.rows_written, len(numbers))
        columns: list[Iterable[Any]] = [numbers.tolist()]
        if self.rows.columns.id is not None and self.rows.id is not None:
            columns.append(self.rows.id.slice(*span).to_pylist())
        if self.target.task == "regression":
            columns.append(_shortest(logits[:, 0]))
        else:
            probabilities = logits.softmax(-1)
            best = logits.argmax(-1)
            columns.append([self.target.labels[index] for index in best.tolist()])
            columns.append(_shortest(probabilities.gather(1, best[:, None])[:, 0]))
            columns += [_shortest(probabilities[:, index]) for index in range(probabilities.shape[1])]
        if self.with_logits:
            columns += [_shortest(logits[:, index]) for index in range(logits.shape[1])]
        if self.rows.kept is not None:
            columns += [self.rows.kept[name].slice(*span).to_pylist() for name in self._kept]
        self._write(zip(*columns, strict=True))
        self.rows_written += len(numbers)

    def _write(self, lines: Iterable[Iterable[Any]]) -> None:
        try:
            self._writer.writerows(lines)
        except UnicodeEncodeError as error:
            raise UserError(
                f"{self.path}: {error.object[error.start]!r} has no place in {error.encoding}; use utf-8"
            ) from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None

    def commit(self) -> None:
        """Checks that every row is there and puts the file in place.

        Raises:
            UserError: if the disk is full, or another process has written the file meanwhile.
        """
        if self.rows_written != len(self.rows):
            raise RuntimeError(f"{self.rows_written} of {len(self.rows)} rows were predicted")
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(self._temporary, 0o666 & ~umask)
            if self.overwrite:
                os.replace(self._temporary, self.path)
            else:
                os.link(self._temporary, self.path)  # fails where os.replace would overwrite
                os.unlink(self._temporary)
        except FileExistsError:
            raise UserError(f"{self.path}: was written by another process meanwhile; choose another --output") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None

    def discard(self) -> None:
        """Removes what was written so far; does nothing after :meth:`commit`."""
        self._file.close()
        Path(self._temporary).unlink(missing_ok=True)


class _LineFeeds:
    r"""Takes `csv.writer`'s lines and ends them in `\n`."""

    def __init__(self, write: Callable[[str], int]) -> None:
        self._write = write

    def write(self, line: str) -> int:
        return self._write(line[:-2] + "\n")


def _shortest(values: Tensor) -> list[str]:
    """The shortest decimal that reads back as the same float32, for each of `(batch,)`."""
    return pc.cast(pa.array(values.to(torch.float32).numpy()), pa.string()).to_pylist()  # type: ignore[no-any-return]
