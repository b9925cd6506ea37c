"""Evaluation mode, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lit_textclf import Target, TextClassifier, UserError
from lit_textclf.classifier.outputs import eval_mode

BINARY = Target("single_label", ("negative", "positive"), "positive")


def test_each_module_is_back_in_its_own_mode(tiny_bert: Path) -> None:
    """Those of the metrics never leave it: they compute the same in both."""
    classifier = TextClassifier(str(tiny_bert), target=BINARY)
    classifier.configure_model()
    classifier.backbone.eval()
    before = {name: module.training for name, module in classifier.named_modules()}
    assert set(before.values()) == {True, False}
    with eval_mode(classifier), eval_mode(classifier):
        computing = [module for name, module in classifier.named_modules() if not name.startswith("stages.")]
        assert not any(module.training for module in computing)
    assert {name: module.training for name, module in classifier.named_modules()} == before


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
def test_a_script_module_has_no_dropout() -> None:
    model = nn.Sequential(torch.jit.script(nn.Dropout(0.5)), torch.compile(nn.Dropout(0.5), backend="eager"))
    ones = torch.ones(64)
    with eval_mode(model):
        assert torch.equal(model(ones), ones)
    assert not torch.equal(model[0](ones), ones)
    assert not torch.equal(model[1](ones), ones)


def test_classify_leaves_the_random_numbers_alone(tiny_bert: Path) -> None:
    classifier = TextClassifier(str(tiny_bert), target=BINARY)
    classifier.configure_model()
    state = torch.get_rng_state()
    classifier.classify(["good", "bad film"])
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_have_a_text(tiny_bert: Path) -> None:
    with pytest.raises(UserError, match=r"^classify: batch_size 0: must be at least 1$"):
        TextClassifier(str(tiny_bert), target=BINARY).classify(["good"], batch_size=0)
