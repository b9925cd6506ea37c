"""How an encoder of single texts learns to read pairs, before all weights are trained on the labels.

sentence-transformers train an encoder to read each text alone. How the embeddings of two texts differ says much about
them as a pair, but the encoder does not find it out where it reads both in one sequence, and a few hundred labels do
not teach it. A linear model of the two embeddings does: it scores new pairs of the training texts, and the encoder
learns to give the same scores (Thakur et al. 2021, "Augmented SBERT", with teacher and student exchanged; logits as
targets as in Ba & Caruana 2014, "Do Deep Nets Really Need to be Deep?").
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lit_textclf.classifier.network import Network
from lit_textclf.classifier.optimizer import adamw, parameter_groups, schedule
from lit_textclf.classifier.start.probe import features_of
from lit_textclf.data.batches.dataset import Encoded, Encoder, TokenizedDataset
from lit_textclf.data.batches.samplers import make_sampler
from lit_textclf.utils.messages import long_quiet, note, progress

if TYPE_CHECKING:
    from collections.abc import Callable

# MiniLM-L6 on 200 rows of STS-B (Pearson, test rows): 0.657 without, 0.778 with 200 steps. At three times the learning
# rate (3e-4) the encoder learned nothing. Half nearest neighbors and half random pairs: 0.725.
STEPS, BATCH_SIZE = 200, 32
"""Steps of training, and the new pairs of each."""
MOST_ROWS, BINS = 2_000, 20
"""Rows that give their texts to new pairs, at most, and bins of the cosines that are equally frequent."""
_WARMUP = 0.1


class Embedded(NamedTuple):
    """The distinct texts of pairs, each read alone.

    Attributes:
        tokens: the token ids of each text, `(tokens,)`.
        embeddings: of unit length, float32 `(texts, hidden)`.
        first: the first text of each row, int64 `(rows,)`.
        second: the second text of each row, int64 `(rows,)`.
    """

    tokens: list[np.ndarray]
    embeddings: Tensor
    first: np.ndarray
    second: np.ndarray

    def features(self, first: np.ndarray, second: np.ndarray) -> Tensor:
        """What a linear model reads of pairs, float32 `(pairs, features)`; see :func:`pair_features`."""
        return pair_features(self.embeddings[torch.from_numpy(first)], self.embeddings[torch.from_numpy(second)])


def pair_features(first: Tensor, second: Tensor) -> Tensor:
    """Two embeddings, their difference and product (Conneau et al. 2017, "InferSent", section 3.1), and their cosine.

    Args:
        first: of unit length, float32 `(pairs, hidden)`.
        second: those of the second texts.

    Returns:
        Float32 `(pairs, 4 * hidden + 1)`; each part has a length near 1.
    """
    product = first * second
    cosine = product.sum(1, keepdim=True)
    return torch.cat([first, second, (first - second).abs(), product * first.shape[1] ** 0.5, 2 * cosine], 1)


def embed(classifier: Network, head: nn.Module, loader: DataLoader[Any]) -> Embedded:
    """Reads each text of a loader's pairs alone.

    Args:
        classifier: built on its device.
        head: the layer that reads the pooled tokens.
        loader: of a :class:`TokenizedDataset` of pairs, with the rows in the order of its sampler.
    """
    dataset = loader.dataset
    assert isinstance(dataset, TokenizedDataset)
    assert dataset.pair_tokens is not None
    known: dict[bytes, int] = {}
    tokens: list[np.ndarray] = []

    def number(ids: np.ndarray) -> int:
        if (found := known.setdefault(ids.tobytes(), len(tokens))) == len(tokens):
            tokens.append(ids)
        return found

    rows = list(loader.sampler)
    first = np.array([number(dataset.tokens[row]) for row in rows])
    second = np.array([number(dataset.pair_tokens[row]) for row in rows])
    encoder = Encoder(classifier.tokenizer, dataset.max_length, dataset.long_text, pair=False)
    order = np.argsort([-len(ids) for ids in tokens], kind="stable")
    texts = [Encoded(text, encoder.sequences(tokens[text]), np.zeros(1)) for text in order]
    singles: DataLoader[Any] = DataLoader(texts, loader.batch_size, collate_fn=loader.collate_fn)  # type: ignore[arg-type]
    features, _ = features_of(classifier, head, singles)
    embeddings = torch.empty_like(features)
    embeddings[torch.from_numpy(order)] = F.normalize(features)
    return Embedded(tokens, embeddings, first, second)


def new_pairs(texts: Embedded, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses pairs of a first and a second text, as many similar as different ones: random pairs are all different.

    Args:
        texts: the texts of the training rows.
        number: how many pairs.
        seed: of the choice.

    Returns:
        Both texts of each pair, int64 `(number,)`; their cosines are spread evenly over the range of all.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(texts.first))[:MOST_ROWS]
    first, second = np.unique(texts.first[rows]), np.unique(texts.second[rows])
    cosines = texts.embeddings[torch.from_numpy(first)] @ texts.embeddings[torch.from_numpy(second)].T
    edges = np.linspace(float(cosines.min()), float(cosines.max()), BINS + 1)
    each = np.digitize(cosines.numpy().ravel(), edges[1:-1])
    chances = 1 / np.bincount(each)[each]
    chosen = rng.choice(len(each), number, p=chances / chances.sum())
    return first[chosen // len(second)], second[chosen % len(second)]


def learn_pairs(
    classifier: Network, loader: DataLoader[Any], texts: Embedded, teacher: Callable[[Tensor], Tensor]
) -> None:
    """Trains all weights to score new pairs of texts as a teacher does; the seed of the run decides which pairs.

    Args:
        classifier: built on its device; its head has a start.
        loader: see :func:`embed`.
        texts: what it returned.
        teacher: the logits of :meth:`Embedded.features`, standardized for regression.
    """
    dataset, target, model = loader.dataset, classifier.target, classifier.model
    assert isinstance(dataset, TokenizedDataset)
    assert target is not None
    assert model is not None
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
    first, second = new_pairs(texts, STEPS * BATCH_SIZE, seed)
    scores = teacher(texts.features(first, second)).numpy()
    pairs = [
        Encoded(index, dataset.sequences(texts.tokens[one], texts.tokens[other]), score)
        for index, (one, other, score) in enumerate(zip(first, second, scores, strict=True))
    ]
    lengths = np.array([len(pair.sequences[0][0]) for pair in pairs])
    sampler = make_sampler("length_grouped", lengths, BATCH_SIZE, seed, 1, 0)
    batches: DataLoader[Any] = DataLoader(pairs, BATCH_SIZE, sampler=sampler, collate_fn=loader.collate_fn)  # type: ignore[arg-type]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = parameter_groups(model.named_parameters(), weight_decay=0.0)
    optimizer = adamw(groups, classifier.resolve_learning_rate(), fused=classifier.device.type in ("cpu", "cuda"))
    rates = schedule(optimizer, "linear", len(batches), _WARMUP)
    plugin = classifier.trainer.precision_plugin
    # Gradients of float16 would need the scaler of the run, whose state they would change.
    forward = nullcontext if getattr(plugin, "scaler", None) else plugin.forward_context
    devices = [classifier.device] if classifier.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(seed)
        for done, batch in enumerate(batches):
            if long_quiet():
                note(f"pairs: learns to read them, {progress(done, len(batches), 'step')}")
            batch = classifier.transfer_batch_to_device(batch, classifier.device, 0)
            with forward():
                logits = target.standardized(classifier(**batch["inputs"]))
            F.mse_loss(logits, batch["target"]).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
