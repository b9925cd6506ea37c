"""What an exporter does; `formats.py` lists those that `export --format` knows by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.data.datamodule import TextDataModule


class Exporter(ABC):
    """How a checkpoint becomes a folder that other tools load.

    Attributes:
        help: what loads the folder, for `export --help`.
        library: the model card's `library_name`.
        carries_long_text: whether the folder is used with `data.long_text` as in training.
        carries_pooling_as_weights: whether pooled tokens are written as layers of their own.
        quantizations: what :meth:`quantize` can round weights to.
    """

    help: ClassVar[str] = ""
    library: ClassVar[str] = ""
    carries_long_text: ClassVar[bool] = False
    carries_pooling_as_weights: ClassVar[bool] = False
    quantizations: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def write(self, stored: CheckpointInfo, folder: Path) -> CheckpointInfo:
        """Writes the model and all that is needed to use it into a folder, and compares it with the checkpoint.

        Returns:
            What the folder carries: the checkpoint's, except for a temperature that was not folded into the weights.

        Raises:
            UserError: if the model cannot be exported, or its logits differ from the checkpoint's.
        """

    def quantize(self, stored: CheckpointInfo, folder: Path, data: TextDataModule, max_drop: float) -> None:
        """Rounds the weights of a folder that :meth:`write` has filled; `stored` is what it returned.

        Raises:
            UserError: if the metric drops by more than `max_drop` on the data's validation rows.
        """
        raise NotImplementedError

    @abstractmethod
    def usage(self, stored: CheckpointInfo) -> str:
        """How to load the folder, in Markdown, for the model card."""

    def report(self, stored: CheckpointInfo, output: Path) -> list[str]:
        """Notes for the user once the folder is written: what it lacks, and the next step."""
        return []
