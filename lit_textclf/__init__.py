"""Fine-tune BERT-family text classifiers, trust their numbers, and predict to CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lit_textclf.command_line import main
from lit_textclf.errors import UserError
from lit_textclf.version import __version__

if TYPE_CHECKING:
    from lit_textclf.classifier import TextClassifier
    from lit_textclf.data import TextDataModule
    from lit_textclf.evaluate_metrics import EvaluateMetrics
    from lit_textclf.labels import Target
    from lit_textclf.trainer import Trainer


__all__ = [
    "EvaluateMetrics",
    "Target",
    "TextClassifier",
    "TextDataModule",
    "Trainer",
    "UserError",
    "__version__",
    "main",
]

_HOMES = {
    "EvaluateMetrics": "evaluate_metrics",
    "Target": "labels",
    "TextClassifier": "classifier",
    "TextDataModule": "data",
    "Trainer": "trainer",
}


def __getattr__(name: str) -> Any:
    """Imports what needs Lightning only when it is asked for: `--help` has no time for it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
