"""The start of the head: a linear model of the frozen encoder's features, before all weights are trained.

A head with random weights sends random gradients through the encoder until it has learned something, which on few rows
is most of the run (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution", section 4: linear probing, then fine-tuning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lit_textclf.classifier.network import Network
from lit_textclf.classifier.outputs import eval_mode
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.batches.collate import pool
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.holdout import stratified_sample
from lit_textclf.utils.messages import long_quiet, note, progress

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


STRENGTHS = (0.3, 3.0, 30.0, 300.0)
"""The inverse penalties to choose from, `C` of scikit-learn, for features of unit length."""
_FOLDS = 5
SEARCH_ROWS, SEARCH_VALUES = 2_000, 50_000
"""Rows that the penalty is chosen with at most, and rows times outputs up to which there are several folds."""


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
