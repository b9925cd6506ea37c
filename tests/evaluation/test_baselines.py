"""Baselines give what scikit-learn gives, for each task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import hstack
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from lit_textclf import TextDataModule
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation import baselines
from lit_textclf.evaluation.baselines import STRENGTH, VALUE_STRENGTH, Baseline, fit_baselines
from tests.conftest import sentences, write_csv

TEXTS = [text for text, _ in sentences(60)]


def fitted(header: list[str], rows: list[Any], train: int = 40) -> tuple[dict[str, Baseline], TextDataModule]:
    """The baselines of the first rows, which predict the others."""
    write_csv(Path("train.csv"), header, rows[:train])
    write_csv(Path("validation.csv"), header, rows[train:])
    data = TextDataModule(train_file="train.csv", validation_file="validation.csv")
    data.read("fit")
    assert data.target is not None
    found = fit_baselines(data.rows["train"], data.rows["validation"], data.target)
    return {baseline.name: baseline for baseline in found}, data


def features(texts: list[str], train: int = 40) -> tuple[Any, Any]:
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", min_df=2, sublinear_tf=True)
    chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    learned = hstack([each.fit_transform(texts[:train]) for each in (words, chars)], "csr")
    return learned, hstack([each.transform(texts[train:]) for each in (words, chars)], "csr")


def test_labels_have_the_logits_of_scikit_learn() -> None:
    labels = [["a", "b", "c", "a"][index % 4] for index in range(60)]
    found, _ = fitted(["text", "label"], list(zip(TEXTS, labels, strict=True)))
    train, rest = features(TEXTS)
    model = LogisticRegression(C=STRENGTH).fit(train, labels[:40])
    expected = torch.from_numpy(model.decision_function(rest)).float()
    assert torch.allclose(found["tfidf"].logits.softmax(1), expected.softmax(1), atol=2e-3)
    assert found["tfidf"].logits.dtype == torch.float32
    dummy = DummyClassifier(strategy="most_frequent").fit(train, labels[:40])
    assert [("a", "b", "c")[index] for index in found["most_frequent"].logits.argmax(1)] == dummy.predict(rest).tolist()
    shares = torch.tensor([21, 11, 11]) / 43  # 20, 10 and 10 rows, and one more of each
    assert torch.allclose(found["most_frequent"].logits[0].exp(), shares)


def test_two_labels_have_opposite_logits() -> None:
    labels = [label for _, label in sentences(60)]
    found, _ = fitted(["text", "label"], list(zip(TEXTS, labels, strict=True)))
    train, rest = features(TEXTS)
    expected = LogisticRegression(C=STRENGTH).fit(train, labels[:40]).decision_function(rest)
    logits = found["tfidf"].logits
    assert (logits[:, 1] - logits[:, 0]).numpy() == pytest.approx(expected, abs=0.02)


def test_label_sets_have_a_model_for_each_label() -> None:
    sets = [[name for name, step in (("a", 2), ("b", 3)) if index % step] for index in range(60)]
    rows = [(text, *(int(name in names) for name in "ab")) for text, names in zip(TEXTS, sets, strict=True)]
    write_csv(Path("train.csv"), ["text", "a", "b"], rows[:40])
    write_csv(Path("validation.csv"), ["text", "a", "b"], rows[40:])
    data = TextDataModule(train_file="train.csv", validation_file="validation.csv", label_columns=["a", "b"])
    data.read("fit")
    assert data.target is not None
    constant, tfidf = fit_baselines(data.rows["train"], data.rows["validation"], data.target)
    train, rest = features(TEXTS)
    presence = np.array([row[1:] for row in rows])
    model = OneVsRestClassifier(LogisticRegression(C=STRENGTH)).fit(train, presence[:40])
    assert tfidf.logits.sigmoid().numpy() == pytest.approx(model.predict_proba(rest), abs=2e-3)
    assert constant.logits[0].tolist() == pytest.approx(np.log([21 / 21, 27 / 15]), abs=1e-6)


def test_the_most_frequent_of_rare_labels_is_predicted() -> None:
    targets = torch.tensor([[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    rules = rules_of(Target("multi_label", ("a", "b", "c")))
    logits = rules.fit_constant(3, targets.float())
    assert logits.tolist() == pytest.approx([np.log(2 / 5), 0, np.log(1 / 6)])
    assert rules.decide(Target("multi_label", ("a", "b", "c")), logits[None]).tolist() == [[0, 1, 0]]


def test_values_are_a_ridge_regression_in_the_unit_of_the_labels() -> None:
    values = np.array([1000 + 30.5 * (index % 7) for index in range(60)])
    found, _ = fitted(["text", "label"], list(zip(TEXTS, map(str, values), strict=True)))
    train, rest = features(TEXTS)
    model = Ridge(alpha=1 / VALUE_STRENGTH).fit(train, values[:40])
    assert found["tfidf"].logits[:, 0].numpy() == pytest.approx(model.predict(rest), rel=1e-4)
    assert found["mean"].logits[:, 0].numpy() == pytest.approx(np.full(20, values[:40].mean()))


def test_the_texts_of_a_pair_have_features_of_their_own() -> None:
    """The label says whether the word comes first: one bag of both texts could not tell."""
    rows = [("good film", "bad book", "x") if index % 2 else ("bad book", "good film", "y") for index in range(60)]
    found, data = fitted(["text_a", "text_b", "label"], rows)
    assert found["tfidf"].logits.argmax(1).tolist() == data.target.encode(data.rows["validation"]).tolist()  # type: ignore[union-attr]


def test_chinese_without_spaces() -> None:
    good, bad = ["很好", "喜欢", "不错"], ["太差", "失望", "糟糕"]
    rows = [
        (f"第{index}天住的酒店{(bad if index % 2 else good)[index // 2 % 3]}的房间", "差" if index % 2 else "好")
        for index in range(60)
    ]
    found, data = fitted(["text", "label"], rows)
    assert found["tfidf"].logits.argmax(1).tolist() == data.target.encode(data.rows["validation"]).tolist()  # type: ignore[union-attr]


def test_no_common_n_gram() -> None:
    """A text of one letter has no n-gram that another one has."""
    found, _ = fitted(["text", "label"], [(chr(ord("a") + index), "xy"[index % 2]) for index in range(26)], train=20)
    assert list(found) == ["most_frequent"]


def test_a_stratified_sample_of_many_rows(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    rows = sentences(60)
    everything, _ = fitted(["text", "label"], rows)
    monkeypatch.setattr(baselines, "MOST_ROWS", 20)
    capfd.readouterr()
    first, _ = fitted(["text", "label"], rows)
    assert "baseline: TF-IDF learns from a stratified sample of 20 of 40 rows" in capfd.readouterr().err
    second, _ = fitted(["text", "label"], rows)
    assert torch.equal(first["tfidf"].logits, second["tfidf"].logits)
    assert not torch.equal(first["tfidf"].logits, everything["tfidf"].logits)
    assert torch.equal(first["most_frequent"].logits, everything["most_frequent"].logits)  # of all rows
