"""Runs side by side: what is read, what is matched, and that intervals and tests are those of the textbooks."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error

from lit_textclf import main
from lit_textclf.compare.runs import differing, read_runs, shared_rows
from lit_textclf.compare.statistics import Measure, _draws, bootstrap, mcnemar
from tests.conftest import leave_out_figures, sentences, shared_folder, write_csv

Fails = Callable[[Sequence[str]], str]


@pytest.fixture(scope="module")
def runs(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of `fit` that differ in the learning rate, then the `test` of each: `version_0` to `version_3`."""
    folder = tmp_path_factory.mktemp("runs")
    rows = sentences(99)
    parts = {"train": rows[:48], "validation": rows[48:72], "test": rows[72:]}
    files = {split: str(write_csv(folder / f"{split}.csv", ["text", "label"], part)) for split, part in parts.items()}
    fit = [
        "fit", "--model.model_name_or_path", str(tiny_bert), "--data.train_file", files["train"],
        "--data.validation_file", files["validation"], "--data.max_length", "16", "--data.batch_size", "8",
        "--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--trainer.default_root_dir", str(folder),
        "--model.head_init", "random",
    ]  # fmt: skip
    with shared_folder(folder), pytest.MonkeyPatch.context() as patch:
        leave_out_figures(patch)
        main([*fit, "--model.learning_rate", "1e-4", "--trainer.max_epochs", "1"])
        main([*fit, "--model.learning_rate", "3e-3", "--trainer.max_epochs", "6"])
        for number in range(2):
            checkpoint = folder / "lightning_logs" / f"version_{number}" / "checkpoints" / "best.ckpt"
            main(
                ["test", "--ckpt_path", str(checkpoint), "--data.test_file", files["test"], "--trainer.accelerator",
                 "cpu", "--trainer.precision", "32-true", "--trainer.default_root_dir", str(folder)]
            )  # fmt: skip
    return folder / "lightning_logs"


def outcomes(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def paths(runs: Path, *numbers: int) -> list[str]:
    return [str(runs / f"version_{number}") for number in numbers]


def test_of_two_tests(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = main(["compare", *paths(runs, 2, 3), "--resamples", "500"])
    assert [run["name"] for run in found["runs"]] == ["version_2", "version_3"]
    # The training's options are found through the checkpoint that was measured.
    assert found["settings"]["model.learning_rate"] == [1e-4, 3e-3]
    assert found["settings"]["trainer.max_epochs"] == [1, 6]
    assert set(found["settings"]) == {"model.learning_rate", "trainer.max_epochs", "ckpt_path"}
    assert (found["rows"], found["all_rows"]) == (27, True)
    first, second = (outcomes(runs / f"version_{number}") for number in (2, 3))
    given = [row["label"] for row in first]
    for place, rows in enumerate((first, second)):
        predicted = [row["predicted"] for row in rows]
        expected = {
            "accuracy": accuracy_score(given, predicted),
            "f1": f1_score(given, predicted, pos_label="positive"),
            "f1_macro": f1_score(given, predicted, average="macro"),
            "loss": found["runs"][place]["metrics"]["test_loss"],
        }
        intervals = {name: each[place] for name, each in found["intervals"].items()}
        assert {name: one["value"] for name, one in intervals.items()} == pytest.approx(expected, abs=1e-5)
        assert all(one["low"] <= one["value"] <= one["high"] for one in intervals.values())
    right = np.array([[row["label"] == row["predicted"] for row in rows] for rows in (first, second)])
    (test,) = found["mcnemar_to_first"]
    assert test["only_second"] == (right[1] & ~right[0]).sum() > 0
    assert test["p_value"] == pytest.approx(
        binomtest(test["only_first"], test["only_first"] + test["only_second"]).pvalue
    )
    out, err = capfd.readouterr()
    for shown in ("model.learning_rate", "McNemar", "on the same 27 rows", "*"):
        assert shown in out
    assert err.startswith("next: ")


def test_formats_say_the_same(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", *paths(runs, 2, 3), "--resamples", "200"]
    found = main([*arguments, "--format", "json"])
    out = capfd.readouterr().out
    assert json.loads(out) == json.loads(json.dumps(found))
    main([*arguments, "--format", "csv"])
    lines = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    low = {(line["run"], line["name"]): line["low"] for line in lines if line["kind"] == "on_shared_rows"}
    assert float(low["version_3", "f1_macro"]) == found["intervals"]["f1_macro"][1]["low"]
    rates = [line["value"] for line in lines if line["name"] == "model.learning_rate"]
    assert [float(rate) for rate in rates] == [1e-4, 3e-3]
    differences = [line for line in lines if line["kind"] == "difference_to_first"]
    assert {line["run"] for line in differences} == {"version_3"}
    main([*arguments, "--format", "csv"])  # the same seed gives the same intervals
    assert list(csv.DictReader(io.StringIO(capfd.readouterr().out))) == lines
    other = main([*arguments, "--format", "json", "--seed", "7"])
    assert other["intervals"] != found["intervals"]


def test_figure(runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], fails: Fails) -> None:
    arguments = ["compare", *paths(runs, 2, 3), "--resamples", "200", "--output", "c.png"]
    main(arguments)
    assert capfd.readouterr().out.splitlines()[-1] == "wrote c.png"
    with Image.open("c.png") as image:
        assert image.width == 720
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 50
    assert "--overwrite" in fails(arguments)
    main([*arguments, "--overwrite"])
    assert ".png" in fails([*arguments[:-1], "c.csv"])


def test_of_fits_and_of_all_runs_in_a_folder(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = main(["compare", *paths(runs, 0, 1), "--resamples", "200"])
    assert (found["rows"], found["all_rows"]) == (24, True)
    for place, number in enumerate((0, 1)):  # the rows are those of the epoch that metrics.json tells of
        rows = outcomes(runs / f"version_{number}")
        share = np.mean([row["label"] == row["predicted"] for row in rows])
        assert found["intervals"]["accuracy"][place]["value"] == share
        assert found["runs"][place]["metrics"]["val_accuracy"] == pytest.approx(share)
    assert "*" in capfd.readouterr().out
    mixed = main(["compare", str(runs)])  # validation rows and test rows: none in common
    assert [run["name"] for run in mixed["runs"]] == [f"version_{number}" for number in range(4)]
    assert mixed["rows"] == 0
    out, err = capfd.readouterr()
    assert "share no labelled rows" in err
    assert "*" not in out


def test_config_of_a_test_says_what_was_measured(runs: Path) -> None:
    config = yaml.safe_load((runs / "version_3" / "config.yaml").read_text())
    assert config["ckpt_path"] == str((runs / "version_1" / "checkpoints" / "best.ckpt").resolve())
    assert yaml.safe_load((runs / "version_1" / "config.yaml").read_text())["ckpt_path"] is None
    again = main(["test", "--config", str(runs / "version_3" / "config.yaml"), "--trainer.default_root_dir", "."])
    assert again == json.loads((runs / "version_3" / "metrics.json").read_text())


def test_rows_are_matched_by_text(runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Another order, rows that only one has, one labelled otherwise, a text that is there twice."""
    folder = tmp_path / "other"
    shutil.copytree(runs / "version_2", folder)
    rows = outcomes(folder)
    changed = [rows[0] | {"label": "negative" if rows[0]["label"] == "positive" else "positive"}, *rows[1:-4], rows[5]]
    order = [*changed[::-1]]
    with (folder / "outcomes.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(order)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["test_loss"] = float(np.mean([float(row["loss"]) for row in order]))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    both = read_runs([str(runs / "version_2"), str(folder)])
    shared = shared_rows(both)
    assert shared is not None
    assert (len(shared.true), shared.relabelled, shared.all_rows) == (27 - 4 - 1, 1, False)
    assert shared.predicted[0] == shared.predicted[1]
    np.testing.assert_array_equal(shared.loss[0], shared.loss[1])
    found = main(["compare", str(runs / "version_2"), str(folder), "--resamples", "100"])
    assert [one["value"] for one in found["differences_to_first"]["accuracy"]] == [0]
    out, err = capfd.readouterr()
    assert "left out 1 row labelled differently" in err
    assert "different rows (27, 24)" in err
    assert "*" not in out.partition("on the same")[0]  # each run's own metrics are not ranked


def test_names_tell_where_runs_are(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "version_3", tmp_path / "mine" / "lightning_logs" / "version_3")
    shutil.copytree(runs / "version_2", tmp_path / "yours" / "lightning_logs" / "version_2")
    found = read_runs([str(tmp_path / "mine"), str(tmp_path / "yours")])
    assert [run.name for run in found] == ["mine/version_3", "yours/version_2"]


def test_settings(runs: Path) -> None:
    fits = read_runs(paths(runs, 0, 1))
    assert differing(fits) == {"trainer.max_epochs": [1, 6], "model.learning_rate": [1e-4, 3e-3]}
    assert differing([fits[0], fits[0]]) == {}


def test_mistakes(runs: Path, tmp_path: Path, fails: Fails) -> None:
    first = str(runs / "version_2")
    assert "two runs or more" in fails(["compare", first])
    assert "two runs or more" in fails(["compare", first, first])
    assert "no such folder" in fails(["compare", first, "nowhere"])
    assert "no metrics.json" in fails(["compare", first, str(tmp_path)])
    assert "at least 100" in fails(["compare", *paths(runs, 2, 3), "--resamples", "10"])
    assert "--resample" in fails(["compare", *paths(runs, 2, 3), "--resample", "500"])
    fails(["compare"])
    other = tmp_path / "other"
    shutil.copytree(runs / "version_3", other)
    (other / "metrics.json").write_text('{"test_mse": 0.5, "test_loss": 0.5}')
    assert "regression" in fails(["compare", first, str(other)])
    (other / "metrics.json").write_text('{"test_accuracy": 0.5, "test_loss": 0.0125}')
    assert "come from different evaluations" in fails(["compare", first, str(other)]).replace("  ", " ")
    (other / "metrics.json").write_text("{")
    assert "metrics.json: cannot be read" in fails(["compare", first, str(other)])
    shutil.copy(runs / "version_3" / "metrics.json", other)
    (other / "outcomes.csv").write_text("row,label\n0,positive\n")
    assert "outcomes.csv: cannot be read" in fails(["compare", first, str(other)])


@pytest.mark.slow
def test_cross_validations(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """The rows are all training rows, each as a model says that has not seen it."""
    place = fit_args.index("--data.validation_file")
    kept = [*fit_args[1:place], *fit_args[place + 2 :]]
    fold = ["cross_validate", *kept, "--data.folds", "2", "--trainer.max_epochs", "1"]
    for rate in ("1e-4", "5e-3"):
        main([*fold, "--model.learning_rate", rate])
    capfd.readouterr()
    found = main(["compare", "lightning_logs", "--resamples", "200"])
    assert [run["name"] for run in found["runs"]] == ["cross_validation_0", "cross_validation_1"]
    assert found["settings"] == {"model.learning_rate": [1e-4, 5e-3]}
    assert (found["rows"], found["all_rows"]) == (48, True)
    for run, accuracy, f1 in zip(found["runs"], found["intervals"]["accuracy"], found["intervals"]["f1"], strict=True):
        with Path(run["folder"], "predictions.csv").open(encoding="utf-8", newline="") as file:
            predicted = [row["label"] for row in csv.DictReader(file)]
        given = [row["label"] for row in outcomes(Path(run["folder"]))]
        assert accuracy["value"] == accuracy_score(given, predicted)
        assert f1["value"] == pytest.approx(f1_score(given, predicted, pos_label="positive", zero_division=0))
    assert capfd.readouterr().err.startswith("next: ")


# Numbers --------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300))
def test_mcnemar(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs).T
    found = mcnemar(first, second)
    ours, theirs = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    assert (found.only_first, found.only_second) == (ours, theirs)
    expected = binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
    assert found.p_value == pytest.approx(expected)


def test_mcnemar_of_very_many_rows() -> None:
    first = np.repeat([True, False], [3000, 3500])
    found = mcnemar(first, ~first)
    assert found.p_value == pytest.approx(binomtest(3000, 6500).pvalue)


def by_hand(
    measure: Measure, run: int, metric: Callable[[np.ndarray], float], resamples: int, seed: int
) -> tuple[float, float]:
    """The percentile interval, one draw at a time."""
    drawn = [metric(draw) for part in _draws(measure.rows, resamples, seed) for draw in part]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def test_bootstrap_of_labels() -> None:
    """Of five labels, some so rare that draws miss them."""
    random = np.random.default_rng(0)
    names = np.array(["a", "b", "c", "rare", "rarer"])
    given = names[random.choice(5, 80, p=[0.4, 0.3, 0.26, 0.03, 0.01])]
    predicted = [np.where(random.random(80) < share, given, names[random.integers(5, size=80)]) for share in (0.7, 0.4)]
    loss = random.random((2, 80))
    measure = Measure("single_label", given.tolist(), [run.tolist() for run in predicted], loss)
    found = bootstrap(measure, 150, seed=5)
    assert set(found.of_runs) == {"accuracy", "f1_macro", "loss"}

    @cache
    def macro_of(run: int, draw: tuple[int, ...]) -> float:
        # Labels that are neither there nor given are no part of the mean, as in scikit-learn without `labels`.
        rows = list(draw)
        return float(f1_score(given[rows], predicted[run][rows], average="macro", zero_division=0))

    def macro(draw: np.ndarray, run: int) -> float:
        return macro_of(run, tuple(draw.tolist()))

    for run in range(2):
        one = found.of_runs["f1_macro"][run]
        assert (one.low, one.high) == pytest.approx(
            by_hand(measure, run, lambda draw, run=run: macro(draw, run), 150, 5)
        )
        assert one.value == pytest.approx(macro(np.arange(80), run))
        mean = found.of_runs["loss"][run]
        assert (mean.low, mean.high) == pytest.approx(
            by_hand(measure, run, lambda draw, run=run: loss[run][draw].mean(), 150, 5)
        )
    difference = found.differences["f1_macro"][0]
    low_high = by_hand(measure, 0, lambda draw: macro(draw, 1) - macro(draw, 0), 150, 5)
    assert (difference.low, difference.high) == pytest.approx(low_high)


def test_bootstrap_of_label_sets() -> None:
    given = ["a|b", "", "b", "a", r"c\|d", "b|a"] * 5
    predicted = [["b|a", "", "a", "a", r"c\|d|a", "b"] * 5, given]
    measure = Measure("multi_label", given, predicted, np.zeros((2, 30)))
    found = bootstrap(measure, 200, seed=1)
    columns = ["a", "b", "c|d"]

    def indicators(cells: Sequence[str]) -> np.ndarray:
        sets = [set(cell.replace(r"\|", "!").split("|")) for cell in cells]
        return np.array([[name.replace("|", "!") in names for name in columns] for names in sets])

    true, said = indicators(given), indicators(predicted[0])
    micro = found.of_runs["f1_micro"][0]
    assert micro.value == pytest.approx(f1_score(true, said, average="micro"))
    assert (micro.low, micro.high) == pytest.approx(
        by_hand(measure, 0, lambda draw: f1_score(true[draw], said[draw], average="micro"), 200, 1)
    )
    assert found.of_runs["exact_match"][0].value == pytest.approx(accuracy_score(true, said)) == 0.5
    assert found.of_runs["exact_match"][1].value == 1


def test_bootstrap_of_values() -> None:
    random = np.random.default_rng(3)
    true = random.random(60)
    said = np.stack([true + random.normal(size=60) * 0.2, np.full(60, 0.5)])
    texts = [[repr(float(value)) for value in values] for values in (true, *said)]
    measure = Measure("regression", texts[0], texts[1:], np.zeros((2, 60)))
    found = bootstrap(measure, 200, seed=2)
    metrics: dict[str, Callable[[np.ndarray], float]] = {
        "pearson": lambda draw: np.corrcoef(true[draw], said[0][draw])[0, 1],
        "mse": lambda draw: mean_squared_error(true[draw], said[0][draw]),
        "mae": lambda draw: mean_absolute_error(true[draw], said[0][draw]),
    }
    for name, metric in metrics.items():
        one = found.of_runs[name][0]
        assert one.value == pytest.approx(metric(np.arange(60)))
        assert (one.low, one.high) == pytest.approx(by_hand(measure, 0, metric, 200, 2))
    assert np.isnan(found.of_runs["pearson"][1].value)  # all predictions are alike
    assert np.isnan(found.differences["pearson"][0].low)


# Imports --------------------------------------------------------------------------------------------------------------


def test_neither_torch_nor_lightning_is_imported(runs: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom lit_textclf import main\n"
        f"main(['compare', {', '.join(map(repr, paths(runs, 2, 3)))}, '--resamples', '100', '--output', 'c.png'])\n"
        "print(sorted({'torch', 'lightning', 'transformers', 'datasets'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "c.png").is_file()
