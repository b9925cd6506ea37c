"""Starts a new head, and an encoder that is to read pairs, before the first step of training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lightning.pytorch import LightningDataModule
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from lit_textclf.classifier.network import Network
from lit_textclf.classifier.start.pairs import BATCH_SIZE, STEPS, embed, learn_pairs
from lit_textclf.classifier.start.probe import Probe, features_of, fit_probe
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.models.layers import last_linear, set_weights
from lit_textclf.utils.messages import note, plural

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


MOST_ROWS, MOST_TOKENS = 10_000, 200_000
"""Training rows, and tokens of them, that a probe reads at most: a stratified sample of more."""
PAIRS_GAIN = 0.02
"""How much better than together two texts must be read alone for the encoder to learn from that first."""


@runtime_checkable
class FeedsProbe(Protocol):
    """A data module whose training rows can start the head, as :class:`TextDataModule`."""

    def probe_dataloader(self, most_rows: int, most_tokens: int) -> DataLoader[Any]:
        """Training rows with targets, the same on every rank; a sample of more rows or tokens."""


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
    loader, sharded = data.probe_dataloader(MOST_ROWS, MOST_TOKENS), isinstance(strategy, ModelParallelStrategy)
    started = None
    # The ranks of a sharded model compute each layer together.
    if classifier.global_rank == 0 or sharded:
        started = _start(classifier, head, loader, pairs=not sharded and _may_learn_pairs(classifier, loader))
    started = strategy.broadcast(started)
    assert started is not None
    probe, weights = started
    if weights is not None:
        classifier.model.load_state_dict(weights)
    set_weights(classifier.model, head, *probe.start)
    classifier.probe = probe


def _may_learn_pairs(classifier: Network, loader: DataLoader[Any]) -> bool:
    """Whether the rows are pairs, and the model an encoder of single texts of which all weights are trained."""
    dataset = loader.dataset
    return (
        isinstance(dataset, TokenizedDataset)
        and dataset.pair_tokens is not None
        and classifier.head_init == "auto"
        and classifier.build_options.pooling != "own"
        and all(parameter.requires_grad for parameter in classifier.backbone.parameters())
        and not classifier.trainer.fast_dev_run  # type: ignore[attr-defined]
    )


def _start(
    classifier: Network, head: nn.Linear, loader: DataLoader[Any], *, pairs: bool
) -> tuple[Probe, dict[str, Tensor] | None] | None:
    """The head's start, which is reported, and all weights where the encoder has learned to read pairs; of rank 0."""
    target, began, weights = classifier.target, time.perf_counter(), None
    assert target is not None
    features, targets = features_of(classifier, head, loader)
    if classifier.global_rank:
        return None
    targets = target.standardized(targets)
    learns = any(parameter.requires_grad for parameter in classifier.backbone.parameters())
    rules = rules_of(target)
    share = rules.start_share if learns else 1.0
    probe = fit_probe(features, targets, target, share)
    if pairs:
        probe, weights = _learn_pairs(classifier, head, loader, targets, probe, share)
    if weights is None:
        encoder, of = "frozen encoder", "" if probe.sample == len(targets) else f" of a sample of {probe.sample:,}"
        reached = f"; C {probe.strength:g} reaches {rules.quality} {probe.quality:.3f} on held-out training rows{of}"
    else:  # which has learned from all of them what their labels are like
        encoder, reached = "encoder that has learned to read pairs", ""
    note(
        f"head: starts as a linear model of the {encoder} ({plural(len(targets), 'training row')}, C "
        f"{probe.strength * share:g}){reached}; {time.perf_counter() - began:.0f} s"
    )
    return probe, weights


def _learn_pairs(
    classifier: Network, head: nn.Linear, loader: DataLoader[Any], targets: Tensor, probe: Probe, share: float
) -> tuple[Probe, dict[str, Tensor] | None]:
    """Learns to read pairs where two separate embeddings tell more; a probe after that and all weights, if it helped.

    Otherwise the probe that is given, and the weights stay as they are.
    """
    target, model = classifier.target, classifier.model
    assert target is not None
    assert model is not None
    texts, quality = embed(classifier, head, loader), rules_of(target).quality
    teacher = fit_probe(texts.features(texts.first, texts.second), targets, target)
    if teacher.quality < probe.quality + PAIRS_GAIN:
        return probe, None
    note(
        f"pairs: a linear model of the embeddings of the two texts reaches {quality} {teacher.quality:.3f} on held-out "
        f"training rows, of both in one sequence {probe.quality:.3f}: the encoder first learns from it to read pairs, "
        f"in {STEPS} steps of {BATCH_SIZE} new pairs of {plural(len(texts.tokens), 'text')} (not with model.head_init "
        "probe)"
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    set_weights(model, head, *probe.start)
    learn_pairs(classifier, loader, texts, lambda features: features @ teacher.weight.T + teacher.bias)
    learned = fit_probe(features_of(classifier, head, loader)[0], targets, target, share)
    if learned.quality <= probe.quality:
        note(f"pairs: the encoder reaches {quality} {learned.quality:.3f} after that, so it starts as it was")
        model.load_state_dict(before)
        return probe, None
    return learned, {name: value.cpu() for name, value in model.state_dict().items()}


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
