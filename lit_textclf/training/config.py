"""Options of `trainer` and `tensorboard` that are read without Lightning, whose import takes seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lit_textclf.utils.messages import UserError

Precision = Literal[
    "auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "32", "16", "bf16", "64",
    "transformer-engine", "transformer-engine-float16",
]  # fmt: skip


@dataclass
class UsualTrainerOptions:
    """What most configs set of the Trainer, with its defaults; values that need a class of Lightning's are left out.

    Args:
        max_epochs: epochs of training
        precision: auto picks the best for this hardware; 32-true is exact, 16-mixed and bf16-mixed are faster on GPUs
        accelerator: auto uses a GPU or TPU if there is one
        devices: how many of them
        strategy: auto; ddp for several GPUs
        gradient_clip_val: the largest norm of the gradient
        accumulate_grad_batches: batches for each step of the optimizer: raise it where data.batch_size does not fit
        default_root_dir: where lightning_logs/version_N is made
    """

    max_epochs: int | Literal["auto"] | None = "auto"
    precision: Precision = "auto"
    accelerator: str = "auto"
    devices: list[int] | str | int = "auto"
    strategy: str = "auto"
    gradient_clip_val: float | None = 1.0
    accumulate_grad_batches: int = 1
    default_root_dir: str | None = None


@dataclass(frozen=True)
class TensorBoardOptions:
    """What TensorBoard shows of a run besides the metrics; loggers that take images get the figures, too.

    Args:
        figures: at the end of fit, validate and test: confusion matrices, each label's F1, precision-recall and ROC
            curves, reliability, histograms of scores and lengths, and the worst errors; fit also writes report.html and
            the files of validate
        graph: in fit, the model's graph; traces the model once
        embeddings: in fit, the last layer's inputs for this number of validation texts, for the projector
    """

    figures: bool = True
    graph: bool = False
    embeddings: int = 0

    def __post_init__(self) -> None:
        if self.embeddings < 0:
            raise UserError(f"tensorboard.embeddings {self.embeddings}: must be a number of texts; 0 for none")
