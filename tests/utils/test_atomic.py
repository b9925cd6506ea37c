"""Files and folders that appear complete or not at all."""

# ruff: noqa: PT012 - the block of a context manager is what must not leave anything behind

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from lit_textclf.utils.atomic import atomic_file, atomic_folder, atomic_path, write_file
from lit_textclf.utils.messages import UserError


@pytest.fixture
def _small_disk() -> object:  # type: ignore[misc]
    """A limit of 4 KiB on the size of files stands for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_appears_at_the_end_with_the_usual_permissions() -> None:
    before = os.umask(0o027)
    try:
        with atomic_file(Path("file"), fsync=True) as file:
            file.write(b"content")
            assert not Path("file").exists()
    finally:
        os.umask(before)
    assert Path("file").read_bytes() == b"content"
    assert stat.S_IMODE(Path("file").stat().st_mode) == 0o640
    assert os.listdir() == ["file"]


@pytest.mark.parametrize("unique", [False, True])
def test_an_error_leaves_the_old_file(unique: bool) -> None:
    Path("file").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(Path("file"), unique=unique) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert Path("file").read_bytes() == b"old"
    assert os.listdir() == ["file"]


def test_a_fixed_name_overwrites_what_a_killed_process_left() -> None:
    Path(".file.part").write_bytes(b"left by another process")
    with atomic_file(Path("file"), unique=False) as file:
        file.write(b"new")
    assert Path("file").read_bytes() == b"new"
    assert os.listdir() == ["file"]


def test_a_file_that_must_not_be_replaced() -> None:
    with pytest.raises(FileExistsError), atomic_file(Path("file"), overwrite=False) as file:
        Path("file").write_bytes(b"precious")
        file.write(b"new")
    assert Path("file").read_bytes() == b"precious"
    assert os.listdir() == ["file"]


def test_a_path_replaces_a_link_itself() -> None:
    Path("best").write_bytes(b"best")
    Path("last").symlink_to("best")
    with atomic_path(Path("last")) as temporary:
        temporary.write_bytes(b"last")
    assert Path("best").read_bytes() == b"best"
    assert not Path("last").is_symlink()


def test_write_file_keeps_a_link() -> None:
    Path("link").symlink_to("real")
    write_file(Path("link"), "caf\u00e9")
    assert Path("link").is_symlink()
    assert Path("real").read_bytes() == "caf\u00e9".encode()


@pytest.mark.usefixtures("_small_disk")
def test_a_full_disk_is_one_line() -> None:
    Path("file").write_bytes(b"old")
    with pytest.raises(UserError, match=r"^file: cannot be written \(File too large\); change it$"):
        write_file(Path("file"), bytes(10_000), remedy="change it")
    line = r"^folder: cannot be written \(File too large\); choose another --output$"
    with pytest.raises(UserError, match=line), atomic_folder(Path("folder")) as folder:
        (folder / "weights").write_bytes(bytes(10_000))
    assert Path("file").read_bytes() == b"old"
    assert os.listdir() == ["file"]


def test_a_folder_takes_the_place_of_another_at_the_end() -> None:
    Path("folder").mkdir()
    Path("folder/old").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(Path("folder")) as folder:
        (folder / "new").touch()
        raise KeyboardInterrupt
    assert os.listdir("folder") == ["old"]
    with atomic_folder(Path("folder")) as folder:
        (folder / "new").touch()
        assert os.listdir("folder") == ["old"]
    assert os.listdir("folder") == ["new"]
    assert os.listdir() == ["folder"]
    assert stat.S_IMODE(Path("folder").stat().st_mode) == 0o755
