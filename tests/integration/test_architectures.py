"""A classifier computes what transformers' own model does, whatever the architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from lit_textclf import Target, TextClassifier
from lit_textclf.models.config import config_to_json

SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64, "pad_token_id": 0, "eos_token_id": 3, "num_labels": 2,
}  # fmt: skip
HEADS = {"num_key_value_heads": 2, "head_dim": 16}
SEQUENCES = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
LAYERS = {
    "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "d_model": 32,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "bart": LAYERS, "plbart": LAYERS, "mbart": LAYERS, "gemma": HEADS, "gemma2": HEADS, "qwen3": HEADS,
    "mistral": HEADS, "qwen2": HEADS, "stablelm": HEADS, "smollm3": HEADS, "exaone4": HEADS, "gptj": {"rotary_dim": 8},
    "squeezebert": {"embedding_size": 32},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16}, "mt5": SEQUENCES, "umt5": SEQUENCES,
}  # fmt: skip
ARCHITECTURES = [
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "albert", "deberta", "deberta-v2",
    "modernbert", "gpt2", "llama", "longformer", "big_bird", "convbert", "roformer", "rembert", "mobilebert",
    "squeezebert", "megatron-bert", "ernie", "data2vec-text", "xlm-roberta-xl", "luke", "roberta-prelayernorm",
    "flaubert", "layoutlm", "eurobert", "nomic_bert", "jina_embeddings_v3", "modernbert-decoder", "mpnet", "fnet",
    "ibert", "canine", "phi", "opt", "bloom", "gpt_neox", "xlm", "nystromformer", "yoso", "esm", "mra",
    "openai-gpt", "ctrl", "biogpt", "falcon", "starcoder2", "persimmon", "olmo", "glm", "gemma", "gemma2", "qwen3",
    "qwen2", "mistral", "stablelm", "smollm3", "exaone4", "bart", "plbart", "mbart", "mt5", "umt5",
]  # fmt: skip
TARGET = Target("single_label", ("negative", "positive"))


def config_of(name: str, words: int) -> PretrainedConfig:
    config = AutoConfig.for_model(name, **{**SIZES, "vocab_size": words, **OWN.get(name, {})})
    for option, value in config.to_dict().items():
        if "drop" in option and isinstance(value, float):
            setattr(config, option, 0.0)
    return config


def classifier_of(config: PretrainedConfig, tokenizer: PreTrainedTokenizerFast) -> TextClassifier:
    classifier = TextClassifier(target=TARGET, architecture=config_to_json(config), tokenizer=tokenizer)
    classifier.configure_model()
    return classifier


def gradients(model: torch.nn.Module, logits: torch.Tensor) -> torch.Tensor:
    logits.square().sum().backward()
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.filterwarnings("ignore")  # of transformers, about options that these sizes do not set
def test_logits_and_gradients_are_those_of_transformers(name: str, tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    torch.manual_seed(0)
    config = config_of(name, len(tokenizer))
    own = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).train()
    classifier = classifier_of(config, tokenizer).train()
    assert classifier.model is not None
    classifier.model.load_state_dict(own.state_dict())
    ids, mask = torch.randint(5, len(tokenizer), (3, 16)), torch.ones(3, 16, dtype=torch.int64)
    ids[:, -1] = 3  # the encoder-decoders read their last [SEP]
    ids[1, 10:], mask[1, 10:], ids[1, 9] = 0, 0, 3
    expected, found = own(input_ids=ids, attention_mask=mask).logits, classifier(input_ids=ids, attention_mask=mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ours, theirs = gradients(classifier.model, found), gradients(own, expected)
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


@pytest.mark.parametrize("name", ["ibert", "canine"])
def test_a_vocabulary_of_another_kind(name: str, tiny_bert: Path) -> None:
    """I-BERT quantizes its embeddings, and CANINE hashes characters."""
    classifier = classifier_of(config_of(name, 21), AutoTokenizer.from_pretrained(tiny_bert))
    assert classifier.model is not None


@pytest.mark.parametrize("name", ["fnet", "convbert", "bert"])
def test_probabilities_that_depend_on_the_batch_are_mentioned(
    name: str, tiny_bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    classifier_of(config_of(name, 21), AutoTokenizer.from_pretrained(tiny_bert))
    mentioned = f"{name}: reads padding, too, so that a text's probabilities depend on the texts in its batch"
    assert (mentioned in capfd.readouterr().err) == (name != "bert")


def test_only_blank_texts_for_gpt2() -> None:
    """Its tokenizer adds no special tokens: a batch of blank texts has no token at all."""
    words = {"[PAD]": 0, "good": 1, "bad": 2, "[UNK]": 3}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
    classifier = classifier_of(config_of("gpt2", len(words)), tokenizer)
    blank, mixed = classifier.classify([""]), classifier.classify(["good bad", ""])
    assert blank[0]["score"] == pytest.approx(mixed[1]["score"], abs=1e-6)
