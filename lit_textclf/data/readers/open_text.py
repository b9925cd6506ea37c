"""Opens text files in one encoding, or in the first of several that fits, and names the first bad byte."""

from __future__ import annotations

import codecs
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import pyarrow as pa

from lit_textclf.utils.messages import UserError, first_line, note

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
"""Endings of compressed text files, with pyarrow's names of the compressions."""
_NOT_TEXT = {
    b"PK\x03\x04": "a ZIP file (an Excel workbook?); save it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save it as CSV",
    b"\x1f\x8b": "a gzip file; name it {}.gz",
    b"\x28\xb5\x2f\xfd": "a zstd file; name it {}.zst",
    b"PAR1": "a Parquet file; name it .parquet",
    b"ARROW1": "an Arrow file; name it .arrow",
}
"""How files begin that are sometimes called .csv, and what they are."""
_BLOCK = 1 << 20
_FOR_HOST_NAMES = ("idna", "punycode")  # `codecs` lists them among the encodings


def _codec(encoding: str) -> str:
    """The codec's name; UTF-8 is read so that a byte order mark is dropped."""
    try:
        codec = codecs.lookup(encoding)
        name = codec.name
        # Private, but what open() itself uses: base64, hex, rot13 and zlib are codecs too.
        if name in _FOR_HOST_NAMES or not codec._is_text_encoding:
            raise UserError(f"data.encoding: {encoding!r} is not a text encoding; try utf-8, cp1252 or gb18030")
        "text".encode(name)  # the codec `undefined` refuses everything
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        raise UserError(f"data.encoding: unknown encoding {encoding!r}; try utf-8, cp1252 or gb18030") from None
    return "utf-8-sig" if name == "utf-8" else name


def pick_encoding(path: Path, encodings: Sequence[str]) -> str:
    """Returns the first encoding that decodes the complete file, or the first of all if none does.

    Raises:
        UserError: if the file cannot be read at all, or an encoding is unknown.
    """
    codec_names = [_codec(encoding) for encoding in encodings]
    for encoding, codec in zip(encodings, codec_names, strict=True) if len(encodings) > 1 else ():
        decoder = codecs.getincrementaldecoder(codec)()
        with _says_why_not(path), _open_bytes(path) as file:
            try:
                while block := file.read(_BLOCK):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeError:
                continue
        return encoding
    return encodings[0]


def pick_encoding_aloud(path: Path, encodings: Sequence[str]) -> str:
    """Picks the encoding as :func:`pick_encoding`, and reports one that is not the first."""
    encoding = pick_encoding(path, encodings)
    if encoding != encodings[0]:
        note(f"{path}: 1 file read as {encoding}, not {encodings[0]}")
    return encoding


def _open_bytes(path: Path) -> BinaryIO:
    """Opens a file, and decompresses it by its ending."""
    if kind := COMPRESSED.get(path.suffix.lower()):
        return pa.input_stream(str(path), compression=kind)  # type: ignore[no-any-return]
    file = path.open("rb")
    begin = file.read(max(map(len, _NOT_TEXT)))
    for magic, what in _NOT_TEXT.items():
        if begin.startswith(magic):
            file.close()
            raise UserError(f"{path}: not text but {what.format(path.name)}")
    file.seek(0)
    return file


@contextmanager
def _says_why_not(path: Path) -> Iterator[None]:
    """Turns errors of opening, reading and decompressing into one line."""
    try:
        yield
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({reason_of(error)})") from None


def reason_of(error: Exception) -> str:
    """One line on what went wrong, in the system's words where it has any."""
    system = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else ""
    return system or first_line(error)[:120]


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Opens a text file for reading; line ends stay, and bytes that do not decode become lone surrogates.

    Raises:
        UserError: if the file cannot be opened, or has a bad byte that its encoding cannot keep.
    """
    codec = _codec(encoding)
    try:
        with (
            _says_why_not(path),
            io.TextIOWrapper(_open_bytes(path), encoding=codec, errors="surrogateescape", newline="") as file,
        ):
            yield file
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not {encoding} ({error.reason} at byte {error.start} of a block); change --data.encoding"
        ) from None
    except UnicodeError as error:  # UTF-16 or UTF-32 without a byte order mark
        raise UserError(
            f"{path}: not {encoding} ({error}); set --data.encoding, for example to {encoding}-le"
        ) from None


def undecodable(text: str, encoding: str) -> str | None:
    r"""Tells why a text read by :func:`open_text` is not valid, and what to do; None if it is valid.

    Example:
        >>> undecodable("caf" + b"\xe9".decode("utf-8", "surrogateescape"), "utf-8")
        'byte 0xe9 at character 3 is not utf-8; save the file as UTF-8 or set --data.encoding, ...
        >>> undecodable("a\0b", "utf-8")
        'a NUL at character 1; remove it (a file full of them is UTF-16: set --data.encoding utf-16)'
    """
    if (position := text.find("\0")) >= 0:
        return f"a NUL at character {position}; remove it (a file full of them is UTF-16: set --data.encoding utf-16)"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            return (
                f"byte 0x{code - 0xDC00:02x} at character {error.start} is not {encoding}; save the file as UTF-8 or "
                "set --data.encoding, for example to [utf-8, cp1252]"
            )
        return f"a lone surrogate U+{code:04X} at character {error.start}; remove it"
    return None
