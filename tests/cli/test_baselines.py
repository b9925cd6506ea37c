"""The lines about baselines at the end of `fit`, and its metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, f1_score

from lit_textclf import main
from lit_textclf.cli.baselines import verdict
from lit_textclf.compare.statistics import Interval
from tests.conftest import sentences, write_csv


def lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("baseline: ")]


@pytest.mark.parametrize(
    ("difference", "metric", "words"),
    [
        (Interval(-0.228, -0.27, -0.19), "val_accuracy", "better by 0.228 (95 % interval 0.190 to 0.270)"),
        (Interval(0.1, 0.05, 0.15), "val_f1_micro", "worse by 0.100 (95 % interval -0.150 to -0.050); raise"),
        (Interval(-0.1, -0.2, 0), "val_accuracy",
         "not better by more than chance, difference 0.100 (95 % interval 0.000 to 0.200); raise"),
        (Interval(1200.5, 10, 2000), "val_mse", "better by 1.2e+03 (95 % interval 10 to 2e+03)"),
        (Interval(0, 0, 0), "val_mse", "not better by more than chance, difference 0 (95 % interval 0 to 0); raise"),
    ],
)  # fmt: skip
def test_verdict(difference: Interval, metric: str, words: str) -> None:
    assert verdict(difference, metric).startswith(words)


def test_a_model_that_has_learned_nothing(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*fit_args, "--model.head_init", "random", "--model.learning_rate", "1e-9"])
    err = capfd.readouterr().err
    (tfidf,) = lines(err)  # the most frequent label has a line of its own
    skill = "validation: the model is not better than always predicting 'negative' by more than chance on 16 rows;"
    assert err.count(skill) == 1
    assert "calibration: " not in err
    assert metrics["val_temperature"] == 1
    assert "TF-IDF of words and characters with logistic regression has val_accuracy 1.000, this model" in tfidf
    assert re.search(
        r"worse by 0\.\d+ .* raise trainer.max_epochs or model.learning_rate, add training rows, or", tfidf
    )
    assert json.loads(Path("lightning_logs/version_0/metrics.json").read_text(encoding="utf-8")) == metrics
    labels = [label for _, label in sentences(79)]
    predicted = DummyClassifier().fit(labels[:48], labels[:48]).predict(labels[48:64])
    assert metrics["baseline_most_frequent_accuracy"] == accuracy_score(labels[48:64], predicted)
    assert metrics["baseline_most_frequent_f1_macro"] == pytest.approx(
        f1_score(labels[48:64], predicted, average="macro")
    )
    assert metrics["baseline_tfidf_accuracy"] == metrics["baseline_tfidf_f1"] == 1


def test_a_model_that_beats_the_most_frequent_label(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "12", "--model.learning_rate", "3e-3"])
    constant, tfidf, _ = lines(capfd.readouterr().err)
    assert re.search(r"0\.500, this model [\d.]+: better by 0\.\d+ \(95 % interval 0\.", constant)
    assert "better by" not in tfidf.replace("not better by more than chance", "")


def test_values(fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    rows = [(text, str(index % 5 + 0.5), "") for index, (text, _) in enumerate(sentences(64))]
    for split, part in (("train", rows[:48]), ("validation", rows[48:])):
        write_csv(reviews[split], ["text", "label", "id"], part)
    metrics = main(fit_args)
    err = capfd.readouterr().err
    tfidf, _ = lines(err)  # the mean has a line of its own
    assert re.search(r" has val_mse [\d.]+, this model [\d.]+: ", tfidf)
    skill = "validation: the model is not better than always predicting the mean by more than chance on 16 rows; raise"
    assert err.count(skill) == 1
    assert {"baseline_mean_mse", "baseline_mean_mae", "baseline_tfidf_pearson"} <= metrics.keys()
    assert "baseline_mean_pearson" not in metrics  # a constant has no correlation


def test_on_demand_only(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*fit_args, "--metrics.baseline", "false"])
    assert not lines(capfd.readouterr().err)
    assert not [name for name in metrics if name.startswith("baseline_")]
