"""From files to batches: readers/ -> rows/ -> tokens/ -> batches/, joined by the data module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_textclf.data.datamodule import TextDataModule

__all__ = ["TextDataModule"]


def __getattr__(name: str) -> Any:
    """Imports TextDataModule when it is asked for: others of this package are used without it (PEP 562)."""
    if name != "TextDataModule":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lit_textclf.data.datamodule import TextDataModule

    return TextDataModule
