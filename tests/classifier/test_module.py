"""The classifier by itself: against transformers' own numbers, and from Python."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification, BertTokenizer
from transformers.utils.logging import disable_progress_bar

from lit_textclf import PredictionWriter, Target, TextClassifier, TextDataModule, Trainer, UserError
from tests.conftest import write_csv

BINARY = Target("single_label", ("negative", "positive"), "positive")


@pytest.fixture
def classifier(tiny_bert: Path) -> TextClassifier:
    torch.manual_seed(1)
    classifier = TextClassifier(str(tiny_bert), target=BINARY)
    classifier.configure_model()
    return classifier


def test_configuration_says_the_task(classifier: TextClassifier, tiny_bert: Path) -> None:
    assert isinstance(classifier.model, BertForSequenceClassification)
    config = classifier.model.config
    assert (config.num_labels, config.problem_type) == (2, "single_label_classification")
    assert config.id2label == {0: "negative", 1: "positive"}
    assert config.label2id == {"negative": 0, "positive": 1}
    number = TextClassifier(str(tiny_bert), target=Target("regression"))
    number.configure_model()
    assert isinstance(number.model, BertForSequenceClassification)
    assert (number.model.config.num_labels, number.model.config.problem_type) == (1, "regression")


def test_it_trains_in_train_mode(classifier: TextClassifier) -> None:
    """from_pretrained gives eval mode: without dropout two passes would agree."""
    assert classifier.model is not None
    assert all(module.training for module in classifier.model.modules())
    inputs = {"input_ids": torch.randint(5, 20, (4, 9)), "attention_mask": torch.ones(4, 9, dtype=torch.long)}
    assert not torch.equal(classifier(**inputs), classifier(**inputs))


def test_pretrained_weights_are_there(classifier: TextClassifier, tiny_bert: Path) -> None:
    reference = BertForSequenceClassification.from_pretrained(tiny_bert, dtype=torch.float32)
    assert classifier.model is not None
    for name, value in classifier.model.state_dict().items():
        assert value.dtype == torch.float32
        if name.startswith("bert.") and "position_ids" not in name:
            assert torch.equal(value, reference.state_dict()[name]), name


@pytest.mark.parametrize(
    ("target", "values"),
    [(BINARY, torch.tensor([1, 0, 1])), (Target("regression"), torch.tensor([0.5, 2.0, -1.0]))],
    ids=["classes", "numbers"],
)
def test_the_loss_is_that_of_transformers(target: Target, values: torch.Tensor, tiny_bert: Path) -> None:
    classifier = TextClassifier(str(tiny_bert), target=target).eval()
    classifier.configure_model()
    assert classifier.model is not None
    classifier.eval()
    inputs = {"input_ids": torch.randint(5, 20, (3, 7)), "attention_mask": torch.ones(3, 7, dtype=torch.long)}
    expected = classifier.model(**inputs, labels=values).loss
    found = classifier.training_step({"inputs": inputs, "target": values, "row": values, "tokens": 21})
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_classify_equals_transformers_text_by_text(classifier: TextClassifier, tiny_bert: Path) -> None:
    texts = ["good film", "", "the meal was very very bad .", "good " * 60, "unknown words"]
    answers = classifier.classify(texts, batch_size=2)
    assert all(module.training for module in classifier.modules())
    tokenizer = BertTokenizer.from_pretrained(tiny_bert)
    assert classifier.model is not None
    model = classifier.model.eval()
    for text, answer in zip(texts, answers, strict=True):
        encoded = tokenizer(text, truncation=True, max_length=48, return_tensors="pt")
        with torch.no_grad():
            probabilities = model(**encoded).logits.softmax(-1)[0]
        assert list(answer["probabilities"]) == ["negative", "positive"]
        assert list(answer["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=1e-6)
        assert answer["label"] == BINARY.labels[int(probabilities.argmax())]
        assert answer["score"] == pytest.approx(float(probabilities.max()), abs=1e-6)
    assert classifier.classify([]) == []


def test_classify_pairs_and_numbers(tiny_bert: Path) -> None:
    classifier = TextClassifier(str(tiny_bert), target=Target("regression"))
    answers = classifier.classify(["good film"], ["bad book"])
    tokenizer = BertTokenizer.from_pretrained(tiny_bert)
    assert classifier.model is not None
    with torch.no_grad():
        expected = classifier.model.eval()(**tokenizer("good film", "bad book", return_tensors="pt")).logits.item()
    assert answers == [{"prediction": pytest.approx(expected, abs=1e-6)}]


def test_positions_of_roberta(tmp_path: Path) -> None:
    """RoBERTa's first position is pad_token_id + 1: of 514 positions 512 are for tokens."""
    from transformers import RobertaConfig

    RobertaConfig(max_position_embeddings=514, pad_token_id=1).save_pretrained(tmp_path / "roberta")
    assert TextClassifier(str(tmp_path / "roberta")).max_tokens == 512


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_dropout_option(tiny_bert: Path, dropout: float) -> None:
    classifier = TextClassifier(str(tiny_bert), dropout=dropout, target=BINARY)
    classifier.configure_model()
    assert classifier.model is not None
    found = {module.p for module in classifier.model.modules() if isinstance(module, torch.nn.Dropout)}
    assert found == {dropout}


def test_learning_rate_by_step(tiny_bert: Path, reviews: dict[str, Path]) -> None:
    """Warm-up over a tenth of 20 steps, rounded up to 2, then a straight line to 0."""
    rates: list[float] = []

    class Watch(TextClassifier):
        def on_train_batch_end(self, *args: Any) -> None:
            rates.append(self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]

    data = TextDataModule(train_file=str(reviews["train"]), batch_size=5, max_length=16)
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
        precision="32-true", enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(Watch(str(tiny_bert), learning_rate=1e-3), data)
    steps = 2 * math.ceil(48 / 5)
    expected = [1e-3 * min((step + 1) / 2, (steps - step - 1) / (steps - 2)) for step in range(steps)]
    assert rates == pytest.approx(expected)


def test_labels_are_needed_and_must_agree(tiny_bert: Path, classifier: TextClassifier) -> None:
    with pytest.raises(UserError, match="the labels are not known"):
        TextClassifier(str(tiny_bert)).configure_model()
    checkpoint = {"hyper_parameters": {"target": Target("single_label", ("positive", "negative")).to_dict()}}
    with pytest.raises(UserError, match="in this order"):
        classifier.on_load_checkpoint(checkpoint)


def test_a_tokenizer_that_does_not_fit(tiny_bert: Path, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{index}" for index in range(99))]
    (tmp_path / "big").mkdir()
    (tmp_path / "big/vocab.txt").write_text("\n".join(words), encoding="utf-8")
    classifier = TextClassifier(str(tiny_bert), tokenizer_name_or_path=str(tmp_path / "big"), target=BINARY)
    with pytest.raises(UserError, match="the tokenizer has 104 tokens, the model knows 21"):
        classifier.configure_model()


def test_python_api_as_in_the_readme(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [(f"{'good' if i % 2 else 'bad'} film {i}", "positive" if i % 2 else "negative") for i in range(60)]
    train = write_csv(tmp_path / "reviews.csv", ["text", "label"], rows)
    data = TextDataModule(train_file=str(train), validation_split=0.1, max_length=12)
    model = TextClassifier(model_name_or_path=str(tiny_bert), learning_rate=5e-3)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=8, accelerator="cpu", precision="32-true", enable_checkpointing=False, **quiet)
    trainer.fit(model, data)
    trainer.save_checkpoint("reviews.ckpt")
    loaded = TextClassifier.load_from_checkpoint("reviews.ckpt")
    answers = loaded.classify(["good film", "bad film"])
    assert answers == model.classify(["good film", "bad film"], max_length=12)
    again = TextDataModule.load_from_checkpoint("reviews.ckpt", predict_file=str(train))
    assert again.max_length == 12
    writer = PredictionWriter("p.csv")
    Trainer(accelerator="cpu", precision="32-true", callbacks=[writer], **quiet).predict(loaded, datamodule=again)
    assert writer.metrics["predict_accuracy"] > 0.5
    assert len(Path("p.csv").read_text(encoding="utf-8").splitlines()) == 61


def test_from_scratch_on_a_vocabulary_alone(tmp_path: Path) -> None:
    (tmp_path / "vocab").mkdir()
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u4f60", "\u597d"]
    (tmp_path / "vocab/vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    options: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    classifier = TextClassifier(from_scratch=options, tokenizer_name_or_path=str(tmp_path / "vocab"), target=BINARY)
    classifier.configure_model()
    assert isinstance(classifier.model, BertForSequenceClassification)
    assert classifier.model.bert.embeddings.word_embeddings.weight.shape == (7, 16)
    assert len(classifier.model.bert.encoder.layer) == 1
    assert classifier.classify(["\u4f60\u597d"])[0]["label"] in BINARY.labels


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hidden_sise": 16}, "has no 'hidden_sise'; did you mean 'hidden_size'?"),
        ({"hidden_size": 10, "num_attention_heads": 3}, "10 is not a multiple of 3 heads"),
    ],
)
def test_from_scratch_refused(tiny_bert: Path, options: dict[str, Any], expected: str) -> None:
    classifier = TextClassifier(from_scratch=options, tokenizer_name_or_path=str(tiny_bert))
    with pytest.raises(UserError) as raised:
        _ = classifier.config
    assert expected in str(raised.value)
    with pytest.raises(UserError, match=r"needs model\.tokenizer_name_or_path"):
        TextClassifier(from_scratch=options)


def test_logits_are_float32_under_autocast(classifier: TextClassifier) -> None:
    classifier.configure_model()
    assert classifier.model is not None
    classifier.model.eval()
    hidden = torch.randn(64, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = classifier.model.classifier(hidden)  # type: ignore[operator]
    assert logits.dtype == torch.float32
    exact = torch.nn.functional.linear(hidden, *classifier.model.classifier.parameters())  # type: ignore[union-attr]
    assert torch.allclose(logits, exact, atol=1e-6)
    # In bf16 at most 256 values stand between two powers of two.
    assert not torch.equal(logits, logits.bfloat16().float())


def test_a_trained_head_for_other_labels_is_said(
    tiny_bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disable_progress_bar()  # it writes to stderr, too
    first = TextClassifier(str(tiny_bert), target=Target("single_label", ("no", "yes")))
    first.configure_model()
    first.model.save_pretrained(tmp_path / "tuned")  # type: ignore[operator,union-attr]
    first.tokenizer.save_pretrained(tmp_path / "tuned")
    capsys.readouterr()
    TextClassifier(str(tmp_path / "tuned"), target=Target("single_label", ("no", "yes"))).configure_model()
    assert capsys.readouterr().err == ""
    TextClassifier(str(tmp_path / "tuned"), target=Target("single_label", ("yes", "no"))).configure_model()
    assert "its outputs were no, yes; training continues from them for yes, no" in capsys.readouterr().err


def test_a_wrong_head_init_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(UserError, match=r"model\.head_init 'proobe': must be one of auto, random, probe"):
        TextClassifier(str(tiny_bert), head_init="proobe")  # type: ignore[arg-type]


def test_the_optimizer_of_a_subclass_is_left_as_it_is(tiny_bert: Path, reviews: dict[str, Path]) -> None:
    seen: list[tuple[float, float]] = []

    class Own(TextClassifier):
        def configure_optimizers(self) -> Any:
            named = list(self.named_parameters())
            groups = [
                {"params": [each for name, each in named if "classifier" not in name], "lr": 2e-5, "weight_decay": 0.0},
                {"params": [each for name, each in named if "classifier" in name], "lr": 1e-2, "weight_decay": 0.1},
            ]
            optimizer = torch.optim.AdamW(groups)
            return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)]

        def on_train_batch_start(self, *args: Any) -> None:
            seen.extend((group["lr"], group["weight_decay"]) for group in self.optimizers().param_groups)  # type: ignore[union-attr]

    data = TextDataModule(train_file=str(reviews["train"]), max_length=16)
    trainer = Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, precision="32-true",
        limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(Own(str(tiny_bert), learning_rate=1e-3), data)
    assert seen == [(2e-5, 0.0), (1e-2, 0.1)]


def test_threads_classify_without_dropout(classifier: TextClassifier) -> None:
    """A model in training mode, as Lightning leaves it, is back in training mode after the last of them."""
    assert classifier.training
    (expected,) = classifier.classify(["the film was good"])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(classifier.classify, [["the film was good"]] * 100))
    assert [answer for (answer,) in found] == [expected] * 100
    assert all(module.training for module in classifier.modules())


def test_one_text_is_one_answer(classifier: TextClassifier) -> None:
    (expected,) = classifier.classify(["good film"])
    assert classifier.classify("good film") == expected
    (pair,) = classifier.classify(["good"], ["film"])
    assert classifier.classify("good", "film") == pair


@pytest.mark.parametrize(
    ("texts", "pairs", "message"),
    [
        (["good", None], None, r"classify: texts\[1\] is None: must be a string"),
        ([("good", "film")], None, r"classify: texts\[0\] is \('good', 'film'\): must be a string"),
        (["good"], [3], r"classify: text_pairs\[0\] is 3: must be a string"),
        (["good", "bad"], ["film"], r"classify: 2 texts need as many text_pairs"),
        ("good", ["film"], r"classify: text_pairs\[0\] is \['film'\]: must be a string"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, pairs: Any, message: str, classifier: TextClassifier) -> None:
    with pytest.raises(UserError, match=message):
        classifier.classify(texts, pairs)
