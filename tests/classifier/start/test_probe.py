"""The linear model that a new head starts from, and when it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateFinder
from sklearn.metrics import accuracy_score

from lit_textclf import main
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.start.probe import STRENGTHS, Probe, fit_probe, folds
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.messages import UserError
from tests.classifier.start.conftest import trainer
from tests.conftest import write_csv

THREE = Target("single_label", ("a", "b", "c"))


def clusters(rows: int = 60, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Features around one corner for each class, with noise that does not cross the borders."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(rows) % classes
    width = max(8, classes)
    return torch.eye(classes, width)[targets] * 5 + torch.randn(rows, width, generator=generator), targets


def test_classes_are_separated() -> None:
    features, targets = clusters()
    probe = fit_probe(features, targets, THREE)
    assert probe.strength in STRENGTHS
    assert accuracy_score(targets, (features @ probe.weight.T + probe.bias).argmax(1)) == 1.0
    assert probe.quality > 0.9


def test_the_head_starts_with_a_stronger_penalty() -> None:
    features, targets = clusters()
    probe = fit_probe(features, targets, THREE, 0.03)
    weight, bias = probe.start
    assert weight.norm() < 0.6 * probe.weight.norm()
    assert (features @ weight.T + bias).argmax(1).eq(targets).float().mean() > 0.9


def test_two_classes_have_two_opposite_logits() -> None:
    features, targets = clusters(classes=2)
    probe = fit_probe(features, targets, Target("single_label", ("no", "yes"), "yes"))
    assert torch.allclose(probe.weight[0], -probe.weight[1])
    assert accuracy_score(targets, (features @ probe.weight.T + probe.bias).argmax(1)) == 1.0


def test_a_class_without_rows_is_the_least_probable() -> None:
    features, targets = clusters(classes=2)
    probe = fit_probe(features, targets, THREE)
    assert not probe.weight[2].any()
    assert probe.bias[2] <= probe.bias[:2].min()


def test_label_sets_have_one_model_for_each_label() -> None:
    features, targets = clusters(classes=2)
    sets = torch.stack([targets == 0, targets == 1, torch.ones(60), torch.zeros(60)], 1).float()
    probe = fit_probe(features, sets, Target("multi_label", ("a", "b", "all", "none")))
    assert ((features @ probe.weight.T + probe.bias > 0).float() == sets).all()
    assert torch.equal(probe.start[0], probe.weight)
    assert probe.quality > 0.9


def test_values_are_a_ridge_regression() -> None:
    features, _ = clusters(200)
    values = features @ torch.arange(8.0) - 3
    probe = fit_probe(features, values, Target("regression"))
    assert torch.allclose(probe.weight, torch.arange(8.0)[None], atol=0.05)
    assert probe.bias.item() == pytest.approx(-3, abs=0.1)
    assert probe.quality > 0.999


def test_one_value_is_its_own_mean() -> None:
    probe = fit_probe(torch.ones(1, 8), torch.zeros(1), Target("regression"))
    assert not probe.weight.any()
    assert probe.bias.item() == 0


def test_many_rows_choose_the_penalty_with_a_sample() -> None:
    features, targets = clusters(2_700, 27)
    probe = fit_probe(features, targets, Target("single_label", tuple(f"{n:02}" for n in range(27))))
    assert probe.sample == 2_000
    assert probe.weight.shape == (27, 27)


def test_each_class_is_in_each_fold() -> None:
    targets = torch.tensor([0] * 50 + [1] * 10)
    fold = folds(targets, Target("single_label", ("a", "b")))
    assert np.bincount(fold).tolist() == [12] * 5
    assert {part for part, label in zip(fold, targets, strict=True) if label == 1} == set(range(5))


# In a run -------------------------------------------------------------------------------------------------------------


def test_what_auto_came_to_is_kept(
    sentence_bert: str, reviews: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = [
        "fit", "--model.model_name_or_path", sentence_bert, "--data.train_file", str(reviews["train"]),
        "--data.max_length", "16", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true",
    ]  # fmt: skip
    main(args)
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("head:")]
    assert re.fullmatch(
        r"head: starts as a linear model of the frozen encoder \(48 training rows, C [\d.]+\); C [\d.]+ reaches "
        r"accuracy \d\.\d{3} on held-out training rows; \d+ s", line,
    )  # fmt: skip
    assert "20 steps of 32 rows (learning rate 0.0003)" in err
    run = Path("lightning_logs/version_0")
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert config["model"]["pooling"] == "mean"
    assert (config["model"]["learning_rate"], config["trainer"]["max_epochs"]) == (3e-4, 10)
    stored = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert (stored["hyper_parameters"]["pooling"], stored["hyper_parameters"]["learning_rate"]) == ("mean", 3e-4)
    assert not any("pooler" in name for name in stored["state_dict"])
    # With all options at auto again, a resumed run has the epochs, the pooling and the head of its checkpoint.
    main([*args, "--ckpt_path", "last"])
    err = capsys.readouterr().err
    assert "nothing was trained: 10 of 10 epochs are done" in err
    assert "head:" not in err


def test_a_head_above_a_frozen_encoder_starts_as_the_best_linear_model(
    sentence_bert: str, reviews: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = TextDataModule(reviews["train"], reviews["train"], max_length=16)
    for freeze in (None, 2):
        classifier = TextClassifier(sentence_bert, freeze=freeze)
        trainer(1, enable_checkpointing=False).fit(classifier, data)
        assert isinstance(classifier.probe, Probe)
        assert torch.equal(classifier.probe.start[0], classifier.probe.weight) == (freeze == 2)
    found = re.findall(r"C ([\d.]+)\); C ([\d.]+) reaches", capsys.readouterr().err)
    assert len(found) == 2
    (start, best), (frozen, same) = ([float(each) for each in pair] for pair in found)
    assert start < best
    assert frozen == same


def test_a_mean_pooled_model_loads_in_transformers(sentence_bert: str, reviews: dict[str, Path]) -> None:
    from transformers import pipeline

    data = TextDataModule(str(reviews["train"]), max_length=16)
    classifier = TextClassifier(sentence_bert)
    trainer(1, limit_val_batches=0).fit(classifier, data)
    main(["export", "--ckpt_path", str(next(Path().rglob("*.ckpt"))), "--output", "folder"])
    card = Path("folder/README.md").read_text(encoding="utf-8")
    assert "other trainers must freeze the pooler and the last encoder layer" in card
    texts = ["the film was very good .", "awful"]
    ours = classifier.eval().classify(texts)
    theirs = pipeline("text-classification", model="folder", top_k=None)(texts)
    for our, their in zip(ours, theirs, strict=True):
        assert {each["label"]: each["score"] for each in their} == pytest.approx(our["probabilities"], abs=1e-5)


def test_the_first_loss_is_that_of_the_probe(sentence_bert: str, reviews: dict[str, Path]) -> None:
    """The head is started before the first step, and random is random."""
    losses = {}
    for start in ("probe", "random"):
        data = TextDataModule(str(reviews["train"]), str(reviews["train"]), max_length=16)
        classifier = TextClassifier(sentence_bert, head_init=start, learning_rate=1e-9, dropout=0.0, calibrate=False)
        fit = trainer(1, enable_checkpointing=False)
        fit.fit(classifier, data)
        losses[start] = float(fit.callback_metrics["val_loss"])
    assert losses["probe"] < losses["random"] - 0.05


def test_scaled_labels_give_scaled_predictions(sentence_bert: str, tmp_path: Path) -> None:
    rows = [(f"the {word} was {how}", value) for word in ("film", "book", "meal") for how, value in
            (("good", 4.5), ("fine", 3.5), ("poor", 1.5), ("awful", 0.5))]  # fmt: skip
    found = []
    for factor, shift in ((1, 0), (20, 0), (1, 1000)):
        file = write_csv(tmp_path / "train.csv", ["text", "label"],
                         [(text, str(value * factor + shift)) for text, value in rows])  # fmt: skip
        torch.manual_seed(0)
        classifier = TextClassifier(sentence_bert, dropout=0.0, learning_rate=1e-3)
        fit = trainer(5, enable_checkpointing=False, limit_val_batches=0)
        fit.fit(classifier, TextDataModule(str(file), task="regression", max_length=16))
        assert classifier.target is not None
        assert classifier.target.label_mean == pytest.approx(2.5 * factor + shift)
        values = np.array([answer["prediction"] for answer in classifier.eval().classify([text for text, _ in rows])])
        found.append((values - shift) / factor)
        assert float(fit.callback_metrics["train_loss"]) < 2.5 * factor**2  # the variance of the labels
    assert found[1] == pytest.approx(found[0], abs=1e-3)
    assert found[2] == pytest.approx(found[0], abs=1e-2)  # float32 near 1,000


def test_training_continues_from_an_exported_folder(sentence_bert: str, reviews: dict[str, Path]) -> None:
    """With the same architecture and logits, and without a new head."""
    trainer(1, limit_val_batches=0).fit(
        TextClassifier(sentence_bert), TextDataModule(str(reviews["train"]), max_length=16)
    )
    last = next(Path().rglob("*.ckpt"))
    main(["export", "--ckpt_path", str(last), "--output", "folder"])
    first = TextClassifier.load_from_checkpoint(last).eval()
    second = TextClassifier("folder", learning_rate=1e-12, dropout=0.0)
    trainer(1, limit_val_batches=0, default_root_dir="again").fit(
        second, TextDataModule(str(reviews["train"]), max_length=16)
    )
    assert second.resolved["pooling"] == "mean"
    (continued,) = Path("again").rglob("*.ckpt")
    again = TextClassifier.load_from_checkpoint(continued).eval()
    assert again.config.num_hidden_layers == first.config.num_hidden_layers
    with pytest.raises(UserError, match=r"model.pooling own: folder was exported with mean pooling; remove the option"):
        TextClassifier("folder", target=first.target, pooling="own").configure_model()
    for ours, theirs in zip(first.classify(["good", "awful"]), again.classify(["good", "awful"]), strict=True):
        assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [{"fast_dev_run": 1}, {"limit_train_batches": 1}, {"overfit_batches": 1}])
def test_a_run_on_few_batches_reads_as_few_rows(
    limit: dict[str, int], sentence_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_csv(tmp_path / "many.csv", ["text", "label"], [(f"text {n}", "ab"[n % 2]) for n in range(90)])
    trainer(1, enable_checkpointing=False, **limit).fit(
        TextClassifier(sentence_bert), TextDataModule(str(file), max_length=16)
    )
    assert "(32 training rows," in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_learning_rate_finder_tries_the_model_with_its_probe(
    sentence_bert: str, reviews: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    class Finder(LearningRateFinder):
        def on_fit_start(self, fit: Any, classifier: Any) -> None:
            assert not classifier.starts_head
            super().on_fit_start(fit, classifier)

    finder = Finder(num_training_steps=3, update_attr=False)
    fit = trainer(1, limit_val_batches=0, enable_checkpointing=False, callbacks=[finder])
    fit.fit(TextClassifier(sentence_bert), TextDataModule(str(reviews["train"]), max_length=16))
    assert capsys.readouterr().err.count("head: starts as a linear model") == 1
