"""What the classifier's steps return, evaluation mode, and the logits of batches."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import NoneType
from typing import NamedTuple, TypedDict

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.data.batches.collate import Batch


class Prediction(NamedTuple):
    """What `predict_step` returns: row numbers in the input `(batch,)` and raw logits, float32 `(batch, outputs)`."""

    row: Tensor
    logits: Tensor


class Evaluated(TypedDict):
    """What `validation_step` and `test_step` return for callbacks: a prediction and its true labels.

    Rows and logits are those of :class:`Prediction`, targets those of :class:`Batch`.
    """

    row: Tensor
    logits: Tensor
    target: Tensor


@dataclass
class _InUse:
    """The modules of a model that were in training mode before, and how many threads use it in evaluation mode."""

    training: list[nn.Module]
    users: int = 0


_lock = threading.Lock()
_in_use: dict[nn.Module, _InUse] = {}


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode; afterwards each module is back in its own (train or eval).

    Of several threads that use a model, the first one changes its mode, and the last one changes it back.
    """
    with _lock:
        if model not in _in_use:
            _in_use[model] = _InUse([module for module in _computing(model) if module.training])
            _switch(_in_use[model].training, training=False)
        entry = _in_use[model]
        entry.users += 1
    try:
        yield
    finally:
        with _lock:
            entry.users -= 1
            if not entry.users:
                del _in_use[model]
                _switch(entry.training, training=True)


def _computing(model: nn.Module) -> list[nn.Module]:
    """A model and the modules in it, except for metrics, which compute the same in both modes."""
    found = [model]
    for module in found:  # `children()` takes three times as long, which matters for a single text
        found += [child for child in module._modules.values() if not isinstance(child, (StageMetrics, NoneType))]
    return found


def _switch(modules: list[nn.Module], *, training: bool) -> None:
    for module in modules:
        # As in `nn.Module.__init__`: to set an attribute in the usual way takes longer than a small model does.
        switch = setattr if isinstance(module, torch.jit.ScriptModule) else object.__setattr__
        switch(module, "training", training)


@torch.inference_mode()
def logits_in_order(classifier: LightningModule, batches: Iterable[Batch]) -> Tensor:
    """Raw logits of the batches' rows, in row order, float32 `(rows, outputs)`, computed in :func:`eval_mode`."""
    with eval_mode(classifier):
        found = [
            classifier.predict_step(classifier.transfer_batch_to_device(batch, classifier.device, 0))
            for batch in batches
        ]
    row, logits = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return logits[row.argsort()]
