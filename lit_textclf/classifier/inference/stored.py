"""What a checkpoint, or a folder that one was exported to, contains besides the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.data.labels.target import Target
from lit_textclf.data.options import READS_TEXT


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint contains besides its weights.

    Attributes:
        path: the file.
        target: task and labels.
        model: the classifier's options.
        data: the data module's options that shape what the model sees.
        architecture: the model's configuration as JSON.
        tokenizer: the tokenizer's files by name.
        trained_on: keys of the training rows, uint64 `(texts,)`; None if the checkpoint has none.
        calibration: temperature and thresholds; the identity if the checkpoint has none.
        callbacks: keys of the callbacks whose state it contains, as in Lightning's `Callback.state_key`.
    """

    path: Path
    target: Target
    model: dict[str, Any]
    data: dict[str, Any]
    architecture: str
    tokenizer: dict[str, str]
    trained_on: np.ndarray | None = None
    calibration: Calibration = field(default_factory=Calibration)
    callbacks: tuple[str, ...] = ()

    @property
    def max_length(self) -> int:
        """The most tokens that the model was trained to read."""
        return int(self.data.get("max_length", READS_TEXT["max_length"]))

    def carried(self) -> dict[str, Any]:
        """The arguments of the classifier that only a checkpoint supplies."""
        return {
            "target": self.target,
            "calibration": self.calibration,
            "architecture": self.architecture,
            "tokenizer": self.tokenizer,
        }
