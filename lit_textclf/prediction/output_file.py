"""The file of predictions: written beside its path and renamed once it is complete."""

from __future__ import annotations

import codecs
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lit_textclf.utils.atomic import OTHER_OUTPUT, atomic_file, check_output, not_writable
from lit_textclf.utils.messages import UserError
from lit_textclf.utils.standard_input import STANDARD_OUTPUT, private_folder


class PredictionFile:
    """A text file of predictions.

    Args:
        path: the file to write.
        overwrite: whether to replace a file that exists.
        encoding: the file's encoding: `utf-8`, or `utf-8-sig` for spreadsheets.

    Raises:
        UserError: if the file exists and may not be replaced, or its folder cannot be written to.
    """

    def __init__(self, path: Path, *, overwrite: bool = False, encoding: str = "utf-8") -> None:
        check_output(path, overwrite)
        try:
            if not codecs.lookup(encoding)._is_text_encoding:  # type: ignore[attr-defined]
                raise LookupError
            "row".encode(encoding)
        except (LookupError, UnicodeError):
            raise UserError(f"--output_encoding {encoding!r}: no such encoding; use utf-8 or utf-8-sig") from None
        self.path, self.overwrite, self.encoding = path, overwrite, encoding
        self._file: BinaryIO | None = None
        try:  # before the rows are read, which may take a while
            tempfile.TemporaryFile(dir=path.resolve().parent).close()
        except OSError as error:
            raise not_writable(path, error) from None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Opens the file for :meth:`append`; it appears under its name when the block ends without an error.

        Raises:
            UserError: if the disk is full, or another process has written the file in the meantime.
        """
        path = self.path.resolve() if self.overwrite else self.path  # a symbolic link stays one
        try:
            with atomic_file(path, overwrite=self.overwrite, fsync=True) as self._file:
                yield
        except FileExistsError:
            raise UserError(f"{self.path}: another process has written it in the meantime; {OTHER_OUTPUT}") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None
        finally:
            self._file = None

    def append(self, lines: bytes) -> None:
        """Writes lines, which :meth:`encode` has made, within a block of :meth:`writing`."""
        assert self._file is not None
        self._file.write(lines)

    def encode(self, lines: str, *, first: bool = False) -> bytes:
        """Encodes complete lines for :meth:`append`; the first ones get a byte order mark if the encoding has one.

        Raises:
            UserError: if the encoding lacks a character.
        """
        encoder = codecs.getincrementalencoder(self.encoding)()
        try:
            if not first:
                encoder.encode("\n")
            return encoder.encode(lines, final=True)
        except UnicodeEncodeError as error:
            char = error.object[error.start]
            raise UserError(
                f"{self.path}: {char!r} cannot be encoded in {error.encoding}; use --output_encoding utf-8"
            ) from None


class StandardOutput(PredictionFile):
    """Standard output in place of a file: written once all predictions are known, and without a file's name.

    Raises:
        UserError: if standard output takes no bytes, as in a notebook.
    """

    def __init__(self, *, encoding: str = "utf-8") -> None:
        if not hasattr(sys.stdout, "buffer"):
            raise UserError("--output -: standard output takes no bytes here; name a file, as --output p.csv")
        super().__init__(private_folder() / STANDARD_OUTPUT, encoding=encoding)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Lets :meth:`append` write to standard output."""
        sys.stdout.flush()
        self._file = sys.stdout.buffer
        yield
        self._file.flush()
        self._file = None
