"""A Trainer keeps `trainer.datamodule` when it is called again with loaders: they are not of that data module."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import BertTokenizer, DataCollatorWithPadding

import lit_textclf
from lit_textclf import PredictionWriter, Target, TextClassifier, TextDataModule, Trainer, UserError
from lit_textclf.classifier.inference.calibration import Calibration
from tests.conftest import sentences
from tests.lightning.conftest import QUIET, TRAINERS

Make = Callable[..., TextClassifier]
TARGET = Target("single_label", ("negative", "positive"))


@pytest.fixture
def loader(tiny_bert: Path) -> DataLoader[Any]:
    """Forty rows as a user of transformers has them."""
    tokenizer = BertTokenizer.from_pretrained(tiny_bert)
    rows = [{**tokenizer(text), "labels": TARGET.labels.index(label)} for text, label in sentences(40)]
    return DataLoader(rows, batch_size=8, collate_fn=DataCollatorWithPadding(tokenizer))  # type: ignore[arg-type]


def new_trainer(kind: type[pl.Trainer], data: TextDataModule, model: TextClassifier, **options: Any) -> pl.Trainer:
    trainer = kind(**{**QUIET, "max_epochs": 1, **options})
    trainer.fit(model, datamodule=data)
    trainer.fit_loop.max_epochs = 2
    return trainer


@TRAINERS
def test_evaluate(
    trainer_class: type[pl.Trainer], new_model: Make, reviews: dict[str, Path], loader: DataLoader[Any]
) -> None:
    """The data module has no test rows and only 16 validation rows; the loader has 40."""
    data = TextDataModule(str(reviews["train"]), str(reviews["validation"]), max_length=16, batch_size=8)
    trainer = new_trainer(trainer_class, data, model := new_model())
    expected = trainer_class(**QUIET).validate(model, loader, verbose=False)[0]
    assert trainer.validate(model, loader, verbose=False)[0] == pytest.approx(expected)
    tested = trainer.test(model, loader, verbose=False)[0]
    assert tested["test_loss"] == pytest.approx(expected["val_loss"])
    assert "test_ece" not in tested


@TRAINERS
def test_class_weights(
    trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule, loader: DataLoader[Any]
) -> None:
    """Balanced weights count the rows of the data module that is trained on, and not those of an earlier call."""
    trainer = new_trainer(trainer_class, data, model := new_model(class_weights="balanced"))
    for classifier in (model, new_model(class_weights="balanced", target=TARGET)):
        with pytest.raises(UserError, match="class_weights balanced: call configure"):
            trainer.fit(classifier, loader, loader)


@TRAINERS
def test_labels(
    trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule, loader: DataLoader[Any]
) -> None:
    trainer = new_trainer(trainer_class, data, new_model())
    with pytest.raises(UserError, match="the labels are not known"):
        trainer.fit(new_model(), loader, loader)


def test_calibration(new_model: Make, data: TextDataModule, loader: DataLoader[Any]) -> None:
    """It is not learned from the rows that were validated before."""
    trainer = new_trainer(Trainer, data, model := new_model())
    model.calibration = Calibration(2.5)
    trainer.fit(model, loader, loader)
    assert model.calibration == Calibration(2.5)


def test_checkpoint(new_model: Make, data: TextDataModule, loader: DataLoader[Any]) -> None:
    """It knows the rows and the settings of the data module only if its model was trained on them."""
    trainer = new_trainer(Trainer, data, trained := new_model())
    trainer.validate(trained, loader, verbose=False)
    trainer.save_checkpoint("data.ckpt")
    trainer.fit(new_model(target=TARGET), loader, loader)
    trainer.save_checkpoint("loader.ckpt")
    by_data, by_loader = (torch.load(f"{name}.ckpt", weights_only=True) for name in ("data", "loader"))
    assert by_data["datamodule_hyper_parameters"]["max_length"] == 16
    assert len(by_data["TextDataModule"]["trained_on"])
    assert not {"datamodule_hyper_parameters", "datamodule_hparams_name", "TextDataModule"} & by_loader.keys()


def test_head(
    new_model: Make, data: TextDataModule, loader: DataLoader[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = new_trainer(Trainer, data, new_model())
    trainer.fit(new_model(target=TARGET, head_init="probe"), loader, loader)
    assert "head: starts from random weights, because a probe needs a TextDataModule" in capsys.readouterr().err


def test_predictions(new_model: Make, reviews: dict[str, Path], loader: DataLoader[Any]) -> None:
    """PredictionWriter does not write the rows of the file again."""
    data, model = TextDataModule(predict_file=str(reviews["test"])), new_model(target=TARGET)
    trainer = Trainer(**QUIET, callbacks=[PredictionWriter("first.csv")])
    trainer.predict(model, datamodule=data)
    with pytest.raises(UserError, match="PredictionWriter writes the rows of a TextDataModule"):
        trainer.predict(model, loader)


def test_the_data_module_by_hand(new_model: Make, data: TextDataModule, loader: DataLoader[Any]) -> None:
    """Its loaders can be asked for after the Trainer has moved on, and before it does."""
    trainer = new_trainer(Trainer, data, model := new_model())
    trainer.validate(model, loader, verbose=False)
    data.setup("test")
    assert len(data.rows["test"]) == 15
    trainer.test(model, data.test_dataloader(), verbose=False)


def test_one_file_reads_the_trainers_data_module() -> None:
    """All others ask `data_module_of`."""
    package = Path(lit_textclf.__file__).parent
    found = {path.name for path in package.rglob("*.py") if re.search(r"trainer\.datamodule\b(?!`)", path.read_text())}
    assert found == {"checkpoint.py"}  # which leaves it out
