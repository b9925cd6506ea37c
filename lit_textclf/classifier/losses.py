"""Losses, by task: computed here, with the task set explicitly.

The models' own loss guesses the task from the type of the first batch's labels unless `problem_type`, `num_labels` and
`id2label` all say it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from lit_textclf.data.rows.labels import Target, Task
from lit_textclf.utils.messages import UserError


def task_loss(
    task: Task, logits: Tensor, target: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """The mean loss of a batch.

    Args:
        task: cross entropy for `single_label`, binary cross entropy of each label for `multi_label`, mean squared error
            for `regression`.
        logits: float32 `(batch, outputs)`.
        target: class indices int64 `(batch,)`, zeros and ones float32 `(batch, outputs)`, or values float32 `(batch,)`.
        class_weights: each class's weight, `(outputs,)`; the mean is over weights, as torch has it. For `multi_label`
            how much a label's presence counts against its absence (torch's `pos_weight`).
        label_smoothing: the share of the target that is spread over all classes (Szegedy et al. 2016); of each label's
            presence and absence for `multi_label`.

    Returns:
        A scalar.
    """
    if task == "regression":
        return F.mse_loss(logits.squeeze(-1), target)
    if task == "multi_label":
        smooth = target * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=class_weights)
    return F.cross_entropy(logits, target, weight=class_weights, label_smoothing=label_smoothing)


def row_losses(task: Task, logits: Tensor, target: Tensor) -> Tensor:
    """The loss of each row by itself, float32 `(rows,)`, without weights; arguments as for :func:`task_loss`."""
    if task == "regression":
        return F.mse_loss(logits.squeeze(-1), target, reduction="none")
    if task == "multi_label":
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(-1)
    return F.cross_entropy(logits, target, reduction="none")


def resolve_class_weights(
    option: str | Mapping[str, float] | None, target: Target, counts: Mapping[str, int], rows: int
) -> list[float] | None:
    """Turns `model.class_weights` into a weight for each class, in label order.

    Args:
        option: None; `balanced`, rows / (classes * the class's rows), as scikit-learn has it, for `multi_label` rows
            without the label / rows with it; or weights by name.
        target: the labels.
        counts: training rows by label.
        rows: all training rows.

    Raises:
        UserError: for a task without classes, a name that is no label, a label without a weight or without rows.
    """
    if option is None:
        return None
    if target.task == "regression":
        raise UserError(f"model.class_weights: {target.task} has no classes to weigh; remove it")
    if isinstance(option, str):
        if option != "balanced":
            raise UserError(f"model.class_weights {option!r}: use balanced, or a weight for each label")
        if missing := [name for name in target.labels if not counts.get(name)]:
            raise UserError(f"model.class_weights balanced: no training row has the label {missing[0]!r}")
        if target.task == "multi_label":
            if everywhere := [name for name in target.labels if counts[name] == rows]:
                raise UserError(
                    f"model.class_weights balanced: every training row has the label {everywhere[0]!r}, whose weight "
                    "would be 0; give weights by name"
                )
            return [(rows - counts[name]) / counts[name] for name in target.labels]
        return [rows / (len(target.labels) * counts[name]) for name in target.labels]
    if unknown := [name for name in option if name not in target.labels]:
        raise UserError(f"model.class_weights: no label is called {unknown[0]!r}; there are {', '.join(target.labels)}")
    if missing := [name for name in target.labels if name not in option]:
        raise UserError(f"model.class_weights: the label {missing[0]!r} has no weight; give one for each label")
    if wrong := [name for name in target.labels if not 0 <= option[name] < math.inf]:
        raise UserError(f"model.class_weights: {wrong[0]!r} has the weight {option[wrong[0]]}; use 0 or more")
    if not any(option[name] for name in target.labels):
        raise UserError("model.class_weights: all weights are 0, and nothing would be learned")
    return [float(option[name]) for name in target.labels]
