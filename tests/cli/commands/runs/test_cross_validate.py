"""K-fold cross-validation: every row predicted once, by a model that has not seen it."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import accuracy_score
from torch.nn import functional as F

from lit_textclf import Target, TextDataModule, UserError, main
from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.cli.commands.runs import cross_validate
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.prediction.output_file import PredictionFile
from tests.conftest import sentences, write_csv


@pytest.fixture
def args(fit_args: list[str]) -> list[str]:
    """`cross_validate` on the training rows alone."""
    index = fit_args.index("--data.validation_file")
    return ["cross_validate", *fit_args[1:index], *fit_args[index + 2 :], "--model.learning_rate", "3e-3"]


def test_out_of_fold_predictions_and_spread(args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*args, "--data.folds", "3", "--data.id_column", "id"])
    root = Path("lightning_logs/cross_validation_0")
    assert json.loads((root / "metrics.json").read_text(encoding="utf-8")) == pytest.approx(metrics)
    folds = [
        json.loads((root / f"lightning_logs/version_{number}/metrics.json").read_text(encoding="utf-8"))
        for number in range(3)
    ]
    for name in ("val_accuracy", "val_loss", "val_f1_macro"):
        values = [fold[name] for fold in folds]
        assert metrics[f"{name}_mean"] == pytest.approx(statistics.fmean(values))
        assert metrics[f"{name}_std"] == pytest.approx(statistics.stdev(values))
    with (root / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    given = sentences(48)
    assert [row["row"] for row in rows] == [str(number) for number in range(48)]
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(48)]
    assert [(row["text"], row["input_label"]) for row in rows] == given
    with (root / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert statistics.fmean(losses) == pytest.approx(metrics["val_loss_mean"], rel=1e-4)  # before calibration
    accuracy = accuracy_score([label for _, label in given], [row["label"] for row in rows])
    assert accuracy == pytest.approx(metrics["val_accuracy_mean"])  # folds of 16 rows each
    captured = capfd.readouterr()
    assert "split by a hash of the text (fold 2 of 3): 32 rows train, 16 rows validation" in captured.err
    assert "each fold's best epoch was chosen by its own rows" in captured.err
    assert captured.out.splitlines()[-1] == (
        f"wrote {root}/predictions.csv {root}/outcomes.csv {root}/label_errors.csv {root}/metrics.json"
    )


class RecordedFile(PredictionFile):
    """Counts the lines of each block."""

    def append(self, lines: bytes) -> None:
        self.blocks = [*getattr(self, "blocks", []), lines.count(b"\n")]
        super().append(lines)


def test_each_row_has_the_temperature_of_its_fold() -> None:
    """In probabilities; losses are those before calibration, as everywhere."""
    logits, targets = np.array([[0, 1], [2, 0], [0.5, 0.25]], np.float32), np.array([1, 0, 0])
    rows, target = rows_of_texts(["a", "b", "c"]), Target("single_label", ("no", "yes"))
    by_row = np.array([[0.5], [2.0], [0.5]], np.float32)
    evaluation = Evaluation(Outcomes("train", target, rows, logits, targets, targets, 8), Calibration(by_row=by_row))
    assert evaluation.probabilities == pytest.approx(softmax(logits / by_row, 1))
    losses = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets), reduction="none")
    assert evaluation.losses == pytest.approx(losses.numpy())


def test_predictions_are_formatted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of_texts(["a", "b,c", 'd "e"', "f", "g"])
    logits = np.array([[0, 1], [2, 0], [0.5, 0.25], [1, -1], [0, 0]], np.float32)
    nothing = np.zeros(5, np.int64)
    evaluation = Evaluation(Outcomes("train", Target("single_label", ("no", "yes")), rows, logits, nothing, nothing, 8))
    whole, parts = PredictionFile(Path("whole.csv")), RecordedFile(Path("parts.csv"))
    cross_validate.write_predictions(whole, evaluation)
    monkeypatch.setattr(cross_validate, "BLOCK_ROWS", 2)
    cross_validate.write_predictions(parts, evaluation)
    assert parts.blocks == [1, 2, 2, 1]  # the header first
    assert parts.path.read_bytes() == whole.path.read_bytes()
    with parts.path.open(encoding="utf-8", newline="") as file:
        assert [(row["row"], row["label"]) for row in csv.DictReader(file)] == [
            ("0", "yes"), ("1", "no"), ("2", "no"), ("3", "no"), ("4", "no"),
        ]  # fmt: skip


@pytest.mark.slow
def test_labels_that_were_changed_are_suspected(args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    # In each fold of both labels: the usual confidence in a label is then clearly below that in its correct rows.
    changed = {start + of: label for start in range(0, 240, 40) for of, label in ((5, "positive"), (8, "negative"))}
    rows = [(text, changed.get(number, label), f"r{number}") for number, (text, label) in enumerate(sentences(240))]
    for name, part in (("first", rows[:20]), ("second", rows[20:])):
        write_csv(Path(f"{name}.csv"), ["text", "label", "id"], part)
    args[args.index("--data.train_file") + 1] = "[first.csv, second.csv]"
    main([*args, "--data.folds", "3", "--data.id_column", "id", "--trainer.max_epochs", "16",
          "--model.learning_rate", "5e-3"])  # fmt: skip
    root = Path("lightning_logs/cross_validation_0")
    with (root / "label_errors.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, strict=True))
    assert list(found[0]) == ["suspected", "file", "row", "id", "text", "label", "predicted", "score"]
    assert 12 <= len(found) < 24
    assert [row["suspected"] for row in found] == [str(number + 1) for number in range(len(found))]
    with (root / "predictions.csv").open(encoding="utf-8", newline="") as file:
        predicted = list(csv.DictReader(file, strict=True))
    for row in found:
        index = int(row["row"]) + {"first.csv": 0, "second.csv": 20}[Path(row["file"]).name]
        assert (row["text"], row["label"], row["id"]) == rows[index]
        assert row["predicted"] == predicted[index]["label"] != row["label"]
        assert row["score"] == predicted[index]["score"]
    assert {row["id"] for row in found[:12]} == {f"r{number}" for number in changed}
    assert f"{len(found)} of 240 rows may be mislabelled" in capfd.readouterr().err


def test_folds_hold_out_each_row_once(reviews: dict[str, Path]) -> None:
    texts: list[str] = []
    for fold in range(4):
        data = TextDataModule(train_file=str(reviews["train"]), folds=4, fold=fold, test_split=0.25)
        data.read("fit")
        held_out, trained = (set(data.rows[split].text.to_pylist()) for split in ("validation", "train"))
        assert not held_out & trained
        texts += held_out
        assert len(held_out | trained) == 36  # the test rows are in no fold
    assert len(texts) == len(set(texts)) == 36


def test_a_checkpoint_is_validated_on_its_own_fold_only(reviews: dict[str, Path]) -> None:
    fit = TextDataModule(train_file=str(reviews["train"]), folds=4, fold=1)
    fit.read("fit")
    for options in ({"folds": 4, "fold": 2}, {"folds": 3, "fold": 1}, {"validation_split": 0.25}):
        data = TextDataModule(train_file=str(reviews["train"]), **options)
        assert fit.target is not None
        data.use_checkpoint(fit.target, fit.state_dict()["trained_on"].numpy().view(np.uint64))
        with pytest.raises(UserError, match="were trained on"):
            data.read("validate")


def test_a_checkpoint_is_refused_wherever_it_comes_from(
    args: list[str], fails: Callable[[list[str]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("c.yaml").write_text("ckpt_path: last", encoding="utf-8")
    assert "remove --ckpt_path" in fails([*args, "--config", "c.yaml"])
    monkeypatch.setenv("LIT_TEXTCLF_CKPT_PATH", "last")
    assert "remove --ckpt_path" in fails(args)


@pytest.mark.slow
def test_a_metric_that_a_fold_does_not_have(args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    rows = [(f"the film was {index} good", "yes" if index < 3 else "no") for index in range(36)]
    write_csv(Path("rare.csv"), ["text", "label"], rows)
    args[args.index("--data.train_file") + 1] = "rare.csv"
    metrics = main([*args, "--data.folds", "5", "--trainer.max_epochs", "1"])
    assert "val_auroc: 2 of 5 folds have no value and are left out" in capfd.readouterr().err
    assert 0 <= metrics["val_auroc_mean"] <= 1
    assert Path("lightning_logs/cross_validation_0/metrics.json").is_file()


def test_the_training_file_is_not_replaced(args: list[str], fails: Callable[[list[str]], str]) -> None:
    train = args[args.index("--data.train_file") + 1]
    before = Path(train).read_bytes()
    assert "is an input of this command" in fails([*args, "--output", train, "--overwrite"])
    assert Path(train).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data.folds", "1"], "data.folds 1: must be at least 2"),
        (["--data.folds", "99"], "data.folds 99: only 48 different texts"),
        (["--data.fold", "1"], "cross_validate takes each fold in turn"),
        (["--data.validation_split", "0.2"], "remove data.validation_file and data.validation_split"),
        (["--ckpt_path", "last"], "remove --ckpt_path"),
        (["--trainer.limit_val_batches", "0"], "no validation took place"),
        (["--output", "none/p.csv"], "the folder none does not exist"),
        (["--data.train_file", "none.csv"], "none.csv: no such file"),
    ],
)
def test_refused(options: list[str], expected: str, args: list[str], fails: Callable[[list[str]], str]) -> None:
    assert expected in fails([*args, *options])
    assert not list(Path().glob("lightning_logs/version_*"))
