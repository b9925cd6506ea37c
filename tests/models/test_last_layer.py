"""The last layer for one token: the logits and gradients of transformers' own models."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from torch import nn

from lit_textclf.models.attention import use_fast_kernels
from lit_textclf.models.last_layer import read_first_token_only

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
FAMILIES = ("Bert", "Roberta", "XLMRoberta", "Camembert", "Electra")


def built(family: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL, num_labels=3, pad_token_id=1, **options)
    return getattr(transformers, f"{family}ForSequenceClassification")(config)


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 50, (4, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(4, 9, dtype=torch.long)
    ids[1, 6:], mask[1, 6:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kernels", [True, False])
def test_logits_and_gradients_are_those_of_the_whole_layer(family: str, kernels: bool) -> None:
    whole = built(family).eval()
    ours = copy.deepcopy(whole)
    if kernels:
        use_fast_kernels(ours)
    assert read_first_token_only(ours)
    found = []
    for model in (whole, ours):
        logits = model(**inputs()).logits
        logits.square().sum().backward()
        gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
        found.append((logits, gradients))
    (logits, gradients), (our_logits, our_gradients) = found
    assert torch.allclose(our_logits, logits, atol=1e-6)
    assert our_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(our_gradients[name], gradient, atol=1e-5), name
    assert whole.state_dict().keys() == ours.state_dict().keys()


def test_the_work_is_left_out() -> None:
    model = built("Bert").eval()
    shapes = []
    feed_forward = model.base_model.encoder.layer[-1].intermediate.dense
    feed_forward.register_forward_hook(lambda _, given, __: shapes.append(given[0].shape))
    model(**inputs())
    read_first_token_only(model)
    model(**inputs())
    assert [tuple(shape) for shape in shapes] == [(4, 9, 16), (4, 1, 16)]


def test_dropout_in_the_last_layer_is_still_drawn() -> None:
    model = built("Bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5).train()
    for layer in model.base_model.encoder.layer[:-1]:
        layer.eval()
    read_first_token_only(model)
    assert not torch.equal(model(**inputs()).logits, model(**inputs()).logits)


def test_other_models_are_left_alone() -> None:
    distilbert = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=32, vocab_size=50)
    )
    assert not read_first_token_only(distilbert)
    assert not read_first_token_only(built("Bert", attn_implementation="eager"))
    assert not read_first_token_only(built("Bert", is_decoder=True))


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    plain = built("Bert").eval()
    read_first_token_only(plain)
    saving = copy.deepcopy(plain)
    saving.activation_checkpointing_enable()
    saving.train()
    for module in saving.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for model in (plain, saving):
        model(**inputs()).logits.square().sum().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.allclose(one.grad, other.grad, atol=1e-6)
