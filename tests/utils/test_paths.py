"""Plain paths, globs, lists and `package:` paths."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from lit_textclf.utils.messages import UserError
from lit_textclf.utils.paths import resolve_files, resolve_path

OPTION = "data.train_file"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an importable package that cannot survive its own import."""
    folder = tmp_path / "site" / "brittle_package"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('was imported')\n", encoding="utf-8")
    for name in ("b.csv", "a.csv"):
        (folder / "data" / name).touch()
    (tmp_path / "site" / "lone_module.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def test_a_package_is_found_without_importing_it(package: Path) -> None:
    assert resolve_path("package:brittle_package/data/a.csv") == package / "data" / "a.csv"
    assert resolve_path("package:brittle_package") == package
    assert "brittle_package" not in sys.modules


def test_a_glob_inside_a_package(package: Path) -> None:
    data = package / "data"
    assert resolve_files("package:brittle_package/data/*.csv", OPTION) == [data / "a.csv", data / "b.csv"]


@pytest.mark.parametrize("name", ["no_such_package_at_all", "lone_module", "not-a-name", "", "."])
@pytest.mark.usefixtures("package")
def test_no_such_package(name: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve_path(f"package:{name}/data/a.csv")
    assert f"package:{name}/data/a.csv: " in str(raised.value)
    assert repr(name) in str(raised.value)
    assert "pip" in str(raised.value)


def test_plain_paths_stay_and_the_home_folder_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert resolve_path("some/file.csv") == Path("some/file.csv")
    assert resolve_path("~/file.csv") == tmp_path / "home" / "file.csv"


def test_a_globs_matches_are_sorted_and_lists_keep_their_order(tmp_path: Path) -> None:
    for name in ("part-2.csv", "part-10.csv", "part-1.csv", "last.csv", "deep/down/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    parts = [Path("part-1.csv"), Path("part-10.csv"), Path("part-2.csv")]
    assert resolve_files("part-*.csv", OPTION) == parts
    assert resolve_files(["last.csv", "part-*.csv"], OPTION) == [Path("last.csv"), *parts]
    assert resolve_files("deep/**/*.csv", OPTION) == [Path("deep/down/x.csv")]
    assert resolve_files(str(tmp_path / "part-?.csv"), OPTION) == [tmp_path / "part-1.csv", tmp_path / "part-2.csv"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    for name in ("data[1].csv", "data1.csv"):
        (tmp_path / name).touch()
    assert resolve_files("data[1].csv", OPTION) == [Path("data[1].csv")]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ("none.csv", ["none.csv: "]),
        (["there.csv", "none.csv"], ["none.csv: "]),
        ("none-*.csv", ["none-*.csv: ", "matches"]),
        ([], ["empty list"]),
        ("package:json/none.csv", ["package:json/none.csv: "]),
    ],
)
def test_missing_files(tmp_path: Path, files: str | list[str], named: list[str]) -> None:
    (tmp_path / "there.csv").touch()
    with pytest.raises(UserError) as raised:
        resolve_files(files, OPTION)
    for part in [*named, OPTION]:
        assert part in str(raised.value)


def test_a_missing_relative_path_says_where_it_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        resolve_files("sub/none.csv", OPTION)
    assert str(tmp_path) in str(raised.value)


def test_a_folder_given_by_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "news" / "a").mkdir(parents=True)
    assert resolve_files("new*", OPTION) == [Path("news")]


@pytest.mark.parametrize("name", ["part-1.csv", "part-*.csv"])
def test_a_link_that_leads_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "part-0.csv").touch()
    (tmp_path / "part-1.csv").symlink_to("none.csv")
    with pytest.raises(UserError, match=r"^part-1\.csv: .*link.* does not exist; change data\.train_file"):
        resolve_files(name, OPTION)


@pytest.mark.parametrize("name", ["a.csv", "a.*", "package:json/a.csv"])
def test_a_path_that_may_not_be_looked_at(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read all: so the system's answer is made up."""
    (tmp_path / "a.csv").touch()

    def refuse(self: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(UserError, match=r"Permission denied.*data\.train_file"):
        resolve_files(name, OPTION)


def test_a_package_without_a_spec() -> None:
    with pytest.raises(UserError, match="no Python package named '__main__'"):
        resolve_path("package:__main__/a.csv")


@pytest.mark.parametrize("name", ["package:json/" + "x" * 5000, "x" * 5000])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(UserError, match=r"not a valid path .*data\.train_file") as raised:
        resolve_files(name, OPTION)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["https://example.org/a.csv", "s3://bucket/a.csv", "hf://datasets/a/b.csv"])
def test_what_is_not_on_this_machine(name: str) -> None:
    with pytest.raises(UserError, match=r": data\.train_file names files on this machine; download it first"):
        resolve_files(name, "data.train_file")
