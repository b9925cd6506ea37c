"""TextClassifier, the LightningModule, with its loss, optimizer, metrics, calibration and checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_textclf.utils.imports.lazy import lazy_attributes

if TYPE_CHECKING:
    from lit_textclf.classifier.module import TextClassifier

__all__ = ["TextClassifier"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_attributes(__name__, TextClassifier="module")
