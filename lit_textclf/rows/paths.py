"""From what the user typed to the files that are meant: plain paths, globs, lists and `package:` paths."""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from lit_textclf.errors import UserError

PACKAGE_PREFIX = "package:"


def resolve_path(path: str) -> Path:
    """Turns `package:NAME/PATH` into the path inside the installed package; leaves other paths as they are.

    The package is found without importing it.

    Raises:
        UserError: if no such package is installed.
    """
    if not path.startswith(PACKAGE_PREFIX):
        return Path(path).expanduser()
    name, _, inside = path.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{path}: no Python package named {name!r} is installed; install it with pip")
    return Path(next(iter(spec.submodule_search_locations))) / inside


def resolve_files(files: str | Sequence[str], option: str) -> list[Path]:
    """Lists the files and folders that a `data.*_file` option means; a glob's matches are sorted.

    Args:
        files: a path, a glob or a list of them.
        option: the option's name, for the messages.

    Raises:
        UserError: if a path does not exist or a glob matches nothing.
    """
    found: list[Path] = []
    for name in [files] if isinstance(files, str) else files:
        if not name:
            raise UserError(f"{option} has an empty name; name a file or a folder")
        path = resolve_path(name)
        if path.exists():
            found.append(path)
        elif glob.has_magic(str(path)):
            matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
            if not matches:
                raise UserError(f"{name}: no file matches this pattern; change {option}")
            found.extend(matches)
        else:
            raise UserError(f"{name}: no such file; change {option} (relative paths start at {Path.cwd()})")
    if not found:
        raise UserError(f"{option} is an empty list; name at least one file")
    return found
