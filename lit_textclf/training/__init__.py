"""The Trainer, the hardware it finds, and the options it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_textclf.training.trainer import Trainer

__all__ = ["Trainer"]


def __getattr__(name: str) -> Any:
    """Imports Trainer when it is asked for: others of this package are used without it (PEP 562)."""
    if name != "Trainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lit_textclf.training.trainer import Trainer

    return Trainer
