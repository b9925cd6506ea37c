"""Encodings tried in turn, and bytes that do not decode."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_textclf.data.readers.open_text import (
    UTF_8_OR_CP1252,
    note_cp1252,
    open_text,
    pick_encoding,
    read_as_cp1252,
    undecodable,
)  # fmt: skip
from lit_textclf.utils.messages import UserError

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
    reason = undecodable(text_of(path, "utf-8"), "utf-8")
    assert reason is not None
    assert reason.startswith("byte 0xe9 at character 3 is not utf-8; save the file as UTF-8 or set --data.encoding")
    assert text_of(path, "latin-1") == "caf\u00e9!"


def test_the_remedy_reads_what_windows_programs_write(tmp_path: Path) -> None:
    path, text = tmp_path / "text.txt", "\u201c10 \u20ac\u201d, caf\u00e9"
    path.write_bytes(text.encode("cp1252"))
    reason = undecodable(text_of(path, "utf-8"), "utf-8")
    assert reason is not None
    named = reason.rpartition("[")[2].removesuffix("]").split(", ")
    assert text_of(path, pick_encoding(path, named)) == text


@pytest.mark.parametrize("text", ["", "plain", "caf\u00e9", "\U0001f600", "\ufffd", "\u2028"])
def test_what_is_decodable(text: str) -> None:
    assert undecodable(text, "utf-8") is None


def test_what_is_not_decodable() -> None:
    assert str(undecodable("ab\0c", "utf-8")).startswith("a NUL at character 2; remove it")
    assert undecodable("a\ud800", "utf-8") == "a lone surrogate U+D800 at character 1; remove it"


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
        with pytest.raises(UserError, match=r"data\.encoding: unknown encoding 'utf-9'"):
            text_of(path, pick_encoding(path, encodings))


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_what_cannot_be_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "text.txt"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(UserError, match="cannot be read") as raised:
        text_of(path, "utf-8")
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", ["base64", "hex", "rot13", "zlib", "bz2", "idna", "punycode"])
def test_codecs_that_are_no_encodings_of_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"text")
    for encodings in ([name], ["utf-8", name], [name, "utf-8"]):
        with pytest.raises(UserError, match=f"^data.encoding: '{name}' is not a text encoding"):
            text_of(path, pick_encoding(path, encodings) if len(encodings) > 1 else name)


@pytest.mark.parametrize("name", ["undefined", "utf-9", "", "a\0b", "\ud800"])
def test_names_of_no_encoding(tmp_path: Path, name: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"text")
    with pytest.raises(UserError, match=r"^data\.encoding: unknown encoding"):
        text_of(path, name)


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_utf16_without_a_byte_order_mark(tmp_path: Path, name: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("a text".encode(f"{name}-le"))
    with pytest.raises(UserError, match=f"not {name} .*BOM.* set --data.encoding, for example to {name}-le"):
        text_of(path, name)
    assert text_of(path, f"{name}-le") == "a text"
    assert pick_encoding(path, [name, f"{name}-le"]) == f"{name}-le"


@pytest.mark.parametrize(
    "read", [lambda path: text_of(path, "utf-8"), lambda path: pick_encoding(path, ["utf-8", "ascii"])]
)
@pytest.mark.parametrize("case", ["missing", "folder", "no gzip", "gzip cut short", "gzip damaged", "no zstd"])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, case: str, read: Callable[[Path], str]) -> None:
    path = tmp_path / ("text.txt.zst" if "zstd" in case else "text.txt.gz" if "gzip" in case else "text.txt")
    packed = gzip.compress(b"some text " * 100 + bytes(range(128)))
    if case == "folder":
        path.mkdir()
    elif case != "missing":
        path.write_bytes({"gzip cut short": packed[:-9], "gzip damaged": packed[:-5] + b"?" * 5}.get(case, b"plain"))
    with pytest.raises(UserError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: cannot be read (")
    assert "\n" not in str(raised.value)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read all: so the system's answer is made up."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    for act in (
        lambda: text_of(tmp_path / "a.txt", "utf-8"),
        lambda: pick_encoding(tmp_path / "a.txt", ["utf-8", "l1"]),
    ):
        with pytest.raises(UserError, match=r"a\.txt: cannot be read \(Permission denied\)"):
            act()


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"PK\x03\x04", r"a ZIP file \(an Excel workbook\?\); save it as CSV, or unpack it"),
        (b"\x1f\x8b", r"a gzip file; name it rows\.csv\.gz"),
        (b"PAR1", r"a Parquet file; name it \.parquet"),
    ],
)
def test_other_files_called_csv_are_recognized(begin: bytes, what: str) -> None:
    Path("rows.csv").write_bytes(begin + b"\0\1\2")
    with pytest.raises(UserError, match=rf"rows\.csv: not text but {what}"):
        pick_encoding(Path("rows.csv"), ["utf-8", "cp1252"])
    with pytest.raises(UserError, match=rf"rows\.csv: not text but {what}"), open_text(Path("rows.csv"), "utf-8"):
        pass


def guessed(content: bytes) -> tuple[str, int]:
    """What is read from a file whose encoding is not known, and how many characters were read as cp1252."""
    Path("rows.csv").write_bytes(content)
    with open_text(Path("rows.csv"), UTF_8_OR_CP1252) as file:
        return file.read(), read_as_cp1252(file)


@pytest.mark.parametrize("before", [0, 1, 8190, 8191, (1 << 20) - 2, (1 << 20) - 1, 1 << 20, (1 << 20) + 5])
def test_cp1252_after_utf_8_wherever_the_first_character_is(before: int) -> None:
    text = "a" * before + "caf\u00e9 \u2013 5 \u20ac, it\u2019s \u201cfine\u201d said the people\r\n"
    assert guessed(text.encode("cp1252")) == (text, 6)
    assert guessed(text.encode()) == (text, 0)


@pytest.mark.parametrize(
    "content",
    [
        "caf\u00e9 caf\u00e9".encode() + b" caf\xe9",
        b"caf\xe9 " + "caf\u00e9 caf\u00e9".encode(),
        "\u043f\u0440\u0438\u0432\u0435\u0442".encode("cp1251"),
        "text,label\n\u4f60\u597d\u4e16\u754c\u4f60\u597d\u4e16\u754c,a".encode("gb18030"),
        "text,label\ncaf\u00e9".encode("utf-16"),
    ],
    ids=["after utf-8", "before utf-8", "cp1251", "gb18030", "utf-16"],
)
def test_what_cp1252_would_misread_stays_as_it_is(content: bytes) -> None:
    text, replaced = guessed(content)
    assert replaced == 0
    assert text == content.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "text", ["Gr\u00fc\u00dfe", "\u00e9t\u00e9", "text,label\r\nno\u00ebl,\u00e0 No\u00ebl", "\u00dcb"]
)
def test_short_texts_in_cp1252(text: str) -> None:
    beyond = sum(not char.isascii() for char in text)
    assert guessed(text.encode("cp1252")) == (text, beyond)


@pytest.mark.parametrize(
    "content",
    [
        "\u043f\u0440\u0438\u0432\u0435\u0442 all".encode("cp1251"),
        "\u044f\u0437 a".encode("cp1251"),
        b"\xb2\xe2 ok \xb2\xe2 ok",
        "ok \u4f60\u597d ok".encode("gb18030"),
        b"\xe9",
    ],
)
def test_short_texts_that_may_not_be_cp1252(content: bytes) -> None:
    assert guessed(content)[1] == 0


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("text,label\n\u201cfine\u201d in the caf\u00e9;x", "cp1252", "as in caf\u00e9 (if that is wrong,"),
        ("text,label\nit is \u201cfine\u201d here", "cp1252", "as in \u201cfine\u201d (if that is wrong,"),
        ("text,label\nto jest bardzo dobry m\u0105\u017c i nie", "cp1250", "as in m\u00b9\u00bf (if that is wrong,"),
    ],
)
def test_a_guess_shows_a_word(text: str, encoding: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("rows.csv")
    path.write_bytes(text.encode(encoding))
    with open_text(path, UTF_8_OR_CP1252) as file:
        file.read()
        note_cp1252(path, file)
    line = capsys.readouterr().err.strip()
    assert line.endswith(f"{expected} set --data.encoding, for Central Europe to cp1250)")
    assert "\n" not in line


def test_a_byte_that_cp1252_lacks_is_found_later() -> None:
    text, _ = guessed(b"caf\xe9 in the long text \x81")
    assert text.startswith("caf\u00e9")
    assert "byte 0x81 at character 22 is not utf-8; " in (undecodable(text, UTF_8_OR_CP1252) or "")


@pytest.mark.parametrize("utf_8_first", [True, False])
@pytest.mark.parametrize(("bad", "good"), [(1, 10), (20, 20), (30, 5)])
def test_a_file_of_both_encodings_is_no_cp1252(bad: int, good: int, utf_8_first: bool, tmp_path: Path) -> None:
    """UTF-8 characters that are read as cp1252 would be other texts."""
    parts = [b"caf\xe9 froid,negative\n" * bad, "caf\u00e9 cr\u00e8me,positive\n".encode() * good]
    path = tmp_path / "mixed.csv"
    path.write_bytes(b"text,label\n" + b"".join(parts[::-1] if utf_8_first else parts))
    found = text_of(path, UTF_8_OR_CP1252)  # the bad bytes are refused later, with their row
    assert found.count("caf\u00e9 cr\u00e8me") == good
    assert found.count("caf\udce9 froid") == bad


def test_utf_8_after_a_block_of_cp1252_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    later = "\u00e9t\u00e9 d\u00e9j\u00e0,b\n".encode() * 9
    path.write_bytes(b"text,label\ncaf\xe9,a\n" + b"plain text,b\n" * 200_000 + later)
    with pytest.raises(UserError, match=r"long\.csv: has cp1252 and utf-8; convert it"):
        text_of(path, UTF_8_OR_CP1252)
