"""What is done to transformers' models; building and loading them is in test_classifier.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from lit_textclf import Target, TextClassifier, Trainer, UserError, main
from lit_textclf.models.layers import checkpoint_activations, depths

# torch 2.13's compiler imports a module of its own that uses what torch deprecates.
COMPILER_WARNS = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")


@pytest.mark.slow
@COMPILER_WARNS
def test_a_compiled_model_keeps_its_keys_and_its_numbers(tiny_bert: Path) -> None:
    """torch's own compiler, at two lengths; it takes half a minute."""
    torch.manual_seed(0)
    plain = TextClassifier(str(tiny_bert), target=Target("single_label", ("a", "b")), fast_kernels=False)
    plain.configure_model()
    compiled = TextClassifier(str(tiny_bert), target=Target("single_label", ("a", "b")), compile=True)
    compiled.configure_model()
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    compiled.load_state_dict(plain.state_dict())
    plain.eval(), compiled.eval()
    for tokens in (9, 14):
        inputs = {"input_ids": torch.randint(5, 20, (4, tokens)), "attention_mask": torch.ones(4, tokens).long()}
        with torch.no_grad():
            assert torch.allclose(compiled(**inputs), plain(**inputs), atol=1e-5)
    assert compiled.model is not None
    assert compiled.model._compiled_call_impl is not None


@pytest.mark.slow
@COMPILER_WARNS
def test_a_compiled_fit_makes_an_ordinary_checkpoint(fit_args: list[str], reviews: dict[str, Path]) -> None:
    main([*fit_args, "--model.compile", "true", "--trainer.max_steps", "2", "--trainer.precision", "32-true"])
    path = "lightning_logs/version_0/checkpoints/last.ckpt"
    stored = torch.load(path, weights_only=True)
    assert not any("_orig_mod" in key for key in stored["state_dict"])
    assert "compile" not in stored["hyper_parameters"]
    main(["predict", "--ckpt_path", path, "--data.predict_file", str(reviews["test"])])


def test_without_a_compiler_it_is_said(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    classifier = TextClassifier(str(tiny_bert), target=Target("single_label", ("a", "b")), compile=True)
    with pytest.raises(UserError, match=r"model\.compile: torch needs a C\+\+ compiler"):
        classifier.configure_model()


def test_what_stays_in_float32_may_be_rounded_only_where_precision_is_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_float32_matmul_precision()
    Trainer(accelerator="cpu", logger=False)
    assert torch.get_float32_matmul_precision() == before


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}


def test_depths_of_a_bert() -> None:
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))
    expected = {"bert.embeddings.": 0, "bert.encoder.layer.0.": 1, "bert.encoder.layer.1.": 2, "bert.pooler.": 3,
                "classifier.": 3}  # fmt: skip
    found = depths(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    for name, depth in found.items():
        assert [wanted for start, wanted in expected.items() if name.startswith(start)] == [depth], name


def test_a_model_of_several_lists_is_refused() -> None:
    """XLM has a list of attentions and one of feed-forward layers."""
    config = transformers.XLMConfig(emb_dim=16, n_layers=2, n_heads=2, vocab_size=50)
    with pytest.raises(UserError, match="XLMForSequenceClassification is not one list of encoder layers"):
        depths(transformers.XLMForSequenceClassification(config))


@pytest.mark.parametrize("lora", [None, {"target_modules": ["query", "dense"], "dropout": 0.2}])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("fast_kernels", [True, False])
@pytest.mark.parametrize("bf16", [True, False])
def test_gradient_checkpointing_gives_the_same_numbers_in_less_memory(
    tiny_bert: Path, fast_kernels: bool, dropout: float, lora: dict[str, Any] | None, bf16: bool
) -> None:
    """Draws of the second time are those of the first; what is kept is counted by torch's own hooks."""
    options: dict[str, Any] = {"lora": lora, "dropout": dropout, "fast_kernels": fast_kernels}
    found = []
    for saving in (False, True):
        torch.manual_seed(0)
        target = Target("single_label", ("a", "b"))
        classifier = TextClassifier(str(tiny_bert), target=target, gradient_checkpointing=saving, **options)
        classifier.configure_model()
        for name, parameter in classifier.named_parameters():
            if "lora_B" in name:
                parameter.data.fill_(0.1)
        inputs = {"input_ids": torch.randint(5, 20, (8, 12)), "attention_mask": torch.ones(8, 12, dtype=torch.long)}
        inputs["attention_mask"][1, 5:] = 0
        kept: list[torch.Tensor] = []

        def pack(tensor: torch.Tensor, kept: list[torch.Tensor] = kept) -> torch.Tensor:
            kept.append(tensor)
            return tensor

        torch.manual_seed(7)
        weights = {parameter.data_ptr() for parameter in classifier.parameters()}
        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=bf16),
        ):
            loss = classifier.training_step({"inputs": inputs, "target": torch.arange(8) % 2})
        size = sum(tensor.nbytes for tensor in kept if tensor.data_ptr() not in weights)
        torch.rand(5)  # the generator's state at the time of the backward pass is another one
        loss.backward()
        gradients = {name: each.grad for name, each in classifier.named_parameters() if each.grad is not None}
        found.append((loss.item(), gradients, size, {tensor.dtype for tensor in kept}))
    (loss, gradients, size, dtypes), (saving_loss, saving_gradients, saving_size, _) = found
    assert saving_loss == pytest.approx(loss, rel=1e-6)
    assert saving_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(saving_gradients[name], gradient, rtol=1e-4, atol=1e-6), name
    # One of two layers is computed again, or both; embeddings and head are kept.
    assert saving_size < 0.75 * size
    if fast_kernels and dropout:  # masks are not kept either, but for those of the embeddings and the last layer
        assert {torch.int16, torch.int8} <= dtypes


def test_frozen_layers_get_no_gradients_for_the_sake_of_checkpoints(tiny_bert: Path) -> None:
    """transformers would ask for those of the embeddings' output."""
    target = Target("single_label", ("a", "b"))
    classifier = TextClassifier(str(tiny_bert), target=target, freeze=1, gradient_checkpointing=True)
    classifier.configure_model()
    assert classifier.model is not None
    asked: list[bool] = []
    layer = classifier.model.bert.encoder.layer[0]
    layer.register_forward_hook(lambda _, __, output: asked.append(output.requires_grad))
    ids = torch.randint(5, 20, (4, 9))
    classifier(input_ids=ids, attention_mask=torch.ones_like(ids)).sum().backward()
    assert asked == [False]


def test_a_model_that_cannot_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))
    monkeypatch.setattr(type(model), "supports_gradient_checkpointing", False)
    with pytest.raises(
        UserError, match=r"model\.gradient_checkpointing: BertForSequenceClassification does not support"
    ):
        checkpoint_activations(model)


def test_gradient_checkpointing_is_of_the_machine_not_of_the_checkpoint(fit_args: list[str]) -> None:
    weights = []
    for number, saving in enumerate(("false", "true")):
        main([*fit_args, "--model.gradient_checkpointing", saving])
        content = torch.load(f"lightning_logs/version_{number}/checkpoints/last.ckpt", weights_only=True)
        assert "gradient_checkpointing" not in content["hyper_parameters"]
        weights.append(content["state_dict"])
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-6) for name in weights[0])
