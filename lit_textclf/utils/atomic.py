"""Files and folders that appear complete or not at all, and never in place of a device, a pipe or an input."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from lit_textclf.utils.messages import UserError

OTHER_OUTPUT = "choose another --output"


@contextlib.contextmanager
def atomic_path(path: Path, *, overwrite: bool = True, unique: bool = True) -> Iterator[Path]:
    """A path beside another, which is renamed to it when the block ends without an error, and removed otherwise.

    Args:
        path: the file to make.
        overwrite: whether to replace a file that another process has made in the meantime.
        unique: whether each call gets a name of its own, so that several processes can write the same file. The
            fixed name is for large files with one writer: what a killed process left is then overwritten.

    Raises:
        FileExistsError: if the file exists by now and must not be replaced.
        OSError: if the file cannot be written.
    """
    middle = f".{secrets.token_hex(4)}" if unique else ""
    temporary = path.with_name(f".{path.name:.60}{middle}.part")
    try:
        yield temporary
        if overwrite:
            temporary.replace(path)
        else:
            _rename_to_new(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_file(path: Path, *, overwrite: bool = True, unique: bool = True, fsync: bool = False) -> Iterator[BinaryIO]:
    """Opens the temporary file of :func:`atomic_path` for writing.

    With `fsync` the content is on the disk before the file gets its name: it survives a power cut.
    """
    mode: Literal["xb", "wb"] = "xb" if unique else "wb"
    with atomic_path(path, overwrite=overwrite, unique=unique) as temporary, temporary.open(mode) as file:
        yield file
        if fsync:
            file.flush()
            os.fsync(file.fileno())


def write_file(path: Path, content: str | bytes, *, remedy: str = OTHER_OUTPUT) -> None:
    """Writes UTF-8 or bytes to a file that appears complete or not at all; a link's target is replaced, not the link.

    Raises:
        UserError: if the file cannot be written; the message ends with `remedy`.
    """
    try:
        with atomic_file(path.resolve()) as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise not_writable(path, error, remedy) from None


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside another, which takes its place when the block ends without an error."""
    real, folder = path.resolve(), None
    try:
        folder = Path(tempfile.mkdtemp(dir=real.parent, prefix=f".{real.name:.60}."))
        folder.chmod(0o755)
        yield folder
        if not real.exists():
            folder.rename(real)
            return
        with tempfile.TemporaryDirectory(dir=real.parent, prefix=f".{real.name:.60}.old.") as old:
            real.rename(Path(old, "old"))
            folder.rename(real)
    except OSError as error:
        raise not_writable(path, error) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Renames a file, or raises FileExistsError where `os.replace` would overwrite."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EINVAL):
            raise
        # Some file systems have no hard links (FAT, many network mounts): claim the name, then replace the empty file.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        temporary.replace(path)


# Checks before the work -----------------------------------------------------------------------------------------------


def not_writable(path: Path | str, error: Exception, remedy: str = OTHER_OUTPUT) -> UserError:
    """The error of a file that cannot be written, with the system's reason."""
    return UserError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); {remedy}")


def check_output(path: Path, overwrite: bool) -> None:
    """Refuses a folder, a device, a pipe, a file that may not be replaced, and one whose folder does not exist."""
    try:
        if str(path) == "-":
            raise UserError("--output -: only predict writes to standard output; name a file")
        if not path.name or path.is_dir():
            raise UserError(f"{path}: a folder; --output names a file")
        is_device = path.parent in (Path("/dev"), Path("/dev/fd"))  # /dev/stdout may lead to a regular file
        if is_device or (path.exists() and not path.is_file()):
            raise UserError(
                f"{path}: a device or pipe; --output names a regular file, which is written complete or not at all"
            )
        if os.path.lexists(path) and not overwrite:
            raise UserError(f"{path}: exists already; add --overwrite, or {OTHER_OUTPUT}")
        real = path.resolve()
        if not real.parent.is_dir():
            folder = real.parent if path.is_symlink() else path.parent
            raise UserError(f"{path}: the folder {folder} does not exist; make it, or {OTHER_OUTPUT}")
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
        raise not_writable(f"{path!s:.80}", error) from None


def check_output_folder(path: Path, overwrite: bool) -> None:
    """Refuses a file, a folder that `export` did not write or that may not be replaced, and one without a parent."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() and not (overwrite and path.is_dir()):
        remedy = f"add --overwrite, or {OTHER_OUTPUT}" if path.is_dir() else OTHER_OUTPUT
        raise UserError(f"{path}: exists already; {remedy}")
    if path.exists() and not (path / "config.json").is_file():
        raise UserError(f"{path}: a folder without config.json, which export did not write; {OTHER_OUTPUT}")
    if not path.resolve().parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; make it, or {OTHER_OUTPUT}")


def refuse_input(path: Path, inputs: Iterable[Path]) -> None:
    """Refuses to overwrite a file that the command reads."""
    if path.exists() and any(file.exists() and path.samefile(file) for file in inputs):
        raise UserError(f"{path}: is an input of this command; --output names another file")
