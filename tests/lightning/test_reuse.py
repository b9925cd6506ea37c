"""A data module that was used before gives what a new one would."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from transformers import BertTokenizer

from lit_textclf import PredictionWriter, Target, TextClassifier, TextDataModule, Trainer
from lit_textclf.classifier.inference.calibration import Calibration
from tests.conftest import sentences, write_csv

OPTIONS: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "precision": "32-true", "logger": False, "enable_checkpointing": False,
    "enable_progress_bar": False, "max_epochs": 1,
}  # fmt: skip


@pytest.fixture
def other_bert(tiny_bert: Path, tmp_path: Path) -> Path:
    """The same model with its words in another order."""
    folder = shutil.copytree(tiny_bert, tmp_path / "other_bert")
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    (folder / "vocab.txt").write_text("\n".join([*lines[:5], *reversed(lines[5:])]) + "\n", encoding="utf-8")
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def data_of(reviews: dict[str, Path], **options: Any) -> TextDataModule:
    return TextDataModule(
        str(reviews["train"]), str(reviews["validation"]), str(reviews["test"]), batch_size=8, **options
    )


def ids_of(data: TextDataModule) -> torch.Tensor:
    return next(iter(data.val_dataloader()))["inputs"]["input_ids"]


def test_another_model_gets_its_own_tokens(reviews: dict[str, Path], tiny_bert: Path, other_bert: Path) -> None:
    """The usual loop that compares models."""
    used = data_of(reviews, max_length=12)
    for folder in (tiny_bert, other_bert, tiny_bert):
        classifier = TextClassifier(str(folder), learning_rate=1e-3)
        Trainer(**OPTIONS).fit(classifier, used)
        new = data_of(reviews, max_length=12)
        new.prepare("fit", classifier)
        assert torch.equal(ids_of(used), ids_of(new))
        text = classifier.tokenizer.decode(ids_of(used)[0], skip_special_tokens=True)
        assert text in "\n".join(used.rows["validation"].text.to_pylist()).replace(".", " .")


def test_another_order_of_labels(reviews: dict[str, Path], tiny_bert: Path) -> None:
    """A classifier with its own target is tested with its own order of the labels, a new one again with the file's."""
    data, reverse = data_of(reviews), Target("single_label", ("positive", "negative"))
    for target in (None, reverse, None):
        classifier = TextClassifier(str(tiny_bert), target=target)
        data.prepare("fit", classifier)
        data.prepare("test", classifier)
        assert data.target is not None
        assert data.target.labels == (("negative", "positive") if target is None else reverse.labels)
        batch = next(iter(data.test_dataloader()))
        given = data.rows["test"].label.to_pylist()
        assert [data.target.labels[code] for code in batch["target"]] == [given[row] for row in batch["row"]]


def test_another_length(reviews: dict[str, Path], tiny_bert: Path) -> None:
    data, classifier = data_of(reviews, max_length=6), TextClassifier(str(tiny_bert))
    data.prepare("fit", classifier)
    assert ids_of(data).shape[1] == 6
    data.max_length = 9
    data.prepare("fit", classifier)
    assert ids_of(data).shape[1] == 9
    assert data.hparams["max_length"] == 9


def test_a_file_that_has_changed(reviews: dict[str, Path], tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are read again, with a line; a trained classifier keeps its labels."""
    data = TextDataModule(str(reviews["train"]), test_file=str(reviews["test"]))
    classifier = TextClassifier(str(tiny_bert))
    data.prepare("fit", classifier)
    classifier.target = data.target
    assert data.target is not None
    rows = [(text, {"positive": "a", "negative": "negative"}[label]) for text, label in sentences(20)]
    write_csv(reviews["train"], ["text", "label"], rows)
    os.utime(reviews["train"], ns=(0, 0))
    data.prepare("test", classifier)
    assert data.target.labels == ("negative", "positive")
    assert "train.csv: has changed since it was read, and is read again" in capsys.readouterr().err
    data.prepare("fit", TextClassifier(str(tiny_bert)))
    assert data.target.labels == ("a", "negative")
    assert len(data.rows["train"]) == 20


def predicted(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_another_text(reviews: dict[str, Path], tiny_bert: Path) -> None:
    """Each prediction is of what was asked for: a text, another one, the file, its columns too, the changed file."""
    classifier = TextClassifier(str(tiny_bert), target=Target("single_label", ("negative", "positive")))
    data = TextDataModule(predict_file=str(reviews["test"]))

    def predict(name: str, **options: Any) -> list[dict[str, str]]:
        writer = PredictionWriter(f"{name}.csv", **options)
        Trainer(**OPTIONS, callbacks=[writer]).predict(classifier, datamodule=data)
        return predicted(f"{name}.csv")

    for name, text in (("a", "good film"), ("b", "bad film")):
        data.predict_texts([text])
        (row,) = predict(name)
        assert float(row["score"]) == pytest.approx(classifier.classify(text)["score"], abs=1e-5)
    data.predict_texts(None)
    assert len(predict("file")) == 15
    assert predict("kept", keep_columns=True)[0]["id"] == "r64"
    write_csv(reviews["test"], ["text"], [("new film",)])
    assert [row["text"] for row in predict("new", keep_columns=True)] == ["new film"]


def test_reads_as_the_checkpoint_did(
    reviews: dict[str, Path], tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained with windows of 8 tokens: a data module that says nothing reads them, and one that differs says so."""
    trained = data_of(reviews, long_text="window", max_length=8, window_stride=4)
    classifier, trainer = TextClassifier(str(tiny_bert), learning_rate=1e-3), Trainer(**OPTIONS)
    trainer.fit(classifier, trained)
    trainer.save_checkpoint("windows.ckpt")
    loaded = TextClassifier.load_from_checkpoint("windows.ckpt")
    expected = trainer.test(loaded, TextDataModule.load_from_checkpoint("windows.ckpt", test_file=str(reviews["test"])))
    data = TextDataModule(test_file=str(reviews["test"]))
    assert trainer.test(loaded, data) == expected
    assert (data.long_text.mode, data.max_length, data.long_text.stride) == ("window", 8, 4)
    capsys.readouterr()
    other = TextDataModule(test_file=str(reviews["test"]), max_length=6)
    assert trainer.test(loaded, other) != expected
    assert capsys.readouterr().err.count("data.max_length 6: the classifier was trained with 8\n") == 1


@pytest.mark.parametrize("fresh", [True, False])
def test_a_checkpoint_by_path_says_how_texts_are_read(
    fresh: bool, reviews: dict[str, Path], tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lightning loads it after the rows are tokenized: for a new classifier, and for one of another checkpoint."""
    trainer = Trainer(**OPTIONS)
    trained = TextClassifier(str(tiny_bert), learning_rate=1e-3)
    trainer.fit(trained, data_of(reviews, max_length=20))
    trainer.save_checkpoint("long.ckpt")
    trainer = Trainer(**OPTIONS)
    trainer.fit(trained, data_of(reviews, long_text="window", max_length=6, window_stride=3))
    trainer.save_checkpoint("windows.ckpt")
    files = {name: str(reviews["test"]) for name in ("validation_file", "test_file", "predict_file")}
    writer = Trainer(**OPTIONS, callbacks=[PredictionWriter("expected.csv")])
    expected = trainer.test(trained, TextDataModule(**files)), trainer.validate(trained, TextDataModule(**files))
    writer.predict(trained, datamodule=TextDataModule(**files))

    def other() -> TextClassifier:
        new = TextClassifier(str(tiny_bert), target=trained.target)
        return new if fresh else TextClassifier.load_from_checkpoint("long.ckpt")

    data, path = TextDataModule(**files), "windows.ckpt"
    assert trainer.test(other(), data, ckpt_path=path) == expected[0]
    assert (data.long_text.mode, data.max_length, data.long_text.stride) == ("window", 6, 3)
    assert trainer.validate(other(), TextDataModule(**files), ckpt_path=path) == expected[1]
    writer = Trainer(**OPTIONS, callbacks=[PredictionWriter("found.csv")])
    writer.predict(other(), datamodule=TextDataModule(**files), ckpt_path=path)
    assert predicted("found.csv") == predicted("expected.csv")
    capsys.readouterr()
    trainer.test(other(), TextDataModule(**files, max_length=9), ckpt_path=path)
    assert "data.max_length 9: the classifier was trained with 6\n" in capsys.readouterr().err


def test_rows_that_the_model_was_trained_on(
    reviews: dict[str, Path], tiny_bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Are counted, by the classifier's own memory and that of its checkpoint, and measured all the same."""
    trainer, classifier = Trainer(**OPTIONS), TextClassifier(str(tiny_bert), learning_rate=1e-3)
    trainer.fit(classifier, data_of(reviews))
    trainer.save_checkpoint("a.ckpt")
    loaded = TextClassifier.load_from_checkpoint("a.ckpt")
    fresh = TextClassifier(str(tiny_bert), target=classifier.target)
    train, test = str(reviews["train"]), str(reviews["test"])

    def noted(call: Any, model: TextClassifier, **options: Any) -> list[str]:
        capsys.readouterr()
        call(model, TextDataModule(**{"cache_dir": "cache", **options.pop("data")}), **options)
        return [line for line in capsys.readouterr().err.splitlines() if "trained on" in line]

    for model, options in ((classifier, {}), (loaded, {}), (fresh, {"ckpt_path": "a.ckpt"})):
        for call, split in ((trainer.test, "test"), (trainer.validate, "validation")):
            (line,) = noted(call, model, data={f"{split}_file": train}, **options)
            assert line.startswith(f"{split}: 48 of 48 rows were trained on (first: ")
            assert line.endswith("train.csv: row 0) (ignoring case and punctuation): these metrics are too optimistic")
            assert noted(call, model, data={f"{split}_file": test}, **options) == []
    untrained = TextClassifier(str(tiny_bert), target=classifier.target)
    assert noted(trainer.test, untrained, data={"test_file": train}) == []


def test_no_more_tokens_than_the_model_has_positions(reviews: dict[str, Path], tiny_bert: Path) -> None:
    data = data_of(reviews)
    data.prepare("fit", TextClassifier(str(tiny_bert)))
    assert data.max_length == 48


def test_a_trained_model_reads_as_its_checkpoint_will(reviews: dict[str, Path], tiny_bert: Path) -> None:
    classifier, trainer = TextClassifier(str(tiny_bert), learning_rate=1e-3), Trainer(**OPTIONS)
    trainer.fit(classifier, data_of(reviews, max_length=6))
    trainer.save_checkpoint("short.ckpt")
    loaded = TextClassifier.load_from_checkpoint("short.ckpt")
    data = TextDataModule(test_file=str(reviews["test"]))
    assert trainer.test(classifier, data) == trainer.test(loaded, TextDataModule(test_file=str(reviews["test"])))
    assert data.max_length == 6
    assert classifier.classify("the film was very very very good") == loaded.classify(
        "the film was very very very good"
    )


def test_weights_by_path_bring_their_calibration(reviews: dict[str, Path], tiny_bert: Path) -> None:
    """A fresh classifier, and one with another temperature, answer as the loaded one does."""
    classifier, trainer = TextClassifier(str(tiny_bert), learning_rate=1e-3), Trainer(**OPTIONS)
    trainer.fit(classifier, data_of(reviews, max_length=12))
    classifier.calibration = Calibration(2.5, {"positive": 0.3})
    trainer.save_checkpoint("a.ckpt")
    for other in (classifier, TextClassifier(str(tiny_bert), target=classifier.target)):
        other.calibration = Calibration()
        trainer.test(other, TextDataModule(test_file=str(reviews["test"]), max_length=12), ckpt_path="a.ckpt")
        assert other.calibration == Calibration(2.5, {"positive": 0.3})


def test_the_next_fit_of_a_resumed_trainer_has_complete_epochs(reviews: dict[str, Path], tiny_bert: Path) -> None:
    class Count(Callback):
        seen: ClassVar[dict[int, int]] = {}

        def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
            self.seen[trainer.current_epoch] = self.seen.get(trainer.current_epoch, 0) + 1
            if trainer.global_step == 2 and trainer.ckpt_path is None:
                trainer.save_checkpoint("middle.ckpt")

    common = {**OPTIONS, "max_epochs": 2}
    Trainer(**common, callbacks=[Count()]).fit(TextClassifier(str(tiny_bert), learning_rate=1e-3), data_of(reviews))
    Count.seen.clear()
    trainer, classifier, data = Trainer(**common, callbacks=[Count()]), TextClassifier(str(tiny_bert)), data_of(reviews)
    trainer.fit(classifier, data, ckpt_path="middle.ckpt")
    whole = Count.seen[1]
    trainer.fit_loop.max_epochs = 3
    trainer.fit(classifier, data)
    assert Count.seen == {0: whole - 2, 1: whole, 2: whole} if whole > 2 else Count.seen[2] == whole
