"""Encodings tried in turn, and bytes that do not decode."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_textclf.errors import UserError
from lit_textclf.rows.text_files import open_text, pick_encoding, undecodable

BLOCK = 1 << 20
"""The files are read in blocks of a mebibyte; a character may stand across two."""


def text_of(path: Path, encoding: str) -> str:
    with open_text(path, encoding) as file:
        return file.read()


@pytest.mark.parametrize(
    ("content", "encodings", "expected"),
    [
        ("caf\u00e9".encode(), ["utf-8", "latin-1"], "utf-8"),
        ("caf\u00e9".encode("latin-1"), ["utf-8", "latin-1"], "latin-1"),
        ("caf\u00e9".encode("latin-1"), ["utf-8"], "utf-8"),
        ("caf\u00e9".encode("latin-1"), ["utf-8", "ascii"], "utf-8"),
        ("\u4e2d\u6587".encode("gb18030"), ["utf-8", "ascii", "gb18030"], "gb18030"),
        ("caf\u00e9".encode()[:-1], ["utf-8", "latin-1"], "latin-1"),
        (b"", ["utf-8", "latin-1"], "utf-8"),
        (b"x" * (BLOCK - 1) + "\u00e9".encode(), ["utf-8", "latin-1"], "utf-8"),
        (b"x" * (BLOCK + 7) + b"\xe9", ["utf-8", "latin-1"], "latin-1"),
    ],
)
def test_the_first_encoding_that_fits_the_whole_file(
    tmp_path: Path, content: bytes, encodings: list[str], expected: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    assert pick_encoding(path, encodings) == expected


def test_a_byte_order_mark_is_dropped_and_line_ends_stay(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n\xef\xbb\xbf")
    for name in ("utf-8", "UTF8", "utf-8-sig"):
        assert text_of(path, name) == "one\r\ntwo\rthree\n\ufeff"


def test_a_bad_byte_comes_as_a_surrogate_that_undecodable_names(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"caf\xe9!")
    assert undecodable(text_of(path, "utf-8"), "utf-8") == "byte 0xe9 at character 3 is not utf-8"
    assert text_of(path, "latin-1") == "caf\u00e9!"


@pytest.mark.parametrize("text", ["", "plain", "caf\u00e9", "\U0001f600", "\ufffd", "\u2028"])
def test_what_is_decodable(text: str) -> None:
    assert undecodable(text, "utf-8") is None


def test_what_is_not_decodable() -> None:
    assert undecodable("ab\0c", "utf-8") == "a NUL character stands at character 2"
    assert undecodable("a\ud800", "utf-8") == "a lone surrogate U+D800 stands at character 1"


def test_an_encoding_that_cannot_keep_bad_bytes_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("text".encode("utf-16") + b"\x00")
    with pytest.raises(UserError) as raised:
        text_of(path, "utf-16")
    assert f"{path}: not utf-16" in str(raised.value)
    assert "data.encoding" in str(raised.value)


def test_unknown_encodings(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.touch()
    for encodings in (["utf-9", "latin-1"], ["utf-9"]):
        with pytest.raises(UserError, match=r"data\.encoding: no encoding is named 'utf-9'"):
            text_of(path, pick_encoding(path, encodings))


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_what_cannot_be_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text.txt"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(UserError, match="cannot be read") as raised:
        text_of(path, "utf-8")
    assert str(path) in str(raised.value)
