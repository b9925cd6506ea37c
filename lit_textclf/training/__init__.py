"""The Trainer, its hardware and precision, and checks of its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_textclf.utils.imports.lazy import lazy_attributes

if TYPE_CHECKING:
    from lit_textclf.training.trainer import Trainer

__all__ = ["Trainer"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_attributes(__name__, Trainer="trainer")
