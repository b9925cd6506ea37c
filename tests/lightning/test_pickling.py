"""A classifier goes where Python objects go: pickle, torch.save, joblib, multiprocessing."""

from __future__ import annotations

import copy
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_textclf import Target, TextClassifier

ROOT = Path(__file__).parents[2]
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
def test_spawned_processes(tiny_bert: Path) -> None:
    """A spawned process has never seen our attention, and gets it with the classifier."""
    classifier = classifier_of(tiny_bert)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        answers = pool.starmap_async(answer, [(classifier, text) for text in TEXTS]).get(120)
    assert answers == classifier.classify(TEXTS)


FORK = """
import multiprocessing, sys
from pathlib import Path
from tests.lightning.test_pickling import TEXTS, answer, classifier_of

classifier = classifier_of(Path(sys.argv[1]))
with multiprocessing.get_context("fork").Pool(2) as pool:
    answers = pool.starmap_async(answer, [(classifier, text) for text in TEXTS]).get(120)
assert answers == classifier.classify(TEXTS)
"""


@pytest.mark.slow
def test_forked_processes(tiny_bert: Path) -> None:
    """In a process of one thread: OpenMP's threads do not survive a fork (pytorch/pytorch#17199)."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FORK, str(tiny_bert)]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_joblib(tiny_bert: Path) -> None:
    """joblib.Parallel with its default backend."""
    import joblib

    classifier = classifier_of(tiny_bert)
    answers = joblib.Parallel(2, timeout=120)(joblib.delayed(answer)(classifier, text) for text in TEXTS)
    assert answers == classifier.classify(TEXTS)
