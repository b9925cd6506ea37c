"""Torch's library of 400 MB, loaded by a second thread while Python imports the modules that do not need torch."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import threading
from pathlib import Path

from lit_textclf.utils.imports.postponed import is_postponing

_LIBRARIES = (("libtorch_global_deps.so", ctypes.RTLD_GLOBAL), ("libtorch_cpu.so", ctypes.RTLD_LOCAL))
"""In the order in which torch 2.13 loads them, on Linux; other systems have other names and gain nothing."""


def begin_loading() -> threading.Thread | None:
    """Starts to load torch's library, which takes a fifth of `import torch` and leaves Python free meanwhile.

    `import torch` then finds it loaded, or waits until it is.

    Returns:
        The thread; None in a process of the user's, and where torch is not installed or has other files.
    """
    found = importlib.util.find_spec("torch") if is_postponing() else None
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "lib"
    if not all((folder / name).is_file() for name, _ in _LIBRARIES) or (folder / "libtorch_cuda.so").exists():
        return None  # for CUDA, torch loads others in between
    # Not a daemon: a process that ends at once waits for it.
    thread = threading.Thread(target=_load, args=(folder,), name="load_torch")
    thread.start()
    return thread


def _load(folder: Path) -> None:
    with contextlib.suppress(OSError):  # which `import torch` reports
        for name, mode in _LIBRARIES:
            ctypes.CDLL(str(folder / name), mode)
