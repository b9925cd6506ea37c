"""Fine-tune BERT-family text classifiers, trust their numbers, and predict to CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_textclf.cli.main import main
from lit_textclf.utils.imports.lazy import lazy_attributes
from lit_textclf.utils.messages import UserError
from lit_textclf.version import __version__

if TYPE_CHECKING:
    from lit_textclf.classifier.module import TextClassifier
    from lit_textclf.classifier.outputs import Evaluated, Prediction
    from lit_textclf.data.batches.collate import Batch
    from lit_textclf.data.datamodule import TextDataModule
    from lit_textclf.data.labels.target import Target
    from lit_textclf.export.load import load
    from lit_textclf.prediction.writer import PredictionWriter
    from lit_textclf.training.callbacks.hf_evaluate import EvaluateMetrics
    from lit_textclf.training.trainer import Trainer


__all__ = [
    "Batch",
    "EvaluateMetrics",
    "Evaluated",
    "Prediction",
    "PredictionWriter",
    "Target",
    "TextClassifier",
    "TextDataModule",
    "Trainer",
    "UserError",
    "__version__",
    "load",
    "main",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_attributes(
        __name__,
        Batch="data.batches.collate",
        Evaluated="classifier.outputs",
        Prediction="classifier.outputs",
        EvaluateMetrics="training.callbacks.hf_evaluate",
        PredictionWriter="prediction.writer",
        Target="data.labels.target",
        TextClassifier="classifier.module",
        TextDataModule="data.datamodule",
        Trainer="training.trainer",
        load="export.load",
    )
