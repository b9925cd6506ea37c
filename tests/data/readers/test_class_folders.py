"""A folder with one sub-folder of `.txt` files for each class."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pytest

from lit_textclf.data.readers.class_folders import read_folder
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions
from lit_textclf.utils.messages import UserError

FOLDER = Path("news")


def write(files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(*encodings: str) -> dict[str, list[str]]:
    return pa.concat_tables(read_folder(FOLDER, ReadOptions(encodings or ("utf-8",)))).to_pydict()


def test_rows_are_sorted_by_class_and_name() -> None:
    write({"tech/2.txt": "t2", "sport/10.txt": "s10", "sport/1.txt": "s1", "sport-b/0.txt": "b0", "tech/1.txt": "t1"})
    assert read() == {
        "text": ["s1", "s10", "b0", "t1", "t2"],
        "label": ["sport", "sport", "sport-b", "tech", "tech"],
        "file": ["sport/1.txt", "sport/10.txt", "sport-b/0.txt", "tech/1.txt", "tech/2.txt"],
    }


def test_texts_are_as_they_stand_without_a_byte_order_mark() -> None:
    write({"a/1.txt": b"\xef\xbb\xbfone\r\ntwo\n", "a/2.txt": "", "a/3.txt": 'x,"y"\n'})
    assert read()["text"] == ["one\r\ntwo\n", "", 'x,"y"\n']


def test_a_folder_of_files_alone_has_no_labels() -> None:
    write({"b.txt": "two", "a.txt": "one"})
    assert read() == {"text": ["one", "two"], "file": ["a.txt", "b.txt"]}


def test_other_encodings_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    latin = "caf\u00e9".encode("latin-1")
    write({"a/1.txt": latin, "a/2.txt": "caf\u00e9", "b/1.txt": latin, "b/2.txt": "plain"})
    assert read("utf-8", "latin-1")["text"] == ["caf\u00e9", "caf\u00e9", "caf\u00e9", "plain"]
    assert capsys.readouterr().err == "news: 2 files read as latin-1, not utf-8\n"
    assert read("latin-1")["text"] == ["caf\u00e9", "caf\u00c3\u00a9", "caf\u00e9", "plain"]
    assert capsys.readouterr().err == ""


def test_a_guessed_encoding_shows_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    write({"a/1.txt": "plain", "a/2.txt": "Gr\u00fc\u00dfe".encode("cp1252"), "b/1.txt": "caf\u00e9".encode("cp1252")})
    table = pa.concat_tables(read_folder(FOLDER, ReadOptions(encoding_is_known=False)))
    assert table["text"].to_pylist() == ["plain", "Gr\u00fc\u00dfe", "caf\u00e9"]
    line = capsys.readouterr().err
    assert line.startswith(
        "news: 2 files read as cp1252, not utf-8, as in Gr\u00fc\u00dfe (if that is wrong, set --data."
    )


def test_stray_files_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write({"a/1.txt": "one", "a/notes.md": "x", "README.txt": "x", "a/deep/2.txt": "x", "a/3.TXT.gz": "x"})
    assert read()["text"] == ["one"]
    assert capsys.readouterr().err.startswith("news: 4 files skipped")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"caf\xe9", "byte 0xe9 at character 3 is not utf-8; save the file as UTF-8 or set --data.encoding"),
        (b"ab\0", "a NUL at character 2; remove it"),
    ],
)
def test_a_bad_file_is_named(content: bytes, reason: str) -> None:
    write({"a/1.txt": "one", "b/2.txt": "two", "b/3.txt": content})
    with pytest.raises(UserError) as raised:
        read()
    assert str(raised.value).startswith(f"{FOLDER / 'b' / '3.txt'}: ")
    assert reason in str(raised.value)


def test_a_bad_file_beyond_the_first_chunk_is_named() -> None:
    write({f"a/{number:05d}.txt": "x" for number in range(CHUNK_ROWS)})
    write({"b/1.txt": "y", "b/2.txt": b"caf\xe9"})
    with pytest.raises(UserError) as raised:
        read()
    assert str(raised.value).startswith(f"{FOLDER / 'b' / '2.txt'}: ")


def test_a_folder_name_with_colons() -> None:
    folder = Path("corpus: row 7, of 9")
    (folder / "a: b").mkdir(parents=True)
    (folder / "a: b" / "1.txt").write_bytes(b"\xff")
    with pytest.raises(UserError) as raised:
        list(read_folder(folder, ReadOptions()))
    assert str(raised.value).startswith(f"{folder / 'a: b' / '1.txt'}: ")
    assert "byte 0xff at character 0" in str(raised.value)


@pytest.mark.parametrize("files", [{}, {"a/1.md": "x"}, {"a/b/1.txt": "x"}])
def test_a_folder_without_texts(files: dict[str, str | bytes]) -> None:
    FOLDER.mkdir()
    write(files)
    with pytest.raises(UserError, match=r"^news: no \.txt files .* sub-folder"):
        read()


@pytest.mark.parametrize("unreadable", ["news", "news/b", "news/a/deep"])
def test_a_folder_that_may_not_be_read_is_no_empty_one(unreadable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read all: so the system's answer is made up."""
    write({"a/1.txt": "one", "a/deep/x.txt": "x", "b/2.txt": "two"})
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path) == Path(unreadable):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=rf"^{unreadable}: cannot be read \(Permission denied\)"):
        read()


def test_a_text_whose_link_leads_nowhere_is_named() -> None:
    write({"a/1.txt": "one"})
    (FOLDER / "a" / "2.txt").symlink_to("none.txt")
    with pytest.raises(UserError, match=r"^news/a/2\.txt: cannot be read \(No such file or directory\)"):
        read()


def test_classes_may_be_links_and_folders_may_be_named_like_texts() -> None:
    write({"a/1.txt": "one", "a/2.txt/x.md": "x"})
    (FOLDER / "b").symlink_to("a")
    (FOLDER / "a" / "up").symlink_to("..")
    assert read()["file"] == ["a/1.txt", "b/1.txt"]


def test_a_name_that_is_not_utf8() -> None:
    FOLDER.mkdir()
    (FOLDER / "a").mkdir()
    try:
        (FOLDER / "a" / os.fsdecode(b"caf\xe9.txt")).write_text("one")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(UserError, match=r"^'news/a/caf.*: the file's or folder's name: byte 0xe9 .*; rename it"):
        read()
