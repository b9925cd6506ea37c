"""Integrated gradients on the word embeddings, through captum."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lit_textclf.classifier.explanation.evidence import Attribution
from lit_textclf.classifier.explanation.words import TextWords, replacement_of, sorted_batches
from lit_textclf.classifier.outputs import eval_mode
from lit_textclf.data.batches.collate import Batch, as_tensors
from lit_textclf.utils.messages import UserError

if TYPE_CHECKING:
    from lit_textclf.classifier.network import Network
    from lit_textclf.data.batches.padding import ArrayBatch, Padder

TOLERANCE = 0.02
"""The error of :class:`Attribution` at which steps are fine enough."""
_STEPS = (16, 32, 64, 128, 256)
_SEQUENCES = 64
"""The most sequences in one run of the model, which keeps their activations for the gradients."""


def integrated_gradients(
    model: Network, texts: Sequence[TextWords], labels: np.ndarray, padder: Padder, batch_size: int
) -> list[Attribution]:
    """Integrated gradients of a label's evidence, summed over the tokens of each word.

    Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", by Gauss-Legendre quadrature. The path goes
    from the text with the mask token in place of each word to the text. Texts that miss :data:`TOLERANCE` are computed
    again with twice the steps.

    Args:
        model: a classifier with embeddings.
        texts: what is explained.
        labels: the index of the label of each text, `(texts,)`.
        padder: pads rows into batches.
        batch_size: texts in a batch.

    Raises:
        UserError: if captum is not installed, or the model computes its logits without torch.
    """
    try:
        from captum.attr import LayerIntegratedGradients
    except ImportError:
        raise UserError("explain by gradients needs captum; pip install 'lit-textclf[explain]'") from None
    if model.model is None:
        model.configure_model()
    layer: Any = getattr(model.backbone, "get_input_embeddings", lambda: None)()
    if layer is None:
        raise UserError("explain by gradients needs a model with word embeddings; use --method occlusion")
    method, replacement = LayerIntegratedGradients(_Evidence(model), layer), replacement_of(model.tokenizer)
    found: list[Attribution | None] = [None] * len(texts)
    with eval_mode(model), torch.enable_grad():
        for steps in _STEPS:
            left = [row for row, each in enumerate(found) if each is None or (each.error or 0) > TOLERANCE]
            if not left:
                break
            chosen = [texts[row] for row in left]
            inputs = sorted_batches([text.sequences for text in chosen], padder, batch_size)
            neutral = sorted_batches([text.without_words(replacement) for text in chosen], padder, batch_size)
            for batch, baseline in zip(inputs, neutral, strict=True):
                rows = [left[row] for row in batch["row"].tolist()]
                weights = _weights(method, batch, baseline, labels[rows], steps)
                of_words = _by_word(weights, [texts[row] for row in rows], padder)
                added = method.forward_func.added(batch, baseline, labels[rows])
                for row, weight, total in zip(rows, of_words, added, strict=True):
                    error = abs(float(weight.sum() - total)) / max(float(np.abs(weight).sum()), 1e-12)
                    found[row] = Attribution(weight.astype(np.float32), error, steps)
    return [each for each in found if each is not None]


class _Evidence:
    """What captum differentiates: the evidence of each row of a batch, `(rows,)`, see :func:`evidence`."""

    def __init__(self, model: Network) -> None:
        self.model = model

    def __call__(
        self, ids: Tensor, labels: Tensor, windows: Tensor | None, names: Sequence[str], *others: Tensor
    ) -> Tensor:
        batch = Batch(inputs={"input_ids": ids, **dict(zip(names, others, strict=True))})
        if windows is not None:
            batch["windows"] = windows
        logits = self.model.calibration.apply(self.model.logits_of(batch))
        own = logits.gather(1, labels[:, None])[:, 0]
        target = self.model.target
        assert target is not None
        if not target.one_label_per_row:
            return own
        return own - logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)

    def arguments(self, batch: ArrayBatch, labels: np.ndarray) -> tuple[Tensor, tuple[Any, ...]]:
        """Token ids, and the other arguments of a call."""
        moved: Any = self.model.transfer_batch_to_device(as_tensors(batch), self.model.device, 0)
        ids, names = moved["inputs"].pop("input_ids"), list(moved["inputs"])
        of_rows = torch.from_numpy(labels).to(ids.device)
        return ids, (of_rows, moved.get("windows"), names, *moved["inputs"].values())

    @torch.no_grad()
    def added(self, batch: ArrayBatch, baseline: ArrayBatch, labels: np.ndarray) -> np.ndarray:
        """What the words add to the evidence of a text without them, float64 `(rows,)`."""
        (ids, others), (neutral, _) = self.arguments(batch, labels), self.arguments(baseline, labels)
        return np.asarray((self(ids, *others).double() - self(neutral, *others).double()).cpu().numpy())


def _weights(method: Any, batch: ArrayBatch, baseline: ArrayBatch, labels: np.ndarray, steps: int) -> np.ndarray:
    """The weight of each token, float64 `(sequences, tokens)`."""
    ids, others = method.forward_func.arguments(batch, labels)
    neutral, _ = method.forward_func.arguments(baseline, labels)
    with warnings.catch_warnings():
        # captum 0.9 warns if one step of all sequences is more than a batch, which is then computed as it is
        warnings.filterwarnings("ignore", message="Internal batch size cannot be less than")
        weights = method.attribute(
            ids, baselines=neutral, additional_forward_args=others, n_steps=steps, internal_batch_size=_SEQUENCES
        )
    return np.asarray(weights.detach().double().sum(-1).cpu().numpy())


def _by_word(weights: np.ndarray, texts: Sequence[TextWords], padder: Padder) -> list[np.ndarray]:
    """Sums the weights of tokens by word, for each text float64 `(words,)` in the order of :attr:`TextWords.read`."""
    found, sequence = [], 0
    for text in texts:
        total = np.zeros(len(text.words))
        for positions in text.positions:
            row, size = weights[sequence], len(positions)
            own = row[len(row) - size :] if padder.pad_left else row[:size]
            np.add.at(total, positions[positions >= 0], own[positions >= 0])
            sequence += 1
        found.append(total[text.read])
    return found
