"""Class weights of the training loss; each task's own loss is in `classifier/tasks`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.messages import UserError


def resolve_class_weights(
    option: str | Mapping[str, float] | None, target: Target, counts: Mapping[str, int], rows: int
) -> list[float] | None:
    """Turns `model.class_weights` into a weight for each class, in label order.

    Args:
        option: None; `balanced`, see :meth:`TaskRules.balanced_weights`; or weights by name.
        target: the labels.
        counts: training rows by label.
        rows: all training rows.

    Raises:
        UserError: for a task without classes, a name that is no label, a label without a weight or without rows.
    """
    if option is None:
        return None
    if not target.has_probabilities:
        raise UserError(f"model.class_weights: {target.task} has no classes to weigh; remove it")
    if isinstance(option, str):
        if option != "balanced":
            raise UserError(f"model.class_weights {option!r}: use balanced, or a weight for each label")
        if missing := [name for name in target.labels if not counts.get(name)]:
            raise UserError(f"model.class_weights balanced: no training row has the label {missing[0]!r}")
        return rules_of(target).balanced_weights(target, counts, rows)
    if unknown := [name for name in option if name not in target.labels]:
        raise UserError(f"model.class_weights: no label is called {unknown[0]!r}; there are {', '.join(target.labels)}")
    if missing := [name for name in target.labels if name not in option]:
        raise UserError(f"model.class_weights: the label {missing[0]!r} has no weight; give one for each label")
    if wrong := [name for name in target.labels if not 0 <= option[name] < math.inf]:
        raise UserError(f"model.class_weights: {wrong[0]!r} has the weight {option[wrong[0]]}; use 0 or more")
    if not any(option[name] for name in target.labels):
        raise UserError("model.class_weights: all weights are 0, and nothing would be learned")
    return [float(option[name]) for name in target.labels]
