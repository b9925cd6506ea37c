"""Garbage collection while libraries are imported: it finds nothing, and takes up to a fifth of the time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from lit_textclf.utils.imports.postponed import is_postponing


@contextmanager
def without_collection() -> Iterator[None]:
    """Collects no garbage in this block, and never looks at the objects that it leaves, in a process of our own.

    Torch, Lightning and transformers make a million objects that stay, and Python would go through all of them again
    and again, also after the imports. A process of the user's keeps its collector as it is.
    """
    if not is_postponing() or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
