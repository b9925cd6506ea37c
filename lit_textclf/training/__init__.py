"""The Trainer, its hardware and precision, and checks of its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_textclf.training.trainer import Trainer

__all__ = ["Trainer"]


def __getattr__(name: str) -> Any:
    """Imports Trainer on first use: other modules of this package do not need it (PEP 562)."""
    if name != "Trainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lit_textclf.training.trainer import Trainer

    return Trainer
