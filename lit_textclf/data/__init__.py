"""From files to batches: readers/ -> rows/ -> tokens/ -> batches/, joined by the data module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_textclf.utils.imports.lazy import lazy_attributes

if TYPE_CHECKING:
    from lit_textclf.data.datamodule import TextDataModule

__all__ = ["TextDataModule"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_attributes(__name__, TextDataModule="datamodule")
