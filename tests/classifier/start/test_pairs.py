"""Encoders of single texts learn to read pairs before they are trained on the labels, where that helps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from torch.nn.functional import normalize

from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.start.pairs import BINS, Embedded, new_pairs, pair_features
from lit_textclf.classifier.start.probe import Probe
from lit_textclf.data.datamodule import TextDataModule
from tests.classifier.start.conftest import trainer, write_pairs


def test_features_of_a_pair() -> None:
    found = pair_features(torch.tensor([[0.6, 0.8]]), torch.tensor([[1.0, 0.0]]))
    expected = [0.6, 0.8, 1.0, 0.0, 0.4, 0.8, 0.6 * 2**0.5, 0.0, 1.2]
    assert found.shape == (1, 9)
    assert found[0].tolist() == pytest.approx(expected)


def embedded(rows: int, seconds: int) -> Embedded:
    """Rows whose first texts are 0, 1, ... and whose second texts are further ones, as many as there are."""
    embeddings = normalize(torch.randn(rows + seconds, 32, generator=torch.Generator().manual_seed(0)))
    tokens = [np.array([text]) for text in range(rows + seconds)]
    return Embedded(tokens, embeddings, np.arange(rows), rows + np.arange(rows) % seconds)


@pytest.mark.parametrize(("rows", "seconds", "number"), [(6, 6, 20), (6, 2, 40), (3, 3, 200), (500, 400, 4_000)])
def test_new_pairs_keep_their_places(rows: int, seconds: int, number: int) -> None:
    texts = embedded(rows, seconds)
    first, second = new_pairs(texts, number, seed=0)
    assert len(first) == len(second) == number
    assert set(first.tolist()) <= set(texts.first.tolist())
    assert set(second.tolist()) <= set(texts.second.tolist())
    assert np.array_equal(new_pairs(texts, number, seed=0), (first, second))
    assert not np.array_equal(new_pairs(texts, number, seed=1), (first, second))


def test_similar_pairs_are_as_frequent_as_different_ones() -> None:
    texts = embedded(500, 400)
    first, second = new_pairs(texts, 4_000, seed=0)
    chosen = (texts.embeddings[torch.from_numpy(first)] * texts.embeddings[torch.from_numpy(second)]).sum(1)
    every = texts.embeddings[:500] @ texts.embeddings[500:].T
    edges = np.linspace(float(every.min()), float(every.max()), BINS + 1)
    assert np.histogram(every, edges)[0][[0, -1]].max() < 0.001 * every.numel()
    assert np.histogram(chosen, edges)[0] == pytest.approx(4_000 / BINS, rel=0.3)


def test_texts_that_are_all_equal() -> None:
    texts = Embedded([np.array([0])], torch.tensor([[1.0, 0.0]]), np.zeros(3, np.int64), np.zeros(3, np.int64))
    first, second = new_pairs(texts, 5, seed=0)
    assert not first.any()
    assert not second.any()


def fit(model: str, file: Path, **options: str) -> TextClassifier:
    seed_everything(1)
    classifier = TextClassifier(model, **options)  # type: ignore[arg-type]
    data = TextDataModule(str(file), batch_size=160, max_length=32)
    trainer(1, enable_checkpointing=False, limit_val_batches=0).fit(classifier, data)
    return classifier


def test_an_encoder_of_single_texts_learns_to_read_pairs(
    sentence_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_pairs(tmp_path / "train.csv")
    plain = fit(sentence_bert, file, head_init="probe")
    assert "pairs:" not in capsys.readouterr().err
    learned = fit(sentence_bert, file)
    err = capsys.readouterr().err
    found = re.search(
        r"pairs: a linear model of the embeddings of the two texts reaches accuracy ([\d.]+) on held-out training "
        r"rows, of both in one sequence ([\d.]+): the encoder first learns from it to read pairs, in 200 steps of 32 "
        r"new pairs of (\d+) texts \(not with model.head_init probe\)", err,
    )  # fmt: skip
    assert found is not None, err
    assert float(found[1]) > float(found[2]) + 0.02
    assert "head: starts as a linear model of the encoder that has learned to read pairs (160 training rows" in err
    assert isinstance(plain.probe, Probe)
    assert isinstance(learned.probe, Probe)
    assert learned.probe.quality > plain.probe.quality


@pytest.mark.slow
def test_what_is_learned_depends_on_the_seed_alone(
    sentence_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_pairs(tmp_path / "train.csv")
    learned, again = fit(sentence_bert, file), fit(sentence_bert, file)
    assert capsys.readouterr().err.count("the encoder first learns from it to read pairs") == 2
    for name, value in learned.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_an_encoder_that_reads_pairs_as_well_is_left_alone(
    sentence_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_pairs(tmp_path / "train.csv", shared_word=False)
    plain, tried = fit(sentence_bert, file, head_init="probe"), fit(sentence_bert, file)
    assert "pairs:" not in capsys.readouterr().err
    for name, value in plain.state_dict().items():
        assert torch.equal(value, tried.state_dict()[name]), name
