"""`-` for standard input and output: the name in messages, and a temporary copy of what can be read only once."""

from __future__ import annotations

import codecs
import contextlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from lit_textclf.utils.messages import UserError, note, rank, show_as

DASH = "-"
"""What users type for standard input or output."""
STANDARD_INPUT, STANDARD_OUTPUT = "standard input", "standard output"
_BINARY = {
    b"PAR1": (".parquet", "Parquet"),
    b"ARROW1": (".arrow", "Arrow"),
    b"\xff\xff\xff\xff": (".arrow", "an Arrow stream"),
    b"PK\x03\x04": (".xlsx", "an Excel workbook"),
}
_COMPRESSED = {b"\x1f\x8b": ("gzip", ".gz"), b"\x28\xb5\x2f\xfd": ("zstd", ".zst")}
_SEVERAL = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables in which torchrun and srun tell how many processes they started, each with a standard input of its own."""
_COPY = "_LITTEXTCLF_STANDARD_INPUT"
"""The variable in which rank 0 tells processes that Lightning starts where its copy is."""


_copies: dict[Any, Path] = {}
_folders: list[tempfile.TemporaryDirectory[str]] = []


def standard_input(option: str) -> Path:
    """A private temporary file with what was piped into this process, whose ending tells the format.

    Standard input is read once, and the file is removed when the process ends. Errors and notes print `standard input`
    in place of the file's name.

    Raises:
        UserError: if standard input is a terminal or closed, or several processes would share it.
    """
    is_child = rank() or multiprocessing.parent_process() is not None
    if is_child and _COPY in os.environ:
        show_as(os.environ[_COPY], STANDARD_INPUT)
        return Path(os.environ[_COPY])
    if not hasattr(sys.stdin, "buffer") or sys.stdin.closed:
        raise UserError(f"{option} -: standard input is closed; pipe the rows into it, or name a file")
    if sys.stdin not in _copies:
        if any(os.environ.get(name, "1") != "1" for name in _SEVERAL):
            raise UserError(f"{option} -: several processes cannot share standard input; save it to a file")
        if sys.stdin.isatty():
            raise UserError(f"{option} -: standard input is a terminal; pipe the rows into it, or name a file")
        _copies[sys.stdin] = _copied(sys.stdin)
    return _copies[sys.stdin]


def private_folder() -> Path:
    """A folder that only this user may read, removed when the process ends."""
    _folders.append(tempfile.TemporaryDirectory(prefix="lit_textclf_", ignore_cleanup_errors=True))
    return Path(_folders[-1].name)


def _copied(stream: Any) -> Path:
    """A copy of a stream, under a name whose ending tells its format."""
    path = private_folder() / "standard_input"
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(stream.buffer, file, 1 << 20)
        with path.open("rb") as file:
            ending, kind = _format_of(file.read(1 << 16))
        path = path.rename(path.with_suffix(ending))
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{STANDARD_INPUT}: cannot be copied to {path.parent} ({reason}); set TMPDIR, or name a file"
        ) from None
    os.environ[_COPY] = str(path)
    show_as(str(path), STANDARD_INPUT)
    note(f"{STANDARD_INPUT}: {path.stat().st_size:,} bytes, read as {kind}")
    return path


def _format_of(begin: bytes) -> tuple[str, str]:
    """A file's ending, and its format in words, by its first bytes; CSV unless they say something else."""
    for magic, found in _BINARY.items():
        if begin.startswith(magic):
            return found
    for magic, (name, packed) in _COMPRESSED.items():
        if begin.startswith(magic):
            ending, kind = _format_of(_unpacked(begin, name))
            return ending + packed, f"{kind} ({name})"
    text = begin.removeprefix(codecs.BOM_UTF8).lstrip()
    inner = text[1:].lstrip()[:1]
    if (text[:1] == b"{" and inner in (b'"', b"}")) or (text[:1] == b"[" and inner in (b"{", b"]")):
        return ".jsonl", "JSON"
    return ".csv", "CSV"


def _unpacked(begin: bytes, compression: str) -> bytes:
    """The beginning of what was compressed; nothing if it is damaged, which the reader reports."""
    found = bytearray()
    with contextlib.suppress(OSError, EOFError, pa.ArrowException):
        stream = pa.input_stream(pa.BufferReader(begin), compression=compression)
        while len(found) < 64 and (block := stream.read(64)):
            found += block
    return bytes(found)
