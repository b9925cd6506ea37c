"""`Trainer.predict` is Lightning's own, with the plain Trainer and with ours; `PredictionWriter` writes the file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import BasePredictionWriter

from lit_textclf import PredictionWriter, Target, TextClassifier, TextDataModule, Trainer, UserError
from lit_textclf.classifier.outputs import Prediction
from tests.conftest import sentences, write_csv

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False,
}  # fmt: skip
TRAINERS = pytest.mark.parametrize("trainer_class", [pl.Trainer, Trainer])


@pytest.fixture
def model(fitted: Path) -> TextClassifier:
    return TextClassifier.load_from_checkpoint(fitted / "checkpoints/best.ckpt")


@pytest.fixture
def data() -> TextDataModule:
    """Twelve rows, two of which are equal."""
    rows = sentences(11)
    write_csv(
        Path("new.csv"), ["text", "label", "id"], [(*row, f"r{index}") for index, row in enumerate([*rows, rows[3]])]
    )
    return TextDataModule(predict_file="new.csv", max_length=16, eval_batch_size=4)


def trainer_of(kind: type[pl.Trainer], *callbacks: pl.Callback) -> pl.Trainer:
    return kind(**QUIET, precision="32-true", callbacks=list(callbacks))


def read(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@TRAINERS
@pytest.mark.parametrize("how", ["positional", "datamodule", "loaders"])
def test_predictions_are_returned(how: str, trainer_class: type[pl.Trainer], model: TextClassifier, data: Any) -> None:
    """Every way to call `predict` returns a Prediction for each batch, and each row once, equal ones too."""
    trainer = trainer_of(trainer_class)
    if how == "loaders":
        data.prepare("predict", model)
        found = trainer.predict(model, dataloaders=data.predict_dataloader())
    else:
        found = trainer.predict(model, data) if how == "positional" else trainer.predict(model, datamodule=data)
    assert found is not None
    assert all(isinstance(batch, Prediction) for batch in found)
    assert sorted(torch.cat([batch.row for batch in found]).tolist()) == list(range(12))
    logits = torch.empty(12, 2)
    for row, values in found:
        logits[row] = values
    assert torch.allclose(logits[3], logits[11], atol=1e-6)
    expected = [each["label"] for each in model.classify([text for text, _ in sentences(11)])]
    assert [model.target.labels[index] for index in logits[:11].argmax(-1).tolist()] == expected  # type: ignore[union-attr]


@TRAINERS
def test_the_writer_writes_what_the_command_writes(
    trainer_class: type[pl.Trainer], model: TextClassifier, data: TextDataModule, fitted: Path
) -> None:
    """The callback gives the bytes and the metrics of `lit-textclf predict`; its options are the command's."""
    from lit_textclf import main

    command = [
        "predict", "--ckpt_path", str(fitted / "checkpoints/best.ckpt"), "--data.predict_file", "new.csv",
        "--data.eval_batch_size", "4", "--trainer.precision", "32-true", "--with_logits", "--keep_columns",
    ]  # fmt: skip
    expected = main([*command, "--output", "command.csv"])
    writer = PredictionWriter(Path("python.csv"), with_logits=True, keep_columns=True)
    trainer_of(trainer_class, writer).predict(model, datamodule=data, return_predictions=False)
    assert Path("python.csv").read_bytes() == Path("command.csv").read_bytes()
    assert writer.metrics == expected
    assert writer.path == Path("python.csv")


@TRAINERS
def test_one_writer_for_several_runs(
    trainer_class: type[pl.Trainer], model: TextClassifier, data: TextDataModule
) -> None:
    """A Trainer keeps its writer for the next prediction, and the data module predicts all rows without one, again.

    The metrics are those of each prediction's own rows.
    """
    write_csv(Path("others.csv"), ["text", "label"], sentences(7))
    writer = PredictionWriter("out.csv", overwrite=True)
    trainer = trainer_of(trainer_class, writer)
    metrics = []
    for file, rows in (("new.csv", 12), ("others.csv", 7), ("new.csv", 12)):
        data.predict_file(Path(file))
        trainer.predict(model, datamodule=data)
        assert len(read("out.csv")) == rows
        metrics.append(writer.metrics)
    assert metrics[0] == metrics[2] != metrics[1]
    without = trainer_of(trainer_class).predict(model, datamodule=data)
    assert sum(len(batch.row) for batch in without or []) == 12
    assert not Path("out.csv.parts").exists()


@TRAINERS
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_stopped_prediction_is_resumed(
    trainer_class: type[pl.Trainer], model: TextClassifier, monkeypatch: pytest.MonkeyPatch, fitted: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """An error in the third part keeps two; the same call computes the rest, and the file is the same."""
    write_csv(Path("new.csv"), ["text"], [(text,) for text, _ in sentences(300)])
    data = TextDataModule(predict_file="new.csv", max_length=16, eval_batch_size=1)
    checkpoint = str(fitted / "checkpoints/best.ckpt")

    class Stop(pl.Callback):
        """Ctrl-C, more or less."""

        batches = 0

        def on_predict_batch_end(self, *args: Any) -> None:
            self.batches += 1
            if self.batches == 150:
                raise RuntimeError("stopped")

    def predict(output: str, *others: pl.Callback) -> None:
        trainer = trainer_of(trainer_class, PredictionWriter(output), *others)
        trainer.predict(model, datamodule=data, ckpt_path=checkpoint, return_predictions=False)

    with pytest.raises(RuntimeError, match="stopped"):
        predict("out.csv", Stop())
    assert "kept 2 of 5 parts in out.csv.parts" in capsys.readouterr().err
    assert not Path("out.csv").exists()
    predict("out.csv")
    assert "resuming: 2 of 5 parts" in capsys.readouterr().err
    predict("whole.csv")
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()


@TRAINERS
def test_the_writer_refuses_what_it_cannot_write(
    trainer_class: type[pl.Trainer], model: TextClassifier, data: TextDataModule
) -> None:
    """Loaders without a data module, and a file that exists, end in one UserError that says what to do."""
    trainer = trainer_of(trainer_class, PredictionWriter("out.csv"))
    data.prepare("predict", model)
    with pytest.raises(UserError, match=r"call predict\(model, datamodule=data\)"):
        trainer.predict(model, dataloaders=data.predict_dataloader())
    Path("out.csv").touch()
    with pytest.raises(UserError, match=r"out\.csv: exists"):
        trainer.predict(model, datamodule=data)


@TRAINERS
@pytest.mark.parametrize("interval", ["batch", "epoch"])
@pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices")
def test_lightnings_own_writer(
    interval: Any, trainer_class: type[pl.Trainer], model: TextClassifier, data: TextDataModule
) -> None:
    """A BasePredictionWriter of the user's own gets the predictions, by batch and by epoch, beside our writer."""
    seen: list[int] = []

    class Writer(BasePredictionWriter):
        def write_on_batch_end(self, trainer: Any, pl_module: Any, prediction: Any, *_: Any) -> None:
            seen.extend(prediction.row.tolist())

        def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, *_: Any) -> None:
            seen.extend(row for batch in predictions for row in batch.row.tolist())

    trainer_of(trainer_class, Writer(interval)).predict(model, datamodule=data, return_predictions=False)
    assert sorted(seen) == list(range(12))


@TRAINERS
def test_best_of_the_run(trainer_class: type[pl.Trainer], reviews: dict[str, Path], tiny_bert: Path) -> None:
    """After a fit, `predict` takes the run's model and data module from the Trainer, and its best checkpoint."""
    files = {f"{split}_file": str(reviews[split]) for split in ("train", "validation")}
    data = TextDataModule(**files, predict_file=str(reviews["test"]), max_length=16)
    quiet = {name: value for name, value in QUIET.items() if name != "enable_checkpointing"}
    trainer = trainer_class(**quiet, max_epochs=1, log_every_n_steps=1)
    trainer.fit(TextClassifier(str(tiny_bert)), data)
    found = trainer.predict(datamodule=data, ckpt_path="best", weights_only=True)
    assert sum(len(batch.row) for batch in found or []) == 15


def test_what_cannot_be_complete(tiny_bert: Path, reviews: dict[str, Path]) -> None:
    """Two files at once, and a part of the rows."""
    classifier = TextClassifier(str(tiny_bert), target=Target("single_label", ("negative", "positive")))
    data = TextDataModule(predict_file=str(reviews["test"]), max_length=16)
    for options, message in (
        ({"callbacks": [PredictionWriter("a.csv"), PredictionWriter("b.csv")]}, "two PredictionWriters in one Trainer"),
        ({"callbacks": [PredictionWriter("a.csv")], "limit_predict_batches": 1}, "use data.max_predict_samples"),
    ):
        with pytest.raises(UserError, match=message):
            pl.Trainer(**QUIET, **options).predict(classifier, datamodule=data)
        assert not Path("a.csv").exists()
