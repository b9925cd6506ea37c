"""The metrics of a stage, computed by torchmetrics from the table of metrics and from `model.metrics`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.classifier.metrics.classes import MeanLoss
from lit_textclf.classifier.metrics.table import METRICS, READS, metrics_of
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.class_path import Spec, instantiate, load_class, split_spec
from lit_textclf.utils.messages import UserError, first_line


class StageMetrics(nn.Module):
    """All metrics of one stage, correct for any batch size: states are accumulated, batch values never averaged.

    Args:
        target: the task and its labels.
        prefix: goes before each name, such as `val_`.
        added: the user's metrics by name, see :func:`check_metrics`.
    """

    def __init__(self, target: Target, prefix: str, added: Mapping[str, Spec] | None = None) -> None:
        super().__init__()
        self.target = target
        self.loss, self.prefix = MeanLoss(prefix), prefix
        made: dict[str, dict[str, Metric | MetricCollection]] = {}
        with warnings.catch_warnings():
            # AUROC and Spearman's rho keep all scores until the epoch ends; exact values need them.
            warnings.filterwarnings("ignore", message=".*will save all (targets and predictions|.*predictions).*")
            for entry in metrics_of(target.task, binary=target.positive_index is not None):
                # torchmetrics would look at every value; the decisions and the loss have refused wrong ones.
                arguments = {**entry.arguments, **({} if target.task == "regression" else {"validate_args": False})}
                spec = {"class_path": entry.classes[target.task], "init_args": arguments}
                made.setdefault(entry.reads, {})[entry.name] = _build(spec, "the table of metrics", target)
            for name, user_spec in (added or {}).items():
                made.setdefault("probabilities", {})[name] = _build_added(user_spec, f"model.metrics.{name}", target)
        ordered = [reads for reads in (*READS, "probabilities") if reads in made]
        self.collections: Any = nn.ModuleDict(
            {reads: MetricCollection(made[reads], prefix=prefix, compute_groups=False) for reads in ordered}
        )
        # A sum of a thousand float32 errors differs in the sixth digit with the order, that is with the ranks.
        self._wide = torch.float32 if torch.backends.mps.is_available() else torch.float64  # MPS has no float64
        self._widen()

    def _widen(self) -> None:
        for metric in self.loggable().values():
            metric.set_dtype(self._wide)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StageMetrics:
        """Moves the states, but keeps their type: torchmetrics 1.9.0 does in `half()`, and not in `to(torch.half)`."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._widen()
        return self

    def update(self, logits: Tensor, target: Tensor, loss: Tensor, predicted: Tensor | None = None) -> None:
        """Adds one batch.

        Args:
            logits: float32 `(batch, outputs)`.
            target: see :meth:`Target.encode`.
            loss: the batch's mean loss.
            predicted: the predicted labels, where thresholds decide: int64 `(batch,)`, or sets `(batch, outputs)`.

        Raises:
            UserError: if the loss is NaN, on a CPU; :meth:`compute` raises it elsewhere.
        """
        self.loss.update(loss.detach(), len(target))
        inputs = self._inputs(logits, target, predicted)
        for reads, collection in self.collections.items():
            collection.update(*inputs[reads])

    def _inputs(self, logits: Tensor, target: Tensor, predicted: Tensor | None) -> dict[str, tuple[Tensor, Tensor]]:
        """What metrics are updated with, by :data:`~lit_textclf.classifier.metrics.table.Reads`."""
        if not self.target.has_probabilities:
            values = (logits.squeeze(-1).to(self._wide), target.to(self._wide))
            return {"predicted": values, "probabilities": values}
        rules, target = rules_of(self.target), target.long()
        if logits.device.type == "cpu":  # as written: equal ones are equal in every engine
            probabilities = torch.from_numpy(decisions_of(self.target).probabilities(logits.detach().numpy()))
        else:
            probabilities = rules.probabilities(logits)
        predicted = rules.decide(self.target, logits) if predicted is None else predicted
        inputs = {"predicted": (predicted, target), "probabilities": (probabilities, target)}
        if (index := self.target.positive_index) is not None:
            is_positive = target.eq(index).long()
            inputs["positive"] = (predicted.eq(index).long(), is_positive)
            inputs["positive_score"] = (probabilities[:, index], is_positive)
        return inputs

    def loggable(self) -> dict[str, Metric]:
        """The metric objects by name, for `self.log`: Lightning computes and resets them once an epoch.

        Logging the objects is exact; logging what `collection(preds, target)` returns would average the batches.
        """
        named = {name: metric for collection in self.collections.values() for name, metric in collection.items()}
        return {f"{self.prefix}loss": self.loss, **named}

    def compute(self, *, alone: bool = False) -> dict[str, float]:
        """All values so far.

        Args:
            alone: of this process's rows only, without waiting for other processes.
        """
        metrics = self.loggable()
        if alone:
            for metric in metrics.values():
                metric.distributed_available_fn = _not_distributed
        return {name: float(metric.compute()) for name, metric in metrics.items()}

    def reset(self) -> None:
        """Forgets all rows, for a loop without Lightning, which resets metrics itself."""
        for metric in self.loggable().values():
            metric.reset()


def _not_distributed() -> bool:
    return False


# Metrics of the user --------------------------------------------------------------------------------------------------
_RESERVED = ("ece_uncalibrated", "temperature")


def check_metrics(added: Mapping[str, Spec] | None) -> None:
    """Checks the names and the form of `model.metrics`, without importing anything.

    Raises:
        UserError: if a name is taken or unusable, or a value is neither a dotted name nor a class path with arguments.
    """
    for name, spec in (added or {}).items():
        if not name.isidentifier():
            raise UserError(f"model.metrics {name!r}: must be a name of letters, digits and _; rename it")
        if name in {*(entry.name for entry in METRICS), *_RESERVED} or name.startswith("evaluate_"):
            raise UserError(f"model.metrics {name!r}: the name is taken; choose another name")
        split_spec(spec, f"model.metrics.{name}")


def _build(spec: Spec, option: str, target: Target) -> Metric:
    """Makes a metric, with the number of labels and the task if its constructor takes them and the spec is silent."""
    path, arguments = split_spec(spec, option)
    known: dict[str, Any] = {}
    if target.has_probabilities:
        task = "multiclass" if target.one_label_per_row else "multilabel"
        known = {"num_classes": target.num_outputs, "num_labels": target.num_outputs, "task": task}
    accepted = inspect.signature(load_class(spec, option)).parameters
    metric = instantiate(
        spec, option, **{name: value for name, value in known.items() if name in accepted and name not in arguments}
    )
    if not isinstance(metric, Metric):
        raise UserError(f"{option} {path}: must be a torchmetrics.Metric, not {type(metric).__name__}")
    return metric


def _build_added(spec: Spec, option: str, target: Target) -> Metric:
    """Makes a metric of the user, and tries it on a row of each label: a misfit shows before training."""
    metric = _build(spec, option, target)
    name = f"{option} {split_spec(spec, option)[0]}"
    inputs, truth = _trial_rows(target)
    trial = metric.clone()
    trial.sync_on_compute = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about so few rows
            trial.update(inputs, truth)
            value = trial.compute()
    except Exception as error:  # code of the user, or of a library that the user chose
        raise UserError(
            f"{name}: cannot be updated with predictions {tuple(inputs.shape)} and targets {tuple(truth.shape)} "
            f"({type(error).__name__}: {first_line(error):.200}); choose another class or change init_args"
        ) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise UserError(
            f"{name}: must compute one number, got {value!r:.80}; set init_args, for example {{average: macro}}"
        )
    return metric


def _trial_rows(target: Target) -> tuple[Tensor, Tensor]:
    """Probabilities `(labels, labels)` and targets, one row for each label; three values for regression."""
    if not target.has_probabilities:
        return torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 2.0, 3.0])
    labels = target.num_outputs
    probabilities = torch.full((labels, labels), 0.1 / (labels - 1)).fill_diagonal_(0.9)
    return probabilities, torch.arange(labels) if target.one_label_per_row else torch.eye(labels).long()
