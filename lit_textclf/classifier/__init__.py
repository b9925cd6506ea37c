"""TextClassifier, the LightningModule, with its loss, optimizer, metrics, calibration and checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_textclf.classifier.module import TextClassifier

__all__ = ["TextClassifier"]


def __getattr__(name: str) -> Any:
    """Imports TextClassifier when it is asked for: others of this package are used without it (PEP 562)."""
    if name != "TextClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lit_textclf.classifier.module import TextClassifier

    return TextClassifier
