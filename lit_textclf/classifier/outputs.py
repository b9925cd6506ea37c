"""What the classifier's steps return, evaluation mode, and the logits of a complete loader."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader


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
    """The modes of a model's modules before it was put into evaluation mode, and how many threads use it."""

    modes: dict[nn.Module, bool]
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
            _in_use[model] = _InUse({module: module.training for module in model.modules()})
            model.eval()
        entry = _in_use[model]
        entry.users += 1
    try:
        yield
    finally:
        with _lock:
            entry.users -= 1
            if not entry.users:
                del _in_use[model]
                for module, mode in entry.modes.items():
                    module.training = mode


@torch.inference_mode()
def logits_in_order(classifier: LightningModule, loader: DataLoader[Any]) -> Tensor:
    """Raw logits of a loader's rows, in row order, float32 `(rows, outputs)`, computed in :func:`eval_mode`."""
    with eval_mode(classifier):
        found = [
            classifier.predict_step(classifier.transfer_batch_to_device(batch, classifier.device, 0))
            for batch in loader
        ]
    row, logits = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    return logits[row.argsort()]
