"""Parts of a prediction: each process writes its own, a killed run keeps them, and rank 0 joins them into one file.

A part is a range of consecutive rows. Its lines are those of the output, so that joining copies part after part. It is
done once its record exists, and its lines have the size and the digest that the record states.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import safetensors.numpy

from lit_textclf.data.batches.parts import REMEMBERED, Part
from lit_textclf.prediction.output_file import PredictionFile
from lit_textclf.prediction.output_format import Logits, OutputFormat
from lit_textclf.utils.atomic import atomic_file
from lit_textclf.utils.messages import UserError, note, plural

_JOINED = "joined"
"""The file of the folder that has the digest of the output, once that is written."""


class PredictionParts:
    """The folder `<output>.parts` of a prediction under way.

    Args:
        file: the file to write.
        output_format: makes its lines.
        total: how many rows are predicted.
        overwrite: whether to remove the parts of another prediction.

    Attributes:
        part_rows: rows of a part, once :meth:`open` or :meth:`join` was called.
        is_open: whether the folder is this prediction's.
    """

    def __init__(
        self, file: PredictionFile, output_format: OutputFormat, total: int, *, overwrite: bool = False
    ) -> None:
        self.file, self.format, self.total, self.overwrite = file, output_format, total, overwrite
        self.folder = _folder_of(file.path)
        self.part_rows = 0
        self.is_open = False
        self._logits: dict[int, np.ndarray] = {}
        self._lock = filelock.FileLock(self.folder / "lock", blocking=False)

    @property
    def number(self) -> int:
        """How many parts there are."""
        return -(-self.total // self.part_rows)

    def rows_of(self, index: int) -> int:
        """How many rows a part has; the last one may have fewer than the others."""
        return min(self.part_rows, self.total - index * self.part_rows)

    def open(self, origin: Mapping[str, Any], part_rows: int) -> list[int]:
        """Makes the folder, or resumes with what is in it; on rank 0, which keeps other commands out.

        Args:
            origin: what the predictions depend on (input, checkpoint, options), as plain values.
            part_rows: rows of a part, unless the folder has parts already.

        Returns:
            The parts that are missing.

        Raises:
            UserError: if the folder is of another prediction, in use, or cannot be written to.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            try:
                self._lock.acquire()
            except filelock.Timeout:
                raise UserError(
                    f"{self.file.path}: another process is writing it; wait for it, or choose another --output"
                ) from None
            found = self._manifest()
            wanted = json.loads(json.dumps({"origin": dict(origin), "rows": self.total}))
            self.part_rows = part_rows
            if found is not None:
                self.part_rows = int(found["part_rows"])
                other = [name for name in wanted["origin"] if found.get("origin", {}).get(name) != origin[name]]
                if other or found.get("rows") != self.total:
                    self._start_over(other or ["rows"])
                    found, self.part_rows = None, part_rows
            if found is None:
                manifest = json.dumps({**wanted, "part_rows": part_rows}, indent=2)
                self._write(self.folder / "manifest.json", manifest.encode())
        except OSError as error:
            raise self._unwritable(error) from None
        self.is_open = True
        left = [index for index in range(self.number) if self.record(index) is None]
        if len(left) < self.number:
            done = f"{self.number - len(left):,} of {plural(self.number, 'part')}"
            note(f"predict: resuming: {done} ({self.folder}) already done")
        return left

    def join(self, part_rows: int) -> bool:
        """Joins a prediction that rank 0 has opened; whether this process sees the folder."""
        self.part_rows = part_rows
        return self._manifest() is not None

    def _start_over(self, other: list[str]) -> None:
        """Removes the parts of another command if there are none that are done, or with `--overwrite`."""
        done = self.done
        what = f"{self.folder} has {plural(done, 'part')} of another prediction (other {', '.join(other)})"
        if done and not self.overwrite:
            raise UserError(f"{what}; finish it with its own command, add --overwrite or choose another --output")
        if done:
            note(f"{what}: removed")
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()

    # Parts ------------------------------------------------------------------------------------------------------------

    def write(self, part: Part, logits: Logits) -> None:
        """Writes a complete part; logits are raw, float32 `(rows, outputs)`.

        Raises:
            UserError: if the disk is full, or the encoding lacks a character; the parts that are done are kept.
        """
        lines = self.file.encode(self.format.lines(part.rows, logits))
        part.tally.update(self.format.tally(logits))
        record = {
            "rows": len(part.rows), "bytes": len(lines), "digest": _digest_of(lines), "unmeasured": part.unmeasured,
            "tally": dict(part.tally),
        }  # fmt: skip
        try:
            self._write(self._path(part.index, "csv"), lines)
            values = {"logits": np.ascontiguousarray(logits, np.float32)}
            if part.targets is not None:
                values["targets"] = np.ascontiguousarray(part.targets)
                record["measured"] = len(part.targets)
            self._write(self._path(part.index, "safetensors"), safetensors.numpy.save(values))
            self._write(self._path(part.index, "json"), json.dumps(record).encode())
        except OSError as error:
            raise self._unwritable(error) from None

    def record(self, index: int) -> dict[str, Any] | None:
        """The record of a part, or None if the part is not done."""
        try:
            record = json.loads(self._path(index, "json").read_bytes())
            complete = self._path(index, "csv").stat().st_size == record["bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if complete and record.get("rows") == self.rows_of(index) else None

    def merge(self) -> Counter[str]:
        """Joins the parts in order into the file, puts it in place, and adds up their tallies.

        Raises:
            UserError: if a part is missing or damaged, or the disk is full: the parts are kept.
        """
        tally: Counter[str] = Counter()
        content = hashlib.blake2b(digest_size=16)
        with self.file.writing():
            header = self.file.encode(self.format.header(), first=True)
            self.file.append(header)
            content.update(header)
            for index in range(self.number):
                record = self.record(index)
                path = self._path(index, "csv")
                if record is None:
                    raise UserError(f"{path}: missing or cut short; the same command writes it again")
                lines = path.read_bytes()
                if _digest_of(lines) != record["digest"]:
                    self._path(index, "json").unlink()
                    raise UserError(f"{path}: damaged; the same command writes it again")
                self.file.append(lines)
                content.update(lines)
                tally.update(record["tally"])
            self._write(self.folder / _JOINED, content.hexdigest().encode())
        return tally

    def measured(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Logits and targets of all rows, part by part; nothing, with a note, if a row has no label."""
        records = [self.record(index) or {} for index in range(self.number)]
        reasons = [record["unmeasured"] for record in records if record.get("unmeasured")]
        if reasons:
            note(f"no metrics of the predictions: {reasons[0]}")
        if reasons or not all("measured" in record for record in records):
            return
        for index in range(self.number):
            values = safetensors.numpy.load_file(self._path(index, "safetensors"))
            yield values["logits"], values["targets"]

    def logits(self, index: int) -> np.ndarray:
        """The logits of a part that is done, float32 `(rows, outputs)`.

        Raises:
            UserError: if they are missing or damaged.
        """
        if index not in self._logits:
            path = self._path(index, "safetensors")
            try:
                self._logits[index] = safetensors.numpy.load_file(path)["logits"]
            except (OSError, safetensors.SafetensorError, KeyError) as error:
                raise UserError(
                    f"{path}: cannot be read ({error!s:.60}); remove {self.folder} and start again"
                ) from None
            while len(self._logits) > REMEMBERED:
                self._logits.pop(next(iter(self._logits)))
        return self._logits[index]

    # The folder -------------------------------------------------------------------------------------------------------

    def close(self, *, remove: bool) -> None:
        """Releases the folder; removes it if asked to, or if no part is done."""
        if self._lock.is_locked:
            self.is_open = False
            self._logits.clear()
            if remove or not self.done:
                self.remove()
            self._lock.release()

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def done(self) -> int:
        """How many parts are done."""
        return len(list(self.folder.glob("part-*.json")))

    def _manifest(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / "manifest.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and isinstance(found.get("part_rows"), int) else None

    def _path(self, index: int, kind: str) -> Path:
        return self.folder / f"part-{index:06}.{kind}"

    def _write(self, path: Path, content: bytes) -> None:
        with atomic_file(path) as file:
            file.write(content)

    def _unwritable(self, error: OSError) -> UserError:
        kept = f"; kept {plural(self.done, 'part')}; run the same command to resume" if self.done else ""
        return UserError(f"{self.folder}: cannot be written ({error.strerror}){kept}")


def _folder_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.parts")


def is_joined(path: Path) -> bool:
    """Whether a file is what the parts beside it were joined into, so that the same command may join them again.

    They are kept while the other files of the command are predicted.
    """
    try:
        known = (_folder_of(path) / _JOINED).read_text()
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest() == known
    except (OSError, ValueError):
        return False


def _digest_of(lines: bytes) -> str:
    return hashlib.blake2b(lines, digest_size=16).hexdigest()
