"""A classifier goes where Python objects go: pickle, torch.save, joblib, multiprocessing."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_textclf import Target, TextClassifier

TEXTS = ["the film was very good", "the meal was awful"]
POOLINGS = ("own", "cls", "mean", "max")


def classifier_of(model: Path, **options: Any) -> TextClassifier:
    torch.manual_seed(0)
    classifier = TextClassifier(str(model), target=Target("single_label", ("negative", "positive")), **options)
    classifier.configure_model()
    return classifier.eval()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pickle_and_deepcopy(pooling: str, tiny_bert: Path) -> None:
    """A pickled classifier and a copy answer as the original does, with each pooling."""
    classifier = classifier_of(tiny_bert, pooling=pooling)
    expected = classifier.classify(TEXTS)
    assert pickle.loads(pickle.dumps(classifier)).classify(TEXTS) == expected
    assert copy.deepcopy(classifier).classify(TEXTS) == expected


def test_torch_save(tiny_bert: Path) -> None:
    """torch.save of the complete module, as people do who have no checkpoint."""
    classifier, file = classifier_of(tiny_bert), io.BytesIO()
    torch.save(classifier, file)
    file.seek(0)
    assert torch.load(file, weights_only=False).classify(TEXTS) == classifier.classify(TEXTS)


def answer(classifier: TextClassifier, text: str) -> dict[str, Any]:
    return classifier.classify(text)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_multiprocessing(method: str, tiny_bert: Path) -> None:
    """A Pool of processes classifies; a spawned one has never seen our attention, and gets it with the classifier."""
    classifier = classifier_of(tiny_bert)
    with multiprocessing.get_context(method).Pool(2) as pool:
        answers = pool.starmap_async(answer, [(classifier, text) for text in TEXTS]).get(120)
    assert answers == classifier.classify(TEXTS)


@pytest.mark.slow
def test_joblib(tiny_bert: Path) -> None:
    """joblib.Parallel with its default backend."""
    import joblib

    classifier = classifier_of(tiny_bert)
    answers = joblib.Parallel(2, timeout=120)(joblib.delayed(answer)(classifier, text) for text in TEXTS)
    assert answers == classifier.classify(TEXTS)
