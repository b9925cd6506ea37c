"""What subclasses, hooks and explanation tools see of the model is what transformers computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_textclf import Target, TextClassifier
from tests.lightning.test_pickling import TEXTS

TARGET = Target("single_label", ("negative", "positive"))


class MeanPool(TextClassifier):
    """A forward of its own: the head reads the mean of all tokens."""

    def forward(self, **inputs: Tensor) -> Tensor:
        assert self.model is not None
        hidden = self.model.base_model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        return self.model.classifier((hidden * mask).sum(1) / mask.sum(1))


def built(kind: type[TextClassifier], model: Path, *, fast_kernels: bool) -> TextClassifier:
    torch.manual_seed(0)
    classifier = kind(str(model), target=TARGET, fast_kernels=fast_kernels)
    classifier.configure_model()
    return classifier.eval()


def test_a_forward_of_its_own_reads_all_tokens(tiny_bert: Path) -> None:
    """A subclass that averages tokens gets the same logits with and without the fast last layer."""
    fast, plain = (built(MeanPool, tiny_bert, fast_kernels=fast) for fast in (True, False))
    for one, other in zip(fast.classify(TEXTS), plain.classify(TEXTS), strict=True):
        assert abs(one["probabilities"]["positive"] - other["probabilities"]["positive"]) < 1e-6


def test_a_hook_sees_all_tokens(tiny_bert: Path) -> None:
    """A forward hook on the last layer, as Captum and probing tools register, while our own forward runs."""
    classifier = built(TextClassifier, tiny_bert, fast_kernels=True)
    assert classifier.model is not None
    expected = classifier.classify(TEXTS)
    shapes: list[tuple[int, ...]] = []
    layer = classifier.model.base_model.encoder.layer[-1]
    with layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape))):
        seen = classifier.classify(TEXTS)
    assert shapes[0][:2] == (2, 7)
    for one, other in zip(seen, expected, strict=True):
        assert abs(one["score"] - other["score"]) < 1e-6


def test_hidden_states(tiny_bert: Path) -> None:
    """`output_hidden_states` gives every layer for every token."""
    classifier = built(TextClassifier, tiny_bert, fast_kernels=True)
    assert classifier.model is not None
    ids = torch.arange(5, 13).repeat(2, 1)
    output = classifier.model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    assert [tuple(states.shape) for states in output.hidden_states] == [(2, 8, 32)] * 3


def test_a_path_names_the_model(tiny_bert: Path) -> None:
    """A pathlib.Path, where the name of a folder is expected."""
    model: Any = tiny_bert
    classifier = TextClassifier(model, tokenizer_name_or_path=model, target=TARGET)
    assert classifier.classify("good")["label"] in TARGET.labels


class Broken(TextClassifier):
    """A property with a mistake."""

    @property
    def words(self) -> int:
        return len(None.words)  # type: ignore[attr-defined]


def test_the_error_inside_a_property_is_shown(tiny_bert: Path) -> None:
    """Its own AttributeError, not that of torch, which would say that the property does not exist."""
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'words'"):
        Broken(str(tiny_bert)).words  # noqa: B018
    with pytest.raises(AttributeError, match="'Broken' object has no attribute 'nothing'"):
        Broken(str(tiny_bert)).nothing  # noqa: B018
