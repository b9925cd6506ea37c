"""The classifier with other data modules and loaders, and the data module with other models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import BertForSequenceClassification, BertTokenizer, DataCollatorWithPadding

from lit_textclf import Target, TextClassifier, TextDataModule, Trainer, UserError
from tests.conftest import sentences

TARGET = Target("single_label", ("negative", "positive"))
OPTIONS: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "precision": "32-true", "logger": False, "enable_checkpointing": False,
    "enable_progress_bar": False, "max_epochs": 1, "enable_model_summary": False,
}  # fmt: skip


class HuggingFaceData(pl.LightningDataModule):
    """What a user of transformers has: a tokenizer, lists of dictionaries, and their collator."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.tokenizer = BertTokenizer.from_pretrained(folder)

    def loader(self, first: int, last: int) -> DataLoader[Any]:
        rows = [
            {**self.tokenizer(text), "labels": TARGET.labels.index(label)} for text, label in sentences(last)[first:]
        ]
        return DataLoader(rows, batch_size=8, collate_fn=DataCollatorWithPadding(self.tokenizer))  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader(0, 48)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader(48, 64)

    test_dataloader = predict_dataloader = val_dataloader


@pytest.mark.parametrize("kind", [pl.Trainer, Trainer])
def test_hugging_face_batches(
    kind: Callable[..., pl.Trainer], tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained, validated and tested on another data module, and on its loaders; the loss is transformers' own."""
    data = HuggingFaceData(tiny_bert)
    classifier = TextClassifier(str(tiny_bert), target=TARGET, learning_rate=1e-3, head_init="probe")
    trainer = kind(**OPTIONS)
    trainer.fit(classifier, data)
    assert "head: starts from random weights, because a probe needs a TextDataModule" in capsys.readouterr().err
    by_module = trainer.validate(classifier, data)[0]
    by_loader = trainer.validate(classifier, data.val_dataloader())[0]
    assert by_module["val_loss"] == pytest.approx(by_loader["val_loss"])
    losses, rows = 0.0, 0
    model = classifier.model
    assert model is not None
    with torch.no_grad():
        for batch in data.val_dataloader():
            losses += float(model.eval()(**batch).loss) * len(batch["labels"])
            rows += len(batch["labels"])
    assert by_module["val_loss"] == pytest.approx(losses / rows, rel=1e-5)


def test_batches_that_cannot_be_read(tiny_bert: Path) -> None:
    classifier = TextClassifier(str(tiny_bert), target=TARGET)
    with pytest.raises(UserError, match="a batch has text, label: it must have inputs, as TextDataModule's, or input_"):
        classifier.training_step({"text": ["a"], "label": torch.tensor([0])})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize("kind", [pl.Trainer, Trainer])
def test_batches_without_labels(kind: Callable[..., pl.Trainer], tiny_bert: Path) -> None:
    """They are predicted; what needs labels names what is missing."""
    classifier, tokenizer = TextClassifier(str(tiny_bert), target=TARGET), BertTokenizer.from_pretrained(tiny_bert)
    rows = [{"input_ids": ids} for ids in tokenizer([text for text, _ in sentences(12)])["input_ids"]]
    loader = DataLoader(rows, batch_size=8, collate_fn=DataCollatorWithPadding(tokenizer))  # type: ignore[arg-type]
    trainer = kind(**OPTIONS)
    predicted: Any = trainer.predict(classifier, loader)
    assert [len(prediction.logits) for prediction in predicted] == [8, 4]
    for call in (trainer.validate, trainer.test, trainer.fit):
        with pytest.raises(UserError, match="a batch has input_ids, attention_mask, but no labels, which fit, "):
            call(classifier, *[loader] * (2 if call == trainer.fit else 1))


def test_class_weights_without_a_data_module(tiny_bert: Path) -> None:
    """Weights by name need no data; balanced ones do, and say so."""
    batch = next(iter(HuggingFaceData(tiny_bert).loader(0, 8)))
    losses = []
    for weights in (None, {"negative": 9.0, "positive": 1.0}):
        torch.manual_seed(0)
        classifier = TextClassifier(str(tiny_bert), target=TARGET, class_weights=weights, dropout=0.0)
        classifier.configure_model()
        losses.append(classifier.training_step(batch).item())
    assert losses[0] != pytest.approx(losses[1])
    classifier = TextClassifier(str(tiny_bert), target=TARGET, class_weights="balanced")
    with pytest.raises(UserError, match=r"balanced: call configure\(data.target, data.label_counts"):
        classifier.training_step(batch)


class OtherModel(pl.LightningModule):
    """A LightningModule of somebody else, which reads the documented batch."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.net = BertForSequenceClassification.from_pretrained(folder, num_labels=2).train()
        self.rows: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.rows += batch["row"].tolist()
        return self.net(**batch["inputs"], labels=batch["target"]).loss  # type: ignore[no-any-return]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("seen", float(len(batch["row"])), reduce_fx="sum", batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("by_name", [True, False])
def test_the_data_module_feeds_another_model(by_name: bool, reviews: dict[str, Path], tiny_bert: Path) -> None:
    tokenizer: Any = str(tiny_bert) if by_name else BertTokenizer.from_pretrained(tiny_bert)
    data = TextDataModule(str(reviews["train"]), str(reviews["validation"]), tokenizer=tokenizer)
    model, trainer = OtherModel(tiny_bert), pl.Trainer(**OPTIONS)
    trainer.fit(model, data)
    assert sorted(model.rows) == list(range(48))
    assert trainer.callback_metrics["seen"] == 16


def test_another_model_needs_a_tokenizer(reviews: dict[str, Path], tiny_bert: Path) -> None:
    with pytest.raises(UserError, match="TextDataModule has no tokenizer: give it one"):
        pl.Trainer(**OPTIONS).fit(OtherModel(tiny_bert), TextDataModule(str(reviews["train"])))
