"""bert-base-chinese, built from its configuration on its vocabulary, is the model that transformers documents."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from lit_textclf import Target, TextClassifier

VOCABULARY = 21_128
SHA256 = "45bbac6b341c319adc98a532532882e91a9cefc0329aa57bac9ae761c27b291c"
CONFIG = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}


@pytest.fixture(params=["made", "real"])
def vocabulary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a vocab.txt: one of as many tokens, and the real one where `--data_dir` has it."""
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    if request.param == "real":
        given = request.config.getoption("--data_dir")
        if given is None:
            pytest.skip("the real vocabulary is not here: give --data_dir DIR with bert-base-chinese-vocab/vocab.txt")
        content = (Path(given) / "bert-base-chinese-vocab" / "vocab.txt").read_bytes()
        assert hashlib.sha256(content).hexdigest() == SHA256
    else:
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokens += [chr(0x4E00 + number) for number in range(20_000)]
        tokens += [f"##{number}" for number in range(VOCABULARY - len(tokens))]
        content = ("\n".join(tokens) + "\n").encode()
    (folder / "vocab.txt").write_bytes(content)
    return folder


def structure(fast_kernels: bool, vocabulary: Path) -> tuple[str, TextClassifier]:
    with torch.device("meta"):  # the structure needs no weights
        classifier = TextClassifier(
            tokenizer_name_or_path=str(vocabulary), from_scratch=CONFIG, fast_kernels=fast_kernels,
            target=Target("single_label", ("负面", "正面")),
        )  # fmt: skip
        classifier.configure_model()
    return str(classifier.model), classifier


def test_structure(vocabulary: Path) -> None:
    """As printed in the documentation of BertForSequenceClassification for bert-base-chinese."""
    printed, classifier = structure(False, vocabulary)
    lines = [line.strip() for line in printed.splitlines()]
    assert lines[0] == "BertForSequenceClassification("
    for expected in (
        "(word_embeddings): Embedding(21128, 768, padding_idx=0)",
        "(position_embeddings): Embedding(512, 768)",
        "(token_type_embeddings): Embedding(2, 768)",
        "(0-11): 12 x BertLayer(",
        "(query): Linear(in_features=768, out_features=768, bias=True)",
        "(key): Linear(in_features=768, out_features=768, bias=True)",
        "(value): Linear(in_features=768, out_features=768, bias=True)",
        "(dense): Linear(in_features=768, out_features=3072, bias=True)",
        "(dense): Linear(in_features=3072, out_features=768, bias=True)",
        "(intermediate_act_fn): GELUActivation()",
        "(pooler): BertPooler(",
        "(activation): Tanh()",
        "(dropout): Dropout(p=0.1, inplace=False)",
    ):
        assert expected in lines, expected
    # The one class of ours: the same layer, whose products stay in float32 under mixed precision.
    assert lines[-2] == "(classifier): Float32Linear(in_features=768, out_features=2, bias=True)"
    assert isinstance(classifier.model.classifier, torch.nn.Linear)  # type: ignore[union-attr]
    # One of the embeddings, and two in the layer that stands for twelve.
    assert len([line for line in lines if line.startswith("(LayerNorm): LayerNorm((768,), eps=1e-12")]) == 3


def test_parameters(vocabulary: Path) -> None:
    """Counted by hand."""
    _, classifier = structure(True, vocabulary)
    embeddings = (VOCABULARY + 512 + 2) * 768 + 2 * 768
    layer = 4 * (768 * 768 + 768) + (768 * 3072 + 3072) + (3072 * 768 + 768) + 2 * 2 * 768
    head = (768 * 768 + 768) + (768 * 2 + 2)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == embeddings + 12 * layer + head
    assert embeddings + 12 * layer + head == 102_269_186


def test_characters_are_tokens(vocabulary: Path) -> None:
    classifier = TextClassifier(tokenizer_name_or_path=str(vocabulary), from_scratch=CONFIG)
    ids = classifier.tokenizer("中文")["input_ids"]
    assert classifier.tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "中", "文", "[SEP]"]
