"""Files that appear whole or not at all, never in place of a device, a pipe or an input."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from lit_textclf.utils.messages import UserError


def check_place(path: Path, overwrite: bool) -> None:
    """Refuses a path where an output cannot or should not be put.

    Raises:
        UserError: if it is a folder, a device or a pipe, exists and may not be replaced, or its folder does not exist.
    """
    try:
        if not path.name or path.is_dir():
            raise UserError(f"{path}: a folder; --output names a file")
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: a device or a pipe; --output names a file, which is put in place whole")
        if os.path.lexists(path) and not overwrite:
            raise UserError(f"{path}: exists already; add --overwrite, or choose another --output")
        real = path.resolve()  # a link stays a link, and what it points to is replaced
        if not real.parent.is_dir():
            folder = real.parent if path.is_symlink() else path.parent
            raise UserError(f"{path}: the folder {folder} does not exist; make it, or choose another --output")
    except (OSError, RuntimeError) as error:  # a name too long, links in a circle
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path!s:.80}: cannot be written ({reason}); choose another --output") from None


def refuse_input(path: Path, inputs: Iterable[Path]) -> None:
    """Refuses to put an output in place of a file that the command reads.

    Raises:
        UserError: if one of the inputs is the same file.
    """
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise UserError(f"{path}: is an input of this command; --output names another file")


def open_beside(path: Path, encoding: str = "utf-8") -> tuple[TextIOWrapper, Path]:
    """Opens a new file beside one that is to be; renamed once it is whole, it takes its place.

    Line ends are written as they are. A link stays a link, and what it points to is replaced.
    """
    real = path.resolve()
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name:.60}.", suffix=".part")
    return open(handle, "w", encoding=encoding, newline=""), Path(name)


def give_usual_permissions(path: Path) -> None:
    """Gives a file the permissions that the user's new files have; those of temporary ones are stricter."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def write_whole(path: Path, content: str | bytes, *, remedy: str = "choose another --output") -> None:
    """Writes a file so that it appears whole or not at all.

    Args:
        path: where it is to be.
        content: text, written as UTF-8, or bytes.
        remedy: what the error tells the user to do.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        file, temporary = open_beside(path)
        try:
            with file:
                file.buffer.write(content if isinstance(content, bytes) else content.encode())
            give_usual_permissions(temporary)
            temporary.replace(path.resolve())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); {remedy}") from None


def put_in_place(temporary: Path, path: Path) -> None:
    """Renames a file without replacing another.

    Raises:
        FileExistsError: if another process has made the file meanwhile.
    """
    try:
        os.link(temporary, path)  # fails where os.replace would overwrite
        temporary.unlink()
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EINVAL):
            raise
        # Some file systems have no hard links (FAT, many network mounts): the name is claimed first, then replaced.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        temporary.replace(path)


def check_folder_place(output: Path, *, overwrite: bool) -> None:
    """Refuses a path where a folder cannot or should not be put.

    Raises:
        UserError: if it is a file, or a folder that export did not write, or one that may not be replaced.
    """
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists() and (not overwrite or not output.is_dir()):
        remedy = "add --overwrite, or choose another --output" if output.is_dir() else "choose another --output"
        raise UserError(f"{output}: exists already; {remedy}")
    if output.exists() and not (output / "config.json").is_file():
        raise UserError(f"{output}: a folder without config.json, which export did not write; choose another --output")
    if not output.resolve().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; make it, or choose another --output")


@contextlib.contextmanager
def folder_beside(output: Path) -> Any:
    """A folder beside the one that is to be, removed if it does not take its place.

    Raises:
        UserError: if it cannot be written.
    """
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(dir=output.resolve().parent, prefix=f".{output.name:.60}."))
        folder.chmod(0o755)
        yield folder
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error}); choose another --output") from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def put_folder_in_place(folder: Path, output: Path) -> None:
    """Renames a folder to its place; one that is there is removed once the new one stands."""
    real = output.resolve()
    if not real.exists():
        folder.rename(real)
        return
    old = Path(tempfile.mkdtemp(dir=real.parent, prefix=f".{real.name:.60}.old."))
    try:
        real.rename(old / "old")
        folder.rename(real)
    finally:
        shutil.rmtree(old, ignore_errors=True)
