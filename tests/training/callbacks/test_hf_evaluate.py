"""Metrics of `evaluate` from files: once over all rows, the same numbers as torchmetrics', and errors of one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from lit_textclf import EvaluateMetrics, TextClassifier, TextDataModule, Trainer, main
from lit_textclf.cli.lightning_process import IGNORED_WARNINGS
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from tests.conftest import sentences, write_csv

pytestmark = pytest.mark.usefixtures("no_figures")

SCRIPT = '''"""{name} of scikit-learn, in the form of evaluate's own scripts."""

import datasets
from {module} import {function}

import evaluate


class {title}(evaluate.Metric):
    def _info(self):
        kind = datasets.Value("{kind}")
        if self.config_name == "multilabel":
            kind = datasets.Sequence(datasets.Value("int32"))
        given = kind if "{given}" == "predictions" else datasets.Value("float")
        features = datasets.Features({{"{given}": given, "references": kind}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, {given}, references{arguments}):
        return {{"{name}": {result}}}
'''


def script(name: str, module: str, function: str, result: str, *, arguments: str = "", kind: str = "int32",
           given: str = "predictions") -> None:  # fmt: skip
    folder = Path("metrics", name)
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(
        SCRIPT.format(
            name=name, title=name.title().replace("_", ""), module=module, function=function, result=result,
            arguments=arguments, kind=kind, given=given,
        )
    )  # fmt: skip


def write_script(name: str) -> None:
    """Writes `accuracy` or `f1`, as evaluate has them, below ./metrics."""
    if name == "accuracy":
        script("accuracy", "sklearn.metrics", "accuracy_score", "float(accuracy_score(references, predictions))")
    else:
        script("f1", "sklearn.metrics", "f1_score",
               "f1_score(references, predictions, average=average, pos_label=pos_label)",
               arguments=", average='binary', pos_label=1")  # fmt: skip


@pytest.fixture
def metrics() -> None:
    """Scripts below ./metrics."""
    sk = "sklearn.metrics"
    write_script("accuracy")
    write_script("f1")
    script("matthews", sk, "matthews_corrcoef", "float(matthews_corrcoef(references, predictions))")
    script("auc", sk, "roc_auc_score", "float(roc_auc_score(references, prediction_scores))", given="prediction_scores")
    script("pearson", "scipy.stats", "pearsonr", "float(pearsonr(references, predictions).statistic)", kind="float")
    script("per_class", sk, "f1_score", "f1_score(references, predictions, average=None)")
    script("words", sk, "accuracy_score", "'good'")


def test_one_of_two_labels_agrees_with_torchmetrics(metrics: None, fit_args: list[str]) -> None:
    Path("extra.yaml").write_text(
        "metrics:\n  evaluate:\n    - ./metrics/accuracy\n    - ./metrics/f1\n"
        "    - {path: ./metrics/f1, average: macro}\n    - ./metrics/matthews\n    - ./metrics/auc\n"
        "    - {path: ./metrics/f1, average: weighted, name: ours}\n"
    )
    fit_args += ["--model.head_init", "random", "--trainer.max_epochs", "6", "--model.learning_rate", "1e-2"]
    found = main([*fit_args, "--config", "extra.yaml"])
    assert found["val_accuracy"] > 0.5
    for ours, theirs in (("accuracy", "accuracy"), ("f1", "f1"), ("f1_macro", "f1_macro"), ("mcc", "matthews"),
                         ("auroc", "auc"), ("f1_weighted", "ours")):  # fmt: skip
        assert found[f"val_evaluate_{theirs}"] == pytest.approx(found[f"val_{ours}"], abs=1e-6)
    written = json.loads(next(Path("lightning_logs").rglob("metrics.json")).read_text(encoding="utf-8"))
    assert written["val_evaluate_f1_macro"] == found["val_evaluate_f1_macro"]


def test_the_positive_label_is_that_of_the_data(metrics: None, fit_args: list[str], reviews: dict[str, Path]) -> None:
    main([*fit_args, "--model.learning_rate", "1e-2"])
    found = main(
        ["test", "--ckpt_path", "last", "--data.test_file", str(reviews["test"]), "--data.positive_label", "negative",
         "--metrics.evaluate", "[./metrics/f1, ./metrics/auc]", "--trainer.precision", "32-true"]
    )  # fmt: skip
    assert found["test_evaluate_f1"] == pytest.approx(found["test_f1"], abs=1e-6)
    assert found["test_evaluate_auc"] == pytest.approx(found["test_auroc"], abs=1e-6)


@pytest.mark.parametrize("task", ["single_label", pytest.param("multi_label", marks=pytest.mark.slow)])
def test_a_threshold_decides(task: str, metrics: None, fit_args: list[str]) -> None:
    file = str(write_csv(Path("rows.csv"), ["text", "label"], sentences(48)))
    main([*fit_args, "--data.train_file", file, "--data.validation_file", file, "--data.task", task,
          "--model.head_init", "random", "--trainer.max_epochs", "6", "--model.learning_rate", "1e-2"])  # fmt: skip
    command = ["test", "--ckpt_path", "last", "--data.test_file", file, "--metrics.evaluate", "[./metrics/accuracy]",
               "--trainer.precision", "32-true"]  # fmt: skip
    name = "accuracy" if task == "single_label" else "exact_match"
    without, found = main(command), main([*command, "--threshold", "0.999"])
    assert found["test_evaluate_accuracy"] == pytest.approx(found[f"test_{name}"], abs=1e-6)
    assert found["test_evaluate_accuracy"] < without["test_evaluate_accuracy"]


def test_sets_of_labels(metrics: None, fit_args: list[str]) -> None:
    rows = [(text, "|".join([label, *(["long"] if "very very" in text else [])])) for text, label in sentences(48)]
    file = str(write_csv(Path("sets.csv"), ["text", "label"], rows))
    found = main(
        [*fit_args, "--data.train_file", file, "--data.validation_file", file, "--data.task", "multi_label",
         "--model.learning_rate", "1e-2", "--trainer.max_epochs", "4",
         "--metrics.evaluate", "[{path: ./metrics/f1, average: micro}, ./metrics/accuracy]"]
    )  # fmt: skip
    assert found["val_f1_micro"] > 0
    assert found["val_evaluate_f1"] == pytest.approx(found["val_f1_micro"], abs=1e-6)
    assert found["val_evaluate_accuracy"] == pytest.approx(found["val_exact_match"], abs=1e-6)


def test_numbers(metrics: None, fit_args: list[str]) -> None:
    rows = [(text, str(len(text) / 10 + 0.05)) for text, _ in sentences(40)]
    file = str(write_csv(Path("numbers.csv"), ["text", "label"], rows))
    found = main(
        [*fit_args, "--data.train_file", file, "--data.validation_file", file, "--trainer.max_epochs", "6",
         "--model.learning_rate", "1e-2", "--metrics.evaluate", "[./metrics/pearson]"]
    )  # fmt: skip
    assert found["val_evaluate_pearson"] == pytest.approx(found["val_pearson"], abs=1e-5)


def test_a_result_for_each_label(metrics: None, fit_args: list[str]) -> None:
    found = main([*fit_args, "--metrics.evaluate", "[./metrics/per_class]", "--model.learning_rate", "1e-2"])
    both = [found[f"val_evaluate_per_class_{name}"] for name in ("negative", "positive")]
    assert sum(both) / 2 == pytest.approx(found["val_f1_macro"], abs=1e-6)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("[./metrics/nothing]", "./metrics/nothing: no such file"),
        ("[{name: x}]", "path"),
        ("[{path: ./metrics/f1, averag: macro}]", "takes no 'averag'; it takes average, pos_label"),
        ("[no_such_metric_of_the_hub]", "no_such_metric_of_the_hub: cannot be loaded"),
        ("[./metrics/empty]", "cannot be loaded"),
        ("7", "metrics.evaluate"),
    ],
)
def test_entries_that_cannot_be(
    entries: str, words: str, metrics: None, fit_args: list[str], fails: Callable[[Sequence[str]], str]
) -> None:
    Path("metrics/empty").mkdir()
    assert words in fails([*fit_args, "--metrics.evaluate", entries])
    assert not list(Path().rglob("*.ckpt"))
    assert not Path("lightning_logs").exists()


def test_what_fails_over_the_rows(
    metrics: None, fit_args: list[str], reviews: dict[str, Path], fails: Callable[[Sequence[str]], str],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """In training it is said and training goes on; a measurement ends with it."""
    entries = ["--metrics.evaluate", "[{path: ./metrics/f1, average: nothing}, ./metrics/accuracy]"]
    found = main([*fit_args, *entries])
    assert "metrics.evaluate: ./metrics/f1: cannot be computed" in capfd.readouterr().err
    assert "val_evaluate_accuracy" in found
    assert "val_evaluate_f1" not in found
    test = ["test", "--ckpt_path", "last", "--data.test_file", str(reviews["test"])]
    assert "./metrics/f1: cannot be computed" in fails([*test, *entries])
    assert "gave no number" in fails([*test, "--metrics.evaluate", "[./metrics/words]"])
    line = fails([*test, "--metrics.evaluate", "[./metrics/accuracy, ./metrics/accuracy, ./metrics/accuracy]"])
    assert "give one of them another name" in line


@pytest.mark.slow
def test_two_ranks(metrics: None, fit_args: list[str]) -> None:
    """37 rows on two ranks: computed over all of them, each once."""
    main([*fit_args, "--model.learning_rate", "1e-2"])
    file = write_csv(Path("rows.csv"), ["text", "label"], sentences(37))
    args = ["validate", "--ckpt_path", "last", "--data.validation_file", str(file), "--trainer.precision", "32-true",
            "--data.eval_batch_size", "4", "--metrics.evaluate",
            "[./metrics/accuracy, {path: ./metrics/f1, average: macro}, ./metrics/auc]"]  # fmt: skip
    expected = main(args)
    done = subprocess.run(
        [sys.executable, "-m", "lit_textclf", *args, "--trainer.devices", "2", "--trainer.strategy", "ddp",
         "--trainer.accelerator", "cpu"],
        capture_output=True, text=True, check=False, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(Path("lightning_logs/version_2/metrics.json").read_text(encoding="utf-8"))
    assert found == pytest.approx(expected, abs=1e-6)
    assert found["val_evaluate_f1"] == pytest.approx(found["val_f1_macro"], abs=1e-6)


@pytest.mark.parametrize("ours", [True, False])
def test_from_python_with_the_collected_rows_of_the_trainer(ours: bool, metrics: None, fit_args: list[str]) -> None:
    """Our Trainer gathers the rows already; to Lightning's the callback adds what gathers them."""
    expected = main([*fit_args, "--metrics.evaluate", "[./metrics/accuracy]"])
    stored = torch.load(next(Path().rglob("best.ckpt")), weights_only=True)
    classifier = TextClassifier(**stored["hyper_parameters"])
    classifier.configure_model()
    classifier.load_state_dict(stored["state_dict"])
    callback = EvaluateMetrics(["./metrics/accuracy"])
    options = {"accelerator": "cpu", "precision": "32-true", "logger": False, "callbacks": [callback]}
    with warnings.catch_warnings():
        for pattern in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message=pattern)
        kind = Trainer if ours else pl.Trainer
        trainer = kind(enable_progress_bar=False, enable_checkpointing=False, **options)
        data = TextDataModule(validation_file="validation.csv", max_length=16)
        data.prepare("validate", classifier)
        (found,) = trainer.validate(classifier, datamodule=data, verbose=False)
    assert found["val_evaluate_accuracy"] == pytest.approx(expected["val_evaluate_accuracy"])
    assert [other for other in trainer.callbacks if isinstance(other, CollectOutcomes)] == [callback.collected]
