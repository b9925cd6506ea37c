"""Opening text files: one encoding or several tried in turn, and what the first bad byte was."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import pyarrow as pa

from lit_textclf.errors import UserError

_BLOCK = 1 << 20


def _codec(encoding: str) -> str:
    """The codec's name; UTF-8 is read so that a byte order mark is dropped."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise UserError(f"data.encoding: no encoding is named {encoding!r}; try utf-8, latin-1 or gb18030") from None
    return "utf-8-sig" if name == "utf-8" else name


def pick_encoding(path: Path, encodings: Sequence[str]) -> str:
    """Returns the first of the encodings in which the whole file can be decoded, else the first of all."""
    for encoding in encodings if len(encodings) > 1 else ():
        decoder = codecs.getincrementaldecoder(_codec(encoding))()
        with _open_bytes(path) as file:
            try:
                while block := file.read(_BLOCK):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
        return encoding
    return encodings[0]


def _open_bytes(path: Path) -> BinaryIO:
    """Opens a file, decompressed if it ends in .gz or .zst."""
    if path.suffix.lower() in (".gz", ".zst"):
        kind = "gzip" if path.suffix.lower() == ".gz" else "zstd"
        return pa.input_stream(str(path), compression=kind)  # type: ignore[no-any-return]
    return path.open("rb")


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Opens a text file for reading, line ends untouched; bytes that do not decode come as lone surrogates.

    Raises:
        UserError: if the file cannot be opened, or has a bad byte in an encoding that cannot keep it.
    """
    codec = _codec(encoding)
    try:
        with io.TextIOWrapper(_open_bytes(path), encoding=codec, errors="surrogateescape", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not {encoding} ({error.reason} at byte {error.start} of a block); change data.encoding"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def undecodable(text: str, encoding: str) -> str | None:
    r"""Says why a text read by :func:`open_text` is not valid, or None if it is.

    Example:
        >>> undecodable("caf" + b"\xe9".decode("utf-8", "surrogateescape"), "utf-8")
        'byte 0xe9 at character 3 is not utf-8'
        >>> undecodable("a\0b", "utf-8")
        'a NUL character stands at character 1'
    """
    if (position := text.find("\0")) >= 0:
        return f"a NUL character stands at character {position}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            return f"byte 0x{code - 0xDC00:02x} at character {error.start} is not {encoding}"
        return f"a lone surrogate U+{code:04X} stands at character {error.start}"
    return None


ENCODING_REMEDY = "save the file as UTF-8 or set data.encoding, for example to [utf-8, latin-1]"
