"""The file of predictions appears complete or not at all, in any encoding."""

# ruff: noqa: PT012 - the block of a context manager is what must not leave anything behind

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from lit_textclf.prediction.output_file import PredictionFile
from lit_textclf.utils.messages import UserError

OUTPUT = Path("out.csv")


def write(path: Path = OUTPUT, *lines: str, overwrite: bool = False, encoding: str = "utf-8") -> None:
    file = PredictionFile(path, overwrite=overwrite, encoding=encoding)
    with file.writing():
        for number, line in enumerate(lines or ("row,label\n", "0,yes\n")):
            file.append(file.encode(line, first=not number))


def test_lines_are_written_as_they_are() -> None:
    write(OUTPUT, "row,text\n", '0,"two\r\nlines"\n', '1,"\r"\n')
    assert OUTPUT.read_bytes() == b'row,text\n0,"two\r\nlines"\n1,"\r"\n'
    assert os.listdir() == [OUTPUT.name]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_byte_order_mark_comes_once(encoding: str) -> None:
    write(OUTPUT, "row,text\n", "0,caf\u00e9\n", "1,b\n", encoding=encoding)
    content = OUTPUT.read_bytes()
    assert content == "row,text\n0,caf\u00e9\n1,b\n".encode(encoding)
    assert content.count("\ufeff".encode(encoding.removesuffix("-sig"))[-2:]) == 1


def test_a_text_that_the_encoding_lacks() -> None:
    with pytest.raises(UserError) as raised:
        write(OUTPUT, "row\n", "caf\u00e9 \u4e2d\n", encoding="latin-1")
    for part in ("out.csv: ", "'\u4e2d' cannot be encoded in", "utf-8"):
        assert part in str(raised.value)
    assert os.listdir() == []


@pytest.mark.parametrize("encoding", ["utf-9", "rot13", "base64", "undefined"])
def test_an_encoding_that_does_not_exist_or_is_not_for_text(encoding: str) -> None:
    with pytest.raises(UserError, match=rf"--output_encoding '{encoding}'.*utf-8-sig"):
        PredictionFile(OUTPUT, encoding=encoding)
    assert os.listdir() == []


def test_a_file_that_exists_stays_unless_it_may_be_replaced() -> None:
    OUTPUT.write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match=r"out\.csv: exists already; add --overwrite"):
        PredictionFile(OUTPUT)
    assert OUTPUT.read_text(encoding="utf-8") == "precious"
    write(overwrite=True)
    assert OUTPUT.read_text(encoding="utf-8").startswith("row,")


def test_a_file_that_appears_meanwhile_is_not_replaced() -> None:
    file = PredictionFile(OUTPUT)
    with pytest.raises(UserError, match=r"out\.csv: another process .*--output"), file.writing():
        file.append(b"row\n")
        OUTPUT.write_text("precious", encoding="utf-8")
    assert os.listdir() == [OUTPUT.name]
    assert OUTPUT.read_text(encoding="utf-8") == "precious"


def test_nothing_is_seen_before_the_end_and_an_error_leaves_nothing() -> None:
    file = PredictionFile(OUTPUT)
    with pytest.raises(KeyboardInterrupt), file.writing():
        file.append(b"row\n")
        assert not OUTPUT.exists()
        raise KeyboardInterrupt
    assert os.listdir() == []


def test_an_error_leaves_the_old_file() -> None:
    OUTPUT.write_text("precious", encoding="utf-8")
    file = PredictionFile(OUTPUT, overwrite=True)
    with pytest.raises(KeyboardInterrupt), file.writing():
        file.append(b"row\n")
        raise KeyboardInterrupt
    assert os.listdir() == [OUTPUT.name]
    assert OUTPUT.read_text(encoding="utf-8") == "precious"


def test_paths_that_cannot_be_written_to() -> None:
    with pytest.raises(UserError, match=r"none/out\.csv: the folder none does not exist; .*--output"):
        PredictionFile(Path("none/out.csv"))
    Path("file").touch()
    with pytest.raises(UserError, match=r"file/out\.csv: .*--output"):
        PredictionFile(Path("file/out.csv"))
    Path("folder").mkdir()
    with pytest.raises(UserError, match=r"folder: a folder; --output names a file"):
        PredictionFile(Path("folder"), overwrite=True)
    assert sorted(os.listdir()) == ["file", "folder"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_file_has_the_usual_permissions(overwrite: bool) -> None:
    before = os.umask(0o027)
    try:
        write(overwrite=overwrite)
    finally:
        os.umask(before)
    assert stat.S_IMODE(OUTPUT.stat().st_mode) == 0o640


def test_a_pipe_is_refused_and_left_alone() -> None:
    os.mkfifo(OUTPUT)
    with pytest.raises(UserError, match="a device or pipe"):
        PredictionFile(OUTPUT, overwrite=True)
    assert stat.S_ISFIFO(OUTPUT.stat().st_mode)


def test_standard_output_is_no_file_even_where_it_leads_to_one() -> None:
    for name in ("/dev/stdout", "/dev/fd/1"):
        with pytest.raises(UserError, match=f"{name}: a device or pipe; --output names a regular file"):
            PredictionFile(Path(name), overwrite=False)


def test_a_link_stays_a_link() -> None:
    Path("real").mkdir()
    OUTPUT.symlink_to("real/out.csv")
    with pytest.raises(UserError, match="exists already"):
        PredictionFile(OUTPUT)
    write(overwrite=True)
    assert OUTPUT.is_symlink()
    assert len(Path("real/out.csv").read_text(encoding="utf-8").splitlines()) == 2
    assert os.listdir("real") == ["out.csv"]


def test_a_file_system_without_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*paths: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write()
    assert len(OUTPUT.read_text(encoding="utf-8").splitlines()) == 2
    file, other = PredictionFile(Path("other.csv")), Path("other.csv")
    with pytest.raises(UserError, match="another process"), file.writing():
        file.append(b"row\n")
        other.write_text("theirs", encoding="utf-8")
    assert other.read_text(encoding="utf-8") == "theirs"
    assert sorted(os.listdir()) == ["other.csv", OUTPUT.name]


def test_links_in_a_circle() -> None:
    OUTPUT.symlink_to(OUTPUT.name)
    with pytest.raises(UserError, match="cannot be written"):
        PredictionFile(OUTPUT, overwrite=True)


def test_no_file_is_there_while_the_input_is_read() -> None:
    PredictionFile(OUTPUT)
    assert os.listdir() == []


def test_a_name_that_is_too_long() -> None:
    with pytest.raises(UserError, match="File name too long"):
        PredictionFile(Path("n" * 300))
