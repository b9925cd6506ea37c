"""The start of the head: a linear model of the frozen encoder's features, before all weights are trained.

A head with random weights sends random gradients through the encoder until it has learned something, which on few rows
is most of the run (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", section 4: linear probing, then fine-tuning).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from lit_textclf.classifier.network import Network
from lit_textclf.classifier.outputs import eval_mode
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.batches.collate import pool
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.holdout import stratified_sample
from lit_textclf.models.layers import last_linear, set_weights
from lit_textclf.utils.messages import long_quiet, note, plural, progress

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


MOST_ROWS, MOST_TOKENS = 10_000, 200_000
"""Training rows, and tokens of them, that a probe reads at most: a stratified sample of more."""
STRENGTHS = (0.3, 3.0, 30.0, 300.0)
"""The inverse penalties to choose from, `C` of scikit-learn, for features of unit length."""
_FOLDS = 5
SEARCH_ROWS, SEARCH_VALUES = 2_000, 50_000
"""Rows that the penalty is chosen with at most, and rows times outputs up to which there are several folds."""


@runtime_checkable
class FeedsProbe(Protocol):
    """A data module whose training rows can start the head, as :class:`TextDataModule`."""

    def probe_dataloader(self, most_rows: int, most_tokens: int) -> DataLoader[Any]:
        """Training rows with targets, the same on every rank; a sample of more rows or tokens."""


class Probe(NamedTuple):
    """A linear model of features.

    Attributes:
        weight: float32 `(outputs, hidden)`.
        bias: float32 `(outputs,)`.
        strength: the inverse penalty.
        quality: accuracy, micro F1 or R2 on held-out rows, of a model that learned from `sample` rows without them.
        sample: the rows that the penalty was chosen with.
        start: weight and bias of the head's start, which has a stronger penalty, see :attr:`TaskRules.start_share`.
    """

    weight: Tensor
    bias: Tensor
    strength: float
    quality: float
    sample: int
    start: tuple[Tensor, Tensor]


def start_head(classifier: Network, data: LightningDataModule | None) -> None:
    """Sets the last linear layer to a probe of the training rows; every rank takes that of rank 0.

    Args:
        classifier: built on its device, not trained yet.
        data: the data module of the run; None if it trains on loaders.
    """
    if not isinstance(data, FeedsProbe):
        note("head: starts from random weights, because a probe needs a TextDataModule (model.head_init)")
        return
    assert classifier.target is not None
    assert classifier.model is not None
    head = last_linear(classifier.model, classifier.target.num_outputs)
    if head is None:
        note("model.head_init: this model has no linear head; the head starts from random weights")
        return
    strategy = classifier.trainer.strategy
    if not isinstance(strategy, (SingleDeviceStrategy, DDPStrategy, ModelParallelStrategy)):
        note(f"model.head_init: random with {type(strategy).__name__}")
        return
    probe, started = None, time.perf_counter()
    # The ranks of a sharded model compute each layer together.
    if classifier.global_rank == 0 or isinstance(strategy, ModelParallelStrategy):
        features, targets = features_of(classifier, head, data.probe_dataloader(MOST_ROWS, MOST_TOKENS))
    if classifier.global_rank == 0:
        rules = rules_of(classifier.target)
        learns = any(parameter.requires_grad for parameter in classifier.backbone.parameters())
        share = rules.start_share if learns else 1.0
        probe = fit_probe(features, classifier.target.standardized(targets), classifier.target, share)
        of = "" if probe.sample == len(targets) else f" of a sample of {probe.sample:,}"
        note(
            f"head: starts as a linear model of the frozen encoder ({plural(len(targets), 'training row')}, C "
            f"{probe.strength * share:g}); C {probe.strength:g} reaches {rules.quality} "
            f"{probe.quality:.3f} on held-out training rows{of}; {time.perf_counter() - started:.0f} s"
        )
    probe = strategy.broadcast(probe)
    assert probe is not None
    set_weights(classifier.model, head, *probe.start)
    classifier.probe = probe


@contextmanager
def as_probe(classifier: Network) -> Iterator[None]:
    """The classifier with the probe as its head, in place of the head's start; before the first step."""
    probe, model, target = classifier.probe, classifier.model, classifier.target
    assert isinstance(probe, Probe)
    assert model is not None
    assert target is not None
    head = last_linear(model, target.num_outputs)
    assert head is not None
    set_weights(model, head, probe.weight, probe.bias)
    try:
        yield
    finally:
        set_weights(model, head, *probe.start)


@torch.no_grad()
def features_of(classifier: Network, head: nn.Module, loader: DataLoader[Any]) -> tuple[Tensor, Tensor]:
    """What the head reads, float32 `(rows, hidden)`, those of windows averaged; and the rows' targets."""
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    features, targets = [], []
    with hook, eval_mode(classifier):
        for done, batch in enumerate(loader):
            if long_quiet():
                note(f"head: reads the training rows, {progress(done, len(loader), 'batch')}")
            batch = classifier.transfer_batch_to_device(batch, classifier.device, 0)
            with classifier.trainer.precision_plugin.forward_context():
                classifier(**batch["inputs"])
            found = seen.pop()
            features.append(pool(found, batch["windows"], "mean") if "windows" in batch else found)
            targets.append(batch["target"])
    return torch.cat(features).cpu(), torch.cat(targets).cpu()


def fit_probe(features: Tensor, targets: Tensor, target: Target, start_share: float = 1.0) -> Probe:
    """Fits a linear model of features, with the penalty that predicts held-out rows best.

    The penalty is chosen with a sample of many rows: it is the width of a prior, which does not depend on their number.
    Each of its rows is held out once, in one of five folds, or a fifth of the rows is if they have many outputs.

    Args:
        features: float32 `(rows, hidden)`.
        targets: see :meth:`Target.encode`.
            For regression, standardized.
        target: task and labels.
        start_share: see :attr:`TaskRules.start_share`; 1 where the encoder stays as it is.
    """
    rules, outputs = rules_of(target), target.num_outputs
    # Of unit length on average: a penalty then means the same for every encoder.
    scale = float(features.square().sum(1).mean().sqrt())
    features = features / max(scale, 1e-12)
    strata = target.label_task.strata(targets.numpy())
    sample = torch.from_numpy(stratified_sample(strata, len(targets), SEARCH_ROWS, seed=0))
    few, few_targets = features[sample], targets[sample]
    fold = folds(few_targets, target)
    used = range(min(_FOLDS, len(sample)) if len(sample) * outputs <= SEARCH_VALUES else 1)
    measured = []
    for strength in STRENGTHS:
        losses, logits = [], []
        for part in used:
            others = few[fold != part].numpy()
            weight, bias = rules.fit_linear(outputs, others, few_targets[fold != part], strength)
            logits.append(few[fold == part] @ weight.T + bias)
            losses.append(rules.row_losses(logits[-1], few_targets[fold == part]))
        held = torch.cat([few_targets[fold == part] for part in used])
        measured.append((float(torch.cat(losses).mean()), strength, rules.measure_quality(torch.cat(logits), held)))
    _, strength, quality = min(measured)

    def fit(share: float) -> tuple[Tensor, Tensor]:
        weight, bias = rules.fit_linear(outputs, features.numpy(), targets, strength * share)
        return weight / scale, bias

    best = fit(1.0)
    return Probe(*best, strength, quality, len(sample), best if start_share == 1 else fit(start_share))


def folds(targets: Tensor, target: Target) -> np.ndarray:
    """The fold of each row, 0 to 4, `(rows,)`; each class is spread over the folds."""
    order = np.random.default_rng(0).permutation(len(targets))
    strata = target.label_task.strata(targets.numpy())
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    fold = np.empty(len(targets), np.int64)
    fold[order] = np.arange(len(targets)) % _FOLDS
    return fold
