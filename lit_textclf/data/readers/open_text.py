"""Opens text files in one encoding, or in the first of several that fits, and names the first bad byte."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pyarrow as pa

from lit_textclf.utils.messages import UserError, first_line, note, plural

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
UTF_8_OR_CP1252 = "utf-8 or cp1252"
"""In place of an encoding: UTF-8, or else cp1252, decided by the first character beyond ASCII."""
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_ASCII, _NOT_LETTERS = bytes(range(128)), bytes(byte for byte in range(128) if not chr(byte).isalpha())
_MOST_NOT_ASCII = 0.3
"""The share of letters beyond ASCII from which a text is not Western European: cp1252 would misread it."""
_LETTERS = "".join(map(chr, range(0xC0, 0x100))).translate({0xD7: None, 0xF7: None}) + "ŠŽŒŸšžœ"
_FEW_LETTERS = re.compile(
    rf"(?<=[A-Za-z])[{_LETTERS}]{{1,2}}(?![{_LETTERS}])|(?<![{_LETTERS}])[{_LETTERS}]{{1,2}}(?=[A-Za-z])"
)
"""One or two letters beyond ASCII beside one of ASCII, as in a short text of a Western European language."""
_WORD = re.compile(r"[^\s,;|\"<>()]*[^\x00-\x7f\s][^\s,;|\"<>()]*")
_NOT_CP1252 = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
_FOR_HOST_NAMES = ("idna", "punycode")  # `codecs` lists them among the encodings


def _codec(encoding: str) -> str:
    """The codec's name; UTF-8 is read so that a byte order mark is dropped."""
    if encoding == UTF_8_OR_CP1252:
        return "utf-8-sig"
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


class _Cp1252AsUtf8(io.RawIOBase):
    """The bytes of a file, in UTF-8; those of a file whose first character beyond ASCII is not UTF-8 are cp1252.

    The file is decided as it is read, so that no file is read twice. It stays as it is, and its bad bytes are found
    later, if it contains NULs (UTF-16), UTF-8 too, or too many letters beyond ASCII to be Western European.

    Attributes:
        replaced: the number of characters read as cp1252.
        word: the first word with such a letter, or with another such character.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.replaced, self.word = 0, ""
        self._file, self._left = file, memoryview(b"")
        self._is_cp1252: bool | None = None

    def readable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Closes the file, too."""
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer; 0 at the end."""
        if not len(self._left):
            self._left = memoryview(self._next())
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _next(self) -> bytes:
        block = self._file.read(_BLOCK)
        if self._is_cp1252 is None and not block.isascii():
            block += self._file.read(3)  # the longest character has four bytes
            self._is_cp1252 = _looks_like_cp1252(block)
        if not self._is_cp1252:
            return block
        if _has_utf_8(block):
            name = getattr(self._file, "name", "the file")
            raise UserError(f"{name}: has cp1252 and utf-8; convert it to one of them, or set --data.encoding")
        self.replaced += len(block.translate(None, _ASCII))
        text = block.decode("cp1252", "surrogateescape")
        if not self.word:
            words = _WORD.findall(text)
            self.word = next((word for word in words if not set(_LETTERS).isdisjoint(word)), words[0] if words else "")
        return text.encode("utf-8", "surrogateescape")


def _looks_like_cp1252(block: bytes) -> bool:
    """Whether bytes, not all of them ASCII, are not UTF-8 and may be cp1252."""
    found = _NOT_ASCII.search(block)
    start = found.start() if found else 0
    for length in (2, 3, 4):
        with contextlib.suppress(UnicodeDecodeError):
            block[start : start + length].decode("utf-8")
            return False
    if b"\0" in block or _has_utf_8(block):
        return False
    beyond, letters = len(block.translate(None, _ASCII)), len(block.translate(None, _NOT_LETTERS))
    return beyond <= _MOST_NOT_ASCII * letters or _is_short_cp1252(block.decode("cp1252", "replace"))


def _is_short_cp1252(text: str) -> bool:
    """Whether all characters beyond ASCII are letters beside letters of ASCII, never more than two in a row."""
    beyond = sum(not char.isascii() for char in text)
    return beyond == sum(map(len, _FEW_LETTERS.findall(text)))


def _has_utf_8(block: bytes) -> bool:
    """Whether more than a tenth of the bytes beyond ASCII are characters of UTF-8; in cp1252 such pairs are rare."""
    as_utf_8 = block.decode("utf-8", "ignore").encode("utf-8")
    return 10 * len(as_utf_8.translate(None, _ASCII)) > len(block.translate(None, _ASCII))


def note_cp1252(path: Path, file: TextIO) -> None:
    """Reports how many characters of a file from :func:`open_text` were read as cp1252, at its end."""
    if replaced := read_as_cp1252(file):
        found = f"{plural(replaced, 'character')} read as cp1252, because the file is not utf-8"
        note(f"{path}: {found}{as_in(cp1252_word(file))}")


def read_as_cp1252(file: TextIO) -> int:
    """How many characters of a file from :func:`open_text` were read as cp1252."""
    return getattr(getattr(file.buffer, "raw", None), "replaced", 0)


def cp1252_word(file: TextIO) -> str:
    """A word of a file from :func:`open_text` by which one sees whether cp1252 is right; empty if it is utf-8."""
    return getattr(getattr(file.buffer, "raw", None), "word", "")


def as_in(word: str) -> str:
    """An example of a guessed encoding, and how to change it, for the end of a note."""
    example = f", as in {word:.30} (if that is wrong, " if word.isprintable() and word else " ("
    return f"{example}set --data.encoding, for Central Europe to cp1250)"


def _open_bytes(path: Path) -> BinaryIO:
    """Opens a file, and decompresses it by its ending."""
    if kind := COMPRESSED.get(path.suffix.lower()):
        return pa.input_stream(str(path), compression=kind)  # type: ignore[no-any-return]
    file = path.open("rb")
    begin = file.peek(max(map(len, _NOT_TEXT)))  # a pipe cannot seek
    for magic, what in _NOT_TEXT.items():
        if begin.startswith(magic):
            file.close()
            raise UserError(f"{path}: not text but {what.format(path.name)}")
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
        with _says_why_not(path), contextlib.ExitStack() as stack:
            binary = stack.enter_context(_open_bytes(path))
            if encoding == UTF_8_OR_CP1252:
                binary = stack.enter_context(io.BufferedReader(_Cp1252AsUtf8(binary)))
            yield stack.enter_context(io.TextIOWrapper(binary, codec, errors="surrogateescape", newline=""))
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
            windows = code - 0xDC00 not in _NOT_CP1252
            known = "for a file from Windows to [utf-8, cp1252]" if windows else "for example to gb18030"
            return (
                f"byte 0x{code - 0xDC00:02x} at character {error.start} is not "
                f"{'utf-8' if encoding == UTF_8_OR_CP1252 else encoding}; save the file as UTF-8 or set "
                f"--data.encoding, {known}"
            )
        return f"a lone surrogate U+{code:04X} at character {error.start}; remove it"
    return None
