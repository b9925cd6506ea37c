"""What is done to transformers' models; building and loading them is in test_classifier.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lit_textclf import Target, TextClassifier, Trainer, UserError, main

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
