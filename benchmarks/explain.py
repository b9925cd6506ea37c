"""How faithful explanations are: what happens to a prediction without the words that they name, or with these alone.

ERASER's measures (DeYoung et al. 2020, "ERASER: A Benchmark to Evaluate Rationalized NLP Models"), each the mean over
the best 1, 5, 10, 20 and 50 % of the words (at least one): comprehensiveness is how much the predicted label's
probability drops without them, sufficiency how much it drops if only they are left. Beside the methods of `explain`
stand the absolute gradient (captum's Saliency) and random words, on the same rows; rows/s are those of one run.

Example::

    lit-textclf fit --data.train_file sst2/train.csv --model.model_name_or_path MODEL
    python benchmarks/explain.py --ckpt_path lightning_logs/version_0 --test_file sst2/test.csv
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from captum.attr import Saliency

from lit_textclf import TextClassifier, load
from lit_textclf.classifier.explanation.evidence import Attribution
from lit_textclf.classifier.explanation.gradients import _by_word, integrated_gradients
from lit_textclf.classifier.explanation.occlusion import occlusion
from lit_textclf.classifier.explanation.words import TextWords, sorted_batches, words_of
from lit_textclf.classifier.outputs import eval_mode
from lit_textclf.data.batches.collate import as_tensors
from lit_textclf.data.batches.dataset import Encoder
from lit_textclf.data.batches.padding import Padder
from lit_textclf.data.batches.texts import long_text_of
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
Method = Callable[..., list[Attribution]]


def saliency(
    model: TextClassifier, texts: Sequence[TextWords], labels: np.ndarray, padder: Padder, batch_size: int
) -> list[Attribution]:
    """The absolute gradient of the label's logit, summed over each word's tokens and their embeddings."""
    embed: Any = model.backbone.get_input_embeddings()
    found: list[Attribution | None] = [None] * len(texts)

    def logits(embedded: torch.Tensor, others: dict[str, torch.Tensor]) -> torch.Tensor:
        return model(inputs_embeds=embedded, **others)

    with eval_mode(model), torch.enable_grad():
        for batch in sorted_batches([text.sequences for text in texts], padder, batch_size):
            inputs = as_tensors(batch)["inputs"]
            embedded = embed(inputs.pop("input_ids")).detach()
            rows = batch["row"].tolist()
            weights = Saliency(lambda states, others=inputs: logits(states, others)).attribute(
                embedded.requires_grad_(), target=labels[rows].tolist()
            )
            of_words = _by_word(weights.double().sum(-1).numpy(), [texts[row] for row in rows], padder)
            for row, weight in zip(rows, of_words, strict=True):
                found[row] = Attribution(weight.astype(np.float32))
    return [each for each in found if each is not None]


def random_words(
    model: TextClassifier, texts: Sequence[TextWords], labels: np.ndarray, padder: Padder, batch_size: int
) -> list[Attribution]:
    """Random weights."""
    generator = np.random.default_rng(1)
    return [Attribution(generator.random(len(text.read)).astype(np.float32)) for text in texts]


METHODS: dict[str, Method] = {
    "integrated gradients": integrated_gradients,
    "occlusion": occlusion,
    "absolute gradient": saliency,
    "random words": random_words,
}


def dropped(model: TextClassifier, texts: Sequence[str], words: Sequence[TextWords], chosen: list[np.ndarray],
            labels: np.ndarray, whole: np.ndarray, *, keep: bool) -> float:  # fmt: skip
    """The mean drop of the labels' probability without the chosen words, or with no other words."""
    changed = []
    for text, of_text, some in zip(texts, words, chosen, strict=True):
        left = [index for index in range(len(of_text.words)) if (index in set(some.tolist())) == keep]
        changed.append(" ".join(text[of_text.words[index].start : of_text.words[index].end] for index in left))
    return float(np.mean(whole - probabilities(model, changed, labels)))


def probabilities(model: TextClassifier, texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """The probability of a label for each text."""
    answers = model.classify(list(texts))
    return np.array([list(of["probabilities"].values())[label] for of, label in zip(answers, labels, strict=True)])


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt_path", required=True, help="a checkpoint, or the folder of a run")
    parser.add_argument("--test_file", required=True, help="rows with a text column")
    parser.add_argument("--rows", type=int, default=200)
    args = parser.parse_args()
    model = load(args.ckpt_path)
    assert isinstance(model, TextClassifier)
    assert model.target is not None
    texts = read_files(args.test_file, ColumnNames(), ReadOptions(), option="--test_file").text.to_pylist()[: args.rows]
    long_text = long_text_of(model.trained_with)
    encoder = Encoder(model.tokenizer, model.longest(None), long_text, pair=False)
    padder = Padder(model.tokenizer, windows=long_text.mode == "window")
    words = words_of(texts, None, model.tokenizer, encoder)
    answers = model.classify(texts)
    labels = np.array([model.target.labels.index(answer["label"]) for answer in answers])
    whole = probabilities(model, texts, labels)
    print("| method | comprehensiveness | sufficiency | rows/s |\n|---|---|---|---|")
    for name, method in METHODS.items():
        started = time.perf_counter()
        found = method(model, words, labels, padder, 16)
        seconds = time.perf_counter() - started
        measured = {True: [], False: []}
        for share in SHARES:
            best = [
                text.read[np.argsort(-each.weights, kind="stable")[: max(1, round(share * len(text.read)))]]
                for text, each in zip(words, found, strict=True)
            ]
            for keep, values in measured.items():
                values.append(dropped(model, texts, words, best, labels, whole, keep=keep))
        without, alone = np.mean(measured[False]), np.mean(measured[True])
        print(f"| {name} | {without:.3f} | {alone:.3f} | {len(texts) / seconds:,.1f} |", flush=True)


if __name__ == "__main__":
    main()
