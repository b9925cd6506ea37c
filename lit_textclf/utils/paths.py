"""Resolves the paths that users type: plain paths, globs, lists and `package:` paths."""

from __future__ import annotations

import glob
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from lit_textclf.utils.messages import UserError
from lit_textclf.utils.standard_input import DASH, standard_input

PACKAGE_PREFIX = "package:"
Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def expand_path(path: str, option: str) -> Path:
    """A path with `~` expanded.

    Raises:
        UserError: if the user does not exist, or the name cannot be a file's.
    """
    try:
        found = Path(path).expanduser()
        found.exists()
    except (RuntimeError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path:.80}: not a valid path ({reason}); change {option}") from None
    return found


def resolve_path(path: str, option: str = "the path") -> Path:
    """Resolves `package:NAME/PATH` to the path inside the installed package; leaves other paths unchanged.

    The package is found without importing it.

    Raises:
        UserError: if no such package is installed.
    """
    if not path.startswith(PACKAGE_PREFIX):
        return expand_path(path, option)
    name, _, inside = path.removeprefix(PACKAGE_PREFIX).partition("/")
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):  # `__main__` has no spec
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{path}: no Python package named {name!r} with files is installed; install it with pip")
    return expand_path(str(Path(next(iter(spec.submodule_search_locations))) / inside), option)


def resolve_files(files: Paths, option: str) -> list[Path]:
    """Lists the files and folders that a `data.*_file` option names; the matches of a glob are sorted.

    `-` is a copy of standard input.

    Raises:
        UserError: if a path does not exist or a glob matches nothing.
    """
    found: list[Path] = []
    for each in [files] if isinstance(files, (str, os.PathLike)) else files:
        name = os.fspath(each)
        if not name:
            raise UserError(f"{option} has an empty name; name a file or a folder")
        if name in (DASH, "/dev/stdin"):
            found.append(standard_input(option))
            continue
        path = resolve_path(name, option)
        if path.exists():
            found.append(path)
        elif glob.has_magic(str(path)):
            found.extend(_matches(path, name, option))
        elif path.is_symlink():
            raise UserError(f"{name}: a link to {str(path.readlink())!r}, which does not exist; change {option}")
        elif "://" in name:
            raise UserError(
                f"{name}: {option} names files on this machine; download it first, or save it to a file "
                "(data.dataset_name is for the Hub)"
            )
        else:
            raise UserError(f"{name}: no such file; change {option} (relative paths start at {Path.cwd()})")
    if not found:
        raise UserError(f"{option} is an empty list; name at least one file")
    return found


def states_of_files(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
) -> dict[str, tuple[int, int]]:
    """The time of change and the size in bytes of each file; empty without files, or if one is missing."""
    try:
        paths = [] if files is None else resolve_files(files, "")
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}
    except (UserError, OSError):
        return {}


def _matches(pattern: Path, name: str, option: str) -> list[Path]:
    """The sorted matches of a glob; all of them must exist."""
    matches = sorted(expand_path(match, option) for match in glob.glob(str(pattern), recursive=True))
    if not matches:
        raise UserError(f"{name}: no file matches this pattern; change {option}")
    for match in matches:
        if not match.exists():
            raise UserError(f"{match}: matches {name!r}, but the file it links to does not exist; change {option}")
    return matches


def is_local(name_or_path: str) -> bool:
    """Whether a model's name is a local folder, so that no network is needed."""
    return name_or_path.startswith(PACKAGE_PREFIX) or expand_path(name_or_path, "the model's name").exists()


def without_folders(name_or_path: str) -> str:
    """The last part of a local path; names on the Hub and in packages as they are."""
    path = Path(name_or_path)
    is_path = path.is_absolute() or name_or_path.startswith((".", "~")) or path.exists()
    return path.name if is_path and path.name else name_or_path


def local_or_hub(name_or_path: str, option: str) -> str:
    """The local folder that a name stands for, or the Hub name unchanged.

    Raises:
        UserError: if it looks like a path and the folder does not exist.
    """
    if is_local(name_or_path):
        path = resolve_path(name_or_path)
        if not path.is_dir():
            raise UserError(f"{name_or_path}: no such folder; change {option}")
        return str(path)
    if name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1:
        raise UserError(f"{name_or_path}: no such folder; change {option}")
    return name_or_path
