"""Losses, by task: computed here, with the task set explicitly.

The models' own loss guesses the task from the type of the first batch's labels unless `problem_type`, `num_labels` and
`id2label` all say it.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lit_textclf.labels import Task


def task_loss(task: Task, logits: Tensor, target: Tensor) -> Tensor:
    """The mean loss of a batch.

    Args:
        task: cross entropy for `single_label`, mean squared error for `regression`.
        logits: float32 `(batch, outputs)`.
        target: class indices int64 `(batch,)`, or values float32 `(batch,)`.

    Returns:
        A scalar.
    """
    if task == "regression":
        return F.mse_loss(logits.squeeze(-1), target)
    return F.cross_entropy(logits, target)
