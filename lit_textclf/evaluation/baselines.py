"""Baselines that need no pretrained model: the most frequent label or the mean, and TF-IDF with a linear model.

A fine-tuned model is worth its cost only if it beats these. TF-IDF of words and of characters with a linear model is a
strong baseline for topics and short texts (Wang and Manning 2012, "Baselines and Bigrams"); n-grams of characters also
work for languages without spaces.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.holdout import stratified_sample
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import note, plural

MOST_ROWS = 20_000
"""Training rows of the linear model at most: a stratified sample of more."""
MOST_CHARS = 256
"""Characters of a text that n-grams of characters are taken from: they take most of the time."""
STRENGTH, VALUE_STRENGTH = 10.0, 0.3
"""The inverse penalty of the linear model of labels, scikit-learn's `C`, and of values, 1 / `alpha`.

TREC hardly depends on it between 3 and 100, and SMS spam gains little above 10; STS-B needs an `alpha` above 1.
"""
_VECTORIZERS: Sequence[tuple[int | None, dict[str, Any]]] = (
    (None, {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}),
    (MOST_CHARS, {"analyzer": "char_wb", "ngram_range": (2, 5)}),
)
"""How many characters of a text each one reads, and its arguments."""


class Baseline(NamedTuple):
    """A baseline's predictions.

    Attributes:
        name: as in names of metrics.
        description: for people.
        logits: raw, float32 `(rows, outputs)`.
    """

    name: str
    description: str
    logits: Tensor


def fit_baselines(train: Rows, rows: Rows, target: Target) -> list[Baseline]:
    """Fits the baselines on training rows, and predicts other rows.

    The linear model is missing where no n-gram is in two training rows.

    Args:
        train: training rows; the linear model learns from a stratified sample of more than :data:`MOST_ROWS`.
        rows: the rows to predict; labels are not used.
        target: task and labels.
    """
    rules, outputs = rules_of(target), target.num_outputs
    targets = torch.from_numpy(target.standardized(target.encode(train)))
    constant = rules.fit_constant(outputs, targets).expand(len(rows), outputs)
    found = [Baseline(*decisions_of(target).constant, target.unstandardized(constant))]
    if len(train) > MOST_ROWS:
        sample = stratified_sample(target.strata(train), len(train), MOST_ROWS, seed=0)
        note(f"baseline: TF-IDF learns from a stratified sample of {MOST_ROWS:,} of {plural(len(train), 'row')}")
        train, targets = train.take(sample), targets[torch.from_numpy(sample)]
    features = tfidf(train, rows)
    if features is not None:
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # close to the optimum is enough
            strength = STRENGTH if target.has_probabilities else VALUE_STRENGTH
            weight, bias = rules.fit_linear(outputs, features[0], targets, strength)
        logits = torch.from_numpy(np.asarray(features[1] @ weight.T.numpy(), np.float32)) + bias
        description = f"TF-IDF of words and characters with {rules.linear}"
        found.append(Baseline("tfidf", description, target.unstandardized(logits)))
    return found


def tfidf(train: Rows, rows: Rows) -> tuple[Any, Any] | None:
    """TF-IDF of words (1 to 2) and of characters within words (2 to 5) that at least two training texts have.

    The features of a pair's two texts are side by side.

    Returns:
        Two sparse float32 matrices, `(training rows, features)` and `(rows, features)`; None without features.
    """
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    blocks: list[tuple[Any, Any]] = []
    for name in ("text", "text_pair"):
        if getattr(train, name) is None:
            continue
        for most, arguments in _VECTORIZERS:
            learned, other = (_texts(getattr(part, name), most) for part in (train, rows))
            vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True, dtype=np.float32, **arguments)
            try:
                blocks.append((vectorizer.fit_transform(learned), vectorizer.transform(other)))
            except ValueError as error:
                if not re.search("empty vocabulary|no terms remain", str(error)):
                    raise
    if not blocks:
        return None
    first, second = zip(*blocks, strict=True)
    return hstack(first, "csr"), hstack(second, "csr")


def _texts(column: Any, most: int | None) -> list[str]:
    return list((column if most is None else pc.utf8_slice_codeunits(column, 0, most)).to_pylist())
