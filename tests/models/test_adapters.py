"""LoRA, frozen layers, layer-wise rates, gradient checkpointing: each changes what it says and nothing else."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from lit_textclf import Target, TextClassifier, main
from lit_textclf.classifier.optimizer import layerwise_groups
from lit_textclf.models.adapters import merged
from lit_textclf.models.layers import depths, encoder_layers

TARGET = Target("single_label", ("negative", "positive"))


def classifier_of(tiny_bert: Path, **options: Any) -> TextClassifier:
    torch.manual_seed(3)
    classifier = TextClassifier(str(tiny_bert), target=TARGET, **options)
    classifier.configure_model()
    return classifier


def batch_of(rows: int = 6, tokens: int = 11) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(5, 20, (rows, tokens), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return {"inputs": inputs, "target": torch.arange(rows) % 2, "row": torch.arange(rows), "tokens": rows * tokens}


def trained(classifier: TextClassifier, steps: int = 3) -> dict[str, Tensor]:
    """The tensors that three steps of AdamW change, by name, and by how much."""
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}  # type: ignore[union-attr]
    parameters = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        classifier.training_step(batch_of()).backward()  # type: ignore[arg-type, no-untyped-call]
        optimizer.step()
    after = classifier.model.state_dict()  # type: ignore[union-attr]
    return {name: after[name] - value for name, value in before.items() if not torch.equal(after[name], value)}


# LoRA -----------------------------------------------------------------------------------------------------------------


def test_lora_trains_its_matrices_and_the_head(tiny_bert: Path) -> None:
    classifier = classifier_of(tiny_bert, lora={"r": 2})
    changed = set(trained(classifier))
    lora = {name for name in classifier.model.state_dict() if "lora_" in name}  # type: ignore[union-attr]
    assert len(lora) == 2 * 2 * 2  # two layers, query and value, A and B
    head = {f"{part}.{kind}" for part in ("bert.pooler.dense", "classifier") for kind in ("weight", "bias")}
    assert changed == lora | head


def test_lora_begins_as_the_model_without_it(tiny_bert: Path) -> None:
    inputs = batch_of()["inputs"]
    plain, adapted = classifier_of(tiny_bert).eval(), classifier_of(tiny_bert, lora={}).eval()
    torch.testing.assert_close(adapted(**inputs), plain(**inputs), rtol=0, atol=0)


@pytest.mark.parametrize("fast_kernels", [True, False])
def test_merged_weights_are_the_product_of_the_matrices(tiny_bert: Path, fast_kernels: bool) -> None:
    """By hand: W + alpha / r * B A (Hu et al. 2022, section 4.1)."""
    classifier = classifier_of(tiny_bert, lora={"r": 2, "alpha": 6}, fast_kernels=fast_kernels)
    trained(classifier)
    classifier.eval()
    state = classifier.model.state_dict()  # type: ignore[union-attr]
    name = "bert.encoder.layer.1.attention.self.query"
    by_hand = state[f"{name}.base_layer.weight"] + 3 * (
        state[f"{name}.lora_B.default.weight"] @ state[f"{name}.lora_A.default.weight"]
    )
    plain = merged(classifier.model)
    torch.testing.assert_close(plain.state_dict()[f"{name}.weight"], by_hand)
    inputs = batch_of()["inputs"]
    torch.testing.assert_close(plain(**inputs).logits, classifier(**inputs), atol=1e-6, rtol=0)
    assert not any("lora" in name for name in plain.state_dict())
    assert any("lora" in name for name in state)


def test_a_model_without_adapters_is_merged_as_it_is(tiny_bert: Path) -> None:
    classifier = classifier_of(tiny_bert)
    assert merged(classifier.model) is classifier.model


@pytest.mark.slow
def test_lora_through_checkpoint_and_export(
    fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main([*fit_args, "--model.lora", "{r: 4, alpha: 8}"])
    err = capfd.readouterr().err
    assert "lora: " in err
    assert "BertForSequenceClassification of" in err
    test = ["--data.test_file", str(reviews["test"]), "--trainer.precision", "32-true"]
    expected = main(["test", "--ckpt_path", "last", *test])
    main(["export", "--ckpt_path", "last", "--output", "plain"])
    main(["export", "--ckpt_path", "last", "--output", "onnx", "--format", "onnx"])
    assert main(["test", "--engine", "onnx", "--model_dir", "onnx", *test]) == pytest.approx(expected, abs=1e-6)
    monkeypatch.setattr(importlib.util, "find_spec", _without("peft"))  # not needed to load what was exported
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained("plain")
    assert not any("lora" in name for name, _ in model.named_parameters())


def _without(package: str) -> Callable[..., Any]:
    find = importlib.util.find_spec
    return lambda name, *rest: None if name == package else find(name, *rest)


class StopAt(Callback):
    """A user who presses Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def test_lora_goes_on_to_the_same_bits(fit_args: list[str]) -> None:
    fit = [*fit_args, "--model.lora", "{dropout: 0.1}", "--trainer.checkpoint_every_n_steps", "4"]
    main([*fit, "--trainer.default_root_dir", "whole"])
    with pytest.raises(SystemExit):
        main([*fit, "--trainer.default_root_dir", "parts"], callbacks=[StopAt(9)])
    stopped = torch.load(next(Path("parts").rglob("last.ckpt")), weights_only=True)
    assert stopped["global_step"] == 8
    main([*fit, "--trainer.default_root_dir", "parts", "--ckpt_path", "last"])
    whole, parts = (torch.load(next(Path(root).rglob("last.ckpt")), weights_only=True) for root in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 12
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


def test_lora_without_peft(fails: Callable[[Sequence[str]], str], fit_args: list[str],
                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(importlib.util, "find_spec", _without("peft"))
    assert "pip install 'lit-textclf[lora]'" in fails([*fit_args, "--model.lora", "{}"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.lora", "{rank: 8}"], "no 'rank'"),
        (["--model.lora", "{r: 0}"], "r 0"),
        (["--model.lora", "{target_modules: [quer]}"], "did you mean 'query'"),
        (["--model.lora", "{}", "--model.freeze", "1"], "remove model.freeze"),
        (["--model.freeze", "3"], "2 encoder layers"),
        (["--model.freeze", "-1"], "must be 0 or more"),
        (["--model.freeze", "encoder"], "model.freeze"),
        (["--model.layerwise_lr_decay", "0"], "more than 0"),
        (["--model.layerwise_lr_decay", "1.5"], "at most 1"),
    ],
)
def test_values_that_cannot_be(
    options: list[str], words: str, fit_args: list[str], fails: Callable[[Sequence[str]], str]
) -> None:
    assert words in fails([*fit_args, *options])
    assert not list(Path().rglob("*.ckpt"))


def test_another_rank_than_the_checkpoints(fit_args: list[str], fails: Callable[[Sequence[str]], str]) -> None:
    main([*fit_args, "--model.lora", "{r: 2}", "--trainer.max_epochs", "1"])
    line = fails([*fit_args, "--model.lora", "{r: 4}", "--ckpt_path", "last"])
    assert "model.lora" in line


# Frozen layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("freeze", "still"), [("embeddings", ("bert.embeddings.",)), (0, ("bert.embeddings.",)),
                                               (1, ("bert.embeddings.", "bert.encoder.layer.0."))])  # fmt: skip
def test_frozen_tensors_stay_and_all_others_change(tiny_bert: Path, freeze: Any, still: tuple[str, ...]) -> None:
    classifier = classifier_of(tiny_bert, freeze=freeze)
    changed = set(trained(classifier))
    names = {name for name, _ in classifier.model.named_parameters()}  # type: ignore[union-attr]
    assert changed == {name for name in names if not name.startswith(still)}


def test_what_is_frozen_is_said(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--model.freeze", "1"])
    line = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("freeze: "))
    # Embeddings: 21 words, 48 positions, 2 segments of 32, LayerNorm 64; a layer: 4 x (32 x 32 + 32), 64, 32 x 64 + 64,
    # 64 x 32 + 32, 64; the head: pooler 32 x 32 + 32, classifier 2 x 32 + 2.
    embeddings, layer = (21 + 48 + 2) * 32 + 64, 4 * (32 * 32 + 32) + 64 + 32 * 64 + 64 + 64 * 32 + 32 + 64
    everything = embeddings + 2 * layer + 32 * 32 + 32 + 2 * 32 + 2
    assert f"{embeddings + layer:,} of {everything:,} parameters stay as they are" in line


# Layer-wise learning rates --------------------------------------------------------------------------------------------


def test_rates_by_hand(tiny_bert: Path) -> None:
    classifier = classifier_of(tiny_bert)
    model: Any = classifier.model
    groups = layerwise_groups(model.named_parameters(), 0.01, 1.0, 0.5, depths(model))
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates == {
        "embeddings": 0.25, "embeddings_no_decay": 0.25, "layer_01": 0.5, "layer_01_no_decay": 0.5, "layer_02": 1.0,
        "layer_02_no_decay": 1.0, "head": 1.0, "head_no_decay": 1.0,
    }  # fmt: skip
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    by_id = {id(parameter): group for group in groups for parameter in group["params"]}
    assert by_id[id(model.bert.encoder.layer[0].output.dense.weight)]["name"] == "layer_01"
    assert by_id[id(model.bert.pooler.dense.bias)]["name"] == "head_no_decay"
    assert all(group["weight_decay"] == (0 if "no_decay" in group["name"] else 0.01) for group in groups)


def test_a_decay_of_1_trains_as_without(fit_args: list[str]) -> None:
    for root, more in (("plain", []), ("decay", ["--model.layerwise_lr_decay", "1.0"])):
        main([*fit_args, *more, "--trainer.default_root_dir", root])
    plain, decay = (
        torch.load(next(Path(root).rglob("last.ckpt")), weights_only=True)["state_dict"] for root in ("plain", "decay")
    )
    for name, value in plain.items():
        torch.testing.assert_close(decay[name], value, rtol=0, atol=1e-7)


def test_a_rate_that_changes_on_resume_keeps_the_shares(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    fit = [*fit_args, "--model.layerwise_lr_decay", "0.5"]
    main([*fit, "--trainer.max_epochs", "1"])
    main([*fit, "--ckpt_path", "last", "--model.learning_rate", "4e-3", "--trainer.max_epochs", "3"])
    assert "learning rate: 0.001 in the checkpoint, 0.004 now" in capfd.readouterr().err
    stored = torch.load(next(Path("lightning_logs").rglob("last.ckpt")), weights_only=True)
    groups = stored["optimizer_states"][0]["param_groups"]
    assert [group["initial_lr"] for group in groups] == pytest.approx([1e-3, 1e-3, 2e-3, 2e-3, 4e-3, 4e-3, 4e-3, 4e-3])


# Gradient checkpointing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("fast_kernels", [True, False])
def test_gradients_are_the_same(tiny_bert: Path, dropout: float, fast_kernels: bool) -> None:
    found = []
    for again in (False, True):
        classifier = classifier_of(tiny_bert, gradient_checkpointing=again, dropout=dropout, fast_kernels=fast_kernels)
        torch.manual_seed(11)
        loss = classifier.training_step(batch_of())  # type: ignore[arg-type]
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((loss.detach(), {name: value.grad for name, value in classifier.named_parameters()}))
    torch.testing.assert_close(found[1][0], found[0][0])
    assert found[0][1].keys() == found[1][1].keys()
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, msg=name)


def test_less_is_kept_for_the_backward_pass(tiny_bert: Path) -> None:
    """Bytes of the tensors that autograd saves: those of layers that are computed again are not among them."""
    kept = []
    for again in (False, True):
        classifier = classifier_of(tiny_bert, gradient_checkpointing=again)
        size = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal size
            size += 0 if isinstance(tensor, nn.Parameter) else tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            classifier.training_step(batch_of(rows=16, tokens=40))  # type: ignore[arg-type]
        kept.append(size)
    assert kept[1] < 0.6 * kept[0]


def test_parts_of_other_models() -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    for kind, options in (("roberta", sizes), ("electra", {**sizes, "embedding_size": 8}),
                          ("distilbert", {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 16})):  # fmt: skip
        model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, vocab_size=30, **options))
        assert len(encoder_layers(model)[1]) == 3
        of = depths(model)
        assert set(of.values()) == {0, 1, 2, 3, 4}
        assert all(of[name] == 0 for name in of if ".embeddings." in name)
        assert all(of[name] == 4 for name in of if "classifier" in name)


def test_options_are_in_the_runs_config(fit_args: list[str]) -> None:
    main([*fit_args, "--model.freeze", "embeddings", "--trainer.max_epochs", "1"])
    import yaml

    config = yaml.safe_load(next(Path("lightning_logs").rglob("config.yaml")).read_text(encoding="utf-8"))
    assert config["model"]["freeze"] == "embeddings"
    assert json.loads(json.dumps(config["model"]))["lora"] is None
