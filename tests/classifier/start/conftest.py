from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_textclf import Trainer
from tests.conftest import write_csv


def trainer(epochs: int, **options: Any) -> Trainer:
    return Trainer(accelerator="cpu", precision="32-true", max_epochs=epochs, logger=False, **options)


def as_sentence_bert(tiny_bert: Path, folder: Path) -> str:
    """A copy of the tiny BERT as sentence-transformers would have saved it."""
    copy = folder / "sentence_bert"
    shutil.copytree(tiny_bert, copy)
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}), encoding="utf-8")
    return str(copy)


def write_pairs(path: Path, *, shared_word: bool = True) -> Path:
    """Pairs of texts; the label tells whether they share a word, or whether the first one names a thing."""
    rng, rows = np.random.default_rng(0), []
    shared, others = ("film", "book", "meal", "good", "bad", "poor"), ("fine", "great", "awful", "the", "a", "very")
    for (one, other), (first, second) in product(product(shared, shared), product(others, others)):
        if one == other or rng.random() < 0.2:
            told = one == other if shared_word else one in shared[:3]
            rows.append((f"{one} {first}", f"{second} {other if shared_word else second}", "yes" if told else "no"))
    return write_csv(path, ["text_a", "text_b", "label"], [rows[index] for index in rng.permutation(len(rows))[:160]])


@pytest.fixture
def sentence_bert(tiny_bert: Path, tmp_path: Path) -> str:
    """See :func:`as_sentence_bert`."""
    return as_sentence_bert(tiny_bert, tmp_path)
