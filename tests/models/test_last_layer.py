"""The last layer for one token: the logits and gradients of transformers' own models."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import transformers
from torch import nn

from lit_textclf.models.attention import use_fast_kernels
from lit_textclf.models.last_layer import read_first_token_only, shortcut

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
        logits = model(**inputs(), **shortcut(model)).logits
        logits.square().sum().backward()
        gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
        found.append((logits, gradients))
    (logits, gradients), (our_logits, our_gradients) = found
    assert torch.allclose(our_logits, logits, atol=1e-6)
    assert our_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(our_gradients[name], gradient, atol=1e-5), name
    assert whole.state_dict().keys() == ours.state_dict().keys()


def tokens_computed(model: nn.Module) -> list[int]:
    """The list that gets, for each call of the model, the tokens that its last layer computes."""
    layer, seen = model.base_model.encoder.layer[-1], []
    chunk = layer.feed_forward_chunk

    def counted(states: torch.Tensor) -> torch.Tensor:
        seen.append(states.shape[1])
        return chunk(states)

    layer.feed_forward_chunk = counted  # a hook would prevent the shortcut
    return seen


def test_the_work_is_left_out() -> None:
    """Where the caller asks for it; any other call computes all nine tokens."""
    model = built("Bert").eval()
    read_first_token_only(model)
    seen = tokens_computed(model)
    model(**inputs())
    model(**inputs(), **shortcut(model))
    assert seen == [9, 1]


@pytest.mark.parametrize("family", FAMILIES)
def test_whoever_reads_other_tokens_gets_them(family: str) -> None:
    """Hidden states, the base model, hooks on each module that could see them, and a head of one's own."""
    whole = built(family).eval()
    ours = copy.deepcopy(whole)
    assert read_first_token_only(ours)
    base = ours.base_model
    for module in (ours, base, base.encoder, base.encoder.layer[-1], base.encoder.layer[-1].output.dense):
        for hook in (module.register_forward_hook, module.register_forward_pre_hook):
            with hook(lambda *_: None):
                assert not shortcut(ours)
        with module.register_full_backward_hook(lambda *_: None):
            assert not shortcut(ours)
    with torch.nn.modules.module.register_module_forward_hook(lambda *_: None):
        assert not shortcut(ours)
    assert shortcut(ours)
    assert torch.equal(*(model.base_model(**inputs()).last_hidden_state for model in (whole, ours)))
    hidden, our_hidden = (model(**inputs(), output_hidden_states=True).hidden_states for model in (whole, ours))
    assert all(map(torch.equal, hidden, our_hidden))
    if family == "Bert":
        base.pooler = nn.Identity()
    else:
        ours.classifier = nn.Identity()
    assert not shortcut(ours)


def test_a_changed_model_can_be_pickled() -> None:
    model = built("Roberta").eval()
    read_first_token_only(model)
    again = pickle.loads(pickle.dumps(model))
    assert shortcut(again)
    assert torch.equal(again(**inputs(), **shortcut(again)).logits, model(**inputs(), **shortcut(model)).logits)


def test_dropout_in_the_last_layer_is_still_drawn() -> None:
    model = built("Bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5).train()
    for layer in model.base_model.encoder.layer[:-1]:
        layer.eval()
    read_first_token_only(model)
    assert not torch.equal(*(model(**inputs(), **shortcut(model)).logits for _ in range(2)))


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
        model(**inputs(), **shortcut(model)).logits.square().sum().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.allclose(one.grad, other.grad, atol=1e-6)
