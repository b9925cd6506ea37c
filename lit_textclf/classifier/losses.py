"""The training loss: the task's loss with weights and smoothing, or the user's `model.loss`.

Each task's loss is in `classifier/tasks`. Measured losses (`val_loss`, `test_loss`) are always the task's unweighted
loss, so that runs can be compared.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.class_path import Spec, instantiate, load_class, split_spec
from lit_textclf.utils.messages import UserError, did_you_mean, note

OPTION = "model.loss"


def check_loss(spec: Spec | None, class_weights: str | Mapping[str, float] | None, label_smoothing: float) -> None:
    """Checks the form of `model.loss` without importing anything.

    Raises:
        UserError: if it is not a class path, or an option of the task's loss is also set.
    """
    if spec is None:
        return
    split_spec(spec, OPTION)
    for option, is_set in (("class_weights", class_weights is not None), ("label_smoothing", label_smoothing != 0)):
        if is_set:
            raise UserError(f"{OPTION} replaces the loss that model.{option} belongs to; remove model.{option}")


class TrainingLoss:
    """Called with raw logits `(batch, outputs)` and targets, returns the mean loss of a batch, a scalar.

    For regression both are standardized by the training labels first.

    Not a submodule of the classifier: a checkpoint must load where the user's class does not exist.

    Args:
        target: task and labels.
        spec: `model.loss`, imported here; None takes the task's loss, with the other arguments.
        class_weights: see :meth:`TaskRules.loss`.
        label_smoothing: see :meth:`TaskRules.loss`.

    Raises:
        UserError: if `model.loss` is not usable, or if there is label smoothing without classes.
    """

    def __init__(
        self, target: Target, spec: Spec | None = None, class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        if label_smoothing and not target.has_probabilities:
            raise UserError("model.label_smoothing: regression has no classes; remove it")
        self.spec, self.class_weights, self.label_smoothing = spec, class_weights, label_smoothing
        self._own, self._standardized = rules_of(target).loss, target.standardized
        self.unit = target.label_scale**2 if spec is None else 1.0
        """What the loss is multiplied by to be in the unit of the measured losses."""
        self._users: Callable[[Tensor, Tensor], Tensor] | None = None if spec is None else _users_loss(spec)

    @property
    def is_measured_loss(self) -> bool:
        """Whether this is the measured loss, so that logging one of them is enough."""
        return self.spec is None and self.class_weights is None and not self.label_smoothing

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch."""
        logits, targets = self._standardized(logits), self._standardized(targets)
        if self._users is None:
            weights = None if self.class_weights is None else self.class_weights.to(logits.device)
            return self._own(logits, targets, weights, self.label_smoothing)
        if isinstance(self._users, nn.Module):
            self._users.to(logits.device)
        loss = self._users(logits, targets)
        if not isinstance(loss, Tensor) or loss.ndim:
            found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise UserError(f"{OPTION} {split_spec(self.spec or '', OPTION)[0]}: must return a scalar, got {found}")
        return loss


class FiniteLosses:
    """Stops training at a loss that is not finite.

    A GPU would wait for the loss in each step. There losses are looked at together, after some steps and before
    anything is written that they may have spoiled; the first wrong one is named.

    Args:
        every: steps after which the losses are looked at; with 1, a wrong one changes no weights.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self._seen: list[tuple[int, Tensor]] = []

    def add(self, loss: Tensor, step: int) -> None:
        """Takes the loss of a step, a scalar.

        Raises:
            UserError: if this or an earlier loss is not finite.
        """
        self._seen.append((step, loss.detach()))
        if len(self._seen) >= self.every:
            self.look()

    def look(self) -> None:
        """Looks at the losses that nobody looked at yet.

        Raises:
            UserError: if one is not finite.
        """
        seen, self._seen = self._seen, []
        if not seen:
            return
        losses = torch.stack([loss for _, loss in seen]).tolist()
        for (step, _), loss in zip(seen, losses, strict=True):
            if not math.isfinite(loss):
                remedy = "lower model.learning_rate or set trainer.precision to 32-true"
                raise UserError(f"the loss of step {step} is {loss}; {remedy}")


def _users_loss(spec: Spec) -> Callable[[Tensor, Tensor], Tensor]:
    """An instance of the class, or the function with its `init_args`."""
    path, arguments = split_spec(spec, OPTION)
    found = load_class(spec, OPTION)
    loss: Callable[[Tensor, Tensor], Tensor] = (
        instantiate(spec, OPTION) if isinstance(found, type) else functools.partial(found, **arguments)
    )
    if not callable(loss):
        raise UserError(f"{OPTION} {path}: must be callable with (logits, targets); use a torch.nn.Module")
    if isinstance(loss, nn.Module) and any(parameter.requires_grad for parameter in loss.parameters()):
        raise UserError(f"{OPTION} {path}: has trainable parameters, which fit would not train; use buffers")
    return loss


def class_weights_of(
    option: str | Mapping[str, float] | None,
    target: Target,
    counts: Mapping[str, int] | None = None,
    rows: int | None = None,
) -> Tensor | None:
    """`model.class_weights` as a tensor `(outputs,)`; reports them.

    Args:
        option: None; `balanced`, see :meth:`TaskRules.balanced_weights`; or weights by name.
        target: task and labels.
        counts: training rows per label, for `balanced`.
        rows: number of training rows; None takes the sum of the counts.

    Raises:
        UserError: for a task without classes, an unknown name, or a label without a weight or without rows.
    """
    if option is None:
        return None
    if not target.has_probabilities:
        raise UserError(f"model.class_weights: {target.task} has no classes to weigh; remove it")
    weights = _balanced(option, target, counts, rows) if isinstance(option, str) else _by_name(option, target.labels)
    shown = ", ".join(f"{name} {weight:.3g}" for name, weight in zip(target.labels, weights, strict=True))
    note(f"class weights: {shown}")
    return torch.tensor(weights)


def _balanced(option: str, target: Target, counts: Mapping[str, int] | None, rows: int | None) -> list[float]:
    if option != "balanced":
        raise UserError(f"model.class_weights {option!r}: use balanced, or a weight for each label")
    if counts is None:
        raise UserError(
            'model.class_weights balanced: call configure(data.target, data.label_counts("train")) before training'
        )
    if missing := [name for name in target.labels if not counts.get(name)]:
        raise UserError(f"model.class_weights balanced: no training row has the label {missing[0]!r}")
    return rules_of(target).balanced_weights(target, counts, sum(counts.values()) if rows is None else rows)


def _unknown_name(name: Any, option: Mapping[Any, float], labels: Sequence[str]) -> str:
    """Says what is wrong with a name; those that YAML read as numbers or booleans are given in quotes."""
    read = {label: yaml.safe_load(label) for label in labels if re.fullmatch(r"[\w.+-]+", label)}
    quoted = {next((label for label, value in read.items() if value == key), str(key)): option[key] for key in option}
    written = ", ".join(f"{key!r}: {weight:g}" for key, weight in quoted.items())
    if isinstance(name, bool):
        words = "no, off and false" if name is False else "yes, on and true"
        return f"YAML reads {words} as {name}; write the names in quotes: {{{written}}}"
    if not isinstance(name, str):
        return f"YAML reads {name} as a number; write the names in quotes: {{{written}}}"
    return f"no label is called {name!r}{did_you_mean(name, labels)}; there are {', '.join(labels)}"


def _by_name(option: Mapping[str, float], labels: Sequence[str]) -> list[float]:
    if unknown := [name for name in option if name not in labels]:
        raise UserError(f"model.class_weights: {_unknown_name(unknown[0], option, labels)}")
    if missing := [name for name in labels if name not in option]:
        raise UserError(f"model.class_weights: the label {missing[0]!r} has no weight; give one for each label")
    if wrong := [name for name in labels if not 0 <= option[name] < math.inf]:
        raise UserError(f"model.class_weights: {wrong[0]!r} has the weight {option[wrong[0]]}; use 0 or more")
    if not any(option[name] for name in labels):
        raise UserError("model.class_weights: all weights are 0, so nothing would be learned; give one above 0")
    return [float(option[name]) for name in labels]
