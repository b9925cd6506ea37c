"""The files that `validate` and `test` write beside `metrics.json` have the rows, and the figures, that they should."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from lit_textclf import main
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.data.rows.text_keys import text_keys
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.csv_files import MAX_VALUES, write_evaluation, write_label_errors
from tests.conftest import sentences
from tests.evaluation.report.test_figures import outcomes

CLASSES = ("outcomes.csv", "errors.csv", "per_class.csv", "confusion_matrix.csv")
PICTURES = ("confusion_matrix.png", "calibration.png")


def read(path: Path) -> list[dict[str, str]]:
    text = path.read_bytes().decode("utf-8")
    assert text.endswith("\n")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture
def judged(fit_args: list[str]) -> list[str]:
    """Options that measure a model on rows of which it knows some: labels were changed, texts are hard to write."""
    main([*fit_args, "--trainer.max_epochs", "6", "--model.learning_rate", "3e-3", "--model.head_init", "random"])
    rows = sentences(60)
    # The model knows no numbers: without a word more, row 30 would differ from row 0 by the rounding of their batches.
    rows = [(f"a {text}" if number < 30 else text,
             ("negative", "positive")[label == "negative"] if number % 4 == 0 else label)
            for number, (text, label) in enumerate(rows)]  # fmt: skip
    rows[4] = ('the "good"\nfilm, <script>alert(1)</script>', rows[4][1])
    rows[5] = ("a bad\rmeal", rows[5][1])
    with Path("judged.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["text", "label", "text_id"])
        writer.writerows([(*row, f"id {number}") for number, row in enumerate(rows)])
    return [
        "--ckpt_path", "best", "--data.validation_file", "judged.csv", "--data.id_column", "text_id",
        "--trainer.precision", "32-true", "--trainer.accelerator", "cpu",
    ]  # fmt: skip


@pytest.mark.usefixtures("no_figures")
def test_every_wrong_row_once(judged: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main(["validate", *judged])
    captured = capfd.readouterr()
    folder = Path("lightning_logs/version_1")
    assert captured.out.splitlines()[-1] == f"wrote {folder}/metrics.json {folder}/report.html"
    assert f"next: open {folder}/report.html" in captured.err
    given = read(Path("judged.csv"))
    options = [option for option in judged if option != "judged.csv"]
    options[options.index("--data.validation_file")] = "--data.predict_file=judged.csv"
    main(["predict", *options, "--output", "p.csv"])
    predicted = read(Path("p.csv"))
    wrong = {n for n, (row, said) in enumerate(zip(given, predicted, strict=True)) if row["label"] != said["label"]}
    assert 0 < len(wrong) < 60
    errors = read(folder / "errors.csv")
    assert list(errors[0]) == ["row", "text_id", "text", "label", "predicted", "score", "loss", "suspected"]
    assert len(errors) == len({row["row"] for row in errors})
    assert {int(row["row"]) for row in errors} == wrong
    assert len(errors) == round((1 - metrics["val_accuracy"]) * 60)
    assert f"validation: {len(wrong)} of 60 rows misclassified; " in captured.err
    for row in errors:
        source, said = given[int(row["row"])], predicted[int(row["row"])]
        assert (row["text"], row["text_id"], row["label"]) == (source["text"], source["text_id"], source["label"])
        assert row["predicted"] == said["label"]
        assert float(row["score"]) == pytest.approx(float(said["score"]), abs=1e-6)
    losses = [float(row["loss"]) for row in errors]
    assert losses == sorted(losses, reverse=True)
    ranks = sorted(int(row["suspected"]) for row in errors if row["suspected"])
    assert ranks == list(range(1, len(ranks) + 1))
    assert f"misclassified; {len(ranks)} may be mislabelled" in captured.err

    every = read(folder / "outcomes.csv")
    assert [row["row"] for row in every] == [str(number) for number in range(60)]
    assert [row["text_id"] for row in every] == [f"id {number}" for number in range(60)]
    assert [(row["label"], row["predicted"]) for row in every] == [
        (row["label"], said["label"]) for row, said in zip(given, predicted, strict=True)
    ]
    keys = text_keys(rows_of_texts([row["text"] for row in given]))
    assert [int(row["key"], 16) for row in every] == keys.tolist()
    assert {len(row["key"]) for row in every} == {16}
    assert np.mean([float(row["loss"]) for row in every]) == pytest.approx(metrics["val_loss"], abs=1e-6)


def test_figures_and_tables(judged: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main(["validate", *judged])
    folder = Path("lightning_logs/version_1")
    assert not list(folder.glob("*.part"))
    every = read(folder / "outcomes.csv")
    true, predicted = [row["label"] for row in every], [row["predicted"] for row in every]
    names = ["negative", "positive"]
    expected = precision_recall_fscore_support(true, predicted, labels=names)
    found = read(folder / "per_class.csv")
    assert [row["label"] for row in found] == names
    for column, values in zip(("precision", "recall", "f1", "rows"), expected, strict=True):
        assert [float(row[column]) for row in found] == pytest.approx(values.tolist(), abs=1e-6)
    assert [int(row["predicted"]) for row in found] == [predicted.count(name) for name in names]
    lines = list(csv.reader((folder / "confusion_matrix.csv").read_text(encoding="utf-8").splitlines()))
    assert lines[0] == [r"true \ predicted", *names]
    assert [line[0] for line in lines[1:]] == names
    matrix = confusion_matrix(true, predicted, labels=names)
    assert [[int(cell) for cell in line[1:]] for line in lines[1:]] == matrix.tolist()
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert picture.size[0] > 300
    out = capfd.readouterr().out
    assert "each label" in out
    assert f"{expected[0][0]:.4f}" in out
    assert "\x1b" not in out  # a pipe


@pytest.mark.usefixtures("fitted")
def test_nothing_of_it_with_fit_and_a_fast_run(reviews: dict[str, Path]) -> None:
    assert not list(Path("lightning_logs").rglob("errors.csv"))
    args = ["test", "--ckpt_path", "last", "--data.test_file", str(reviews["test"])]
    main([*args, "--trainer.fast_dev_run", "1"])
    assert not list(Path().rglob("errors.csv"))
    main(args)
    assert all((Path("lightning_logs/version_1") / name).is_file() for name in (*CLASSES, *PICTURES, "report.html"))


def test_label_sets(tmp_path: Path) -> None:
    target = Target("multi_label", ("joy", "a|b", "none at all"))
    given = outcomes(target)
    given.targets[:, 2] = 0
    given.logits[:, 2] = -5
    evaluation = Evaluation(given)
    names = {path.name for path in write_evaluation(evaluation, tmp_path)}
    assert names == {"outcomes.csv", "errors.csv", "per_class.csv", "calibration.png"}
    true, said = given.targets.astype(int).tolist(), (given.logits > 0).astype(int).tolist()
    wrong = {number for number in range(200) if true[number] != said[number]}
    errors = read(tmp_path / "errors.csv")
    assert sorted(int(row["row"]) for row in errors) == sorted(wrong)
    for row in errors:
        present = [name for name, there in zip(("joy", r"a\|b"), true[int(row["row"])], strict=False) if there]
        assert row["label"] == "|".join(present)
    assert read(tmp_path / "per_class.csv")[2] == {
        "label": "none at all", "rows": "0", "predicted": "0", "precision": "", "recall": "", "f1": "",
    }  # fmt: skip
    (path,) = write_label_errors(evaluation, tmp_path)
    assert read(path)[0]["doubted"] in ("joy", r"a\|b", r"joy|a\|b")


def test_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = Evaluation(outcomes(Target("regression"), rows=MAX_VALUES + 200))
    names = {path.name for path in write_evaluation(evaluation, tmp_path)}
    assert names == {"outcomes.csv", "errors.csv"}
    assert "the 1,000 rows with the largest errors of 1,200" in capsys.readouterr().err
    every, errors = read(tmp_path / "outcomes.csv"), read(tmp_path / "errors.csv")
    assert (len(every), len(errors)) == (1200, 1000)
    squares = [(float(row["label"]) - float(row["prediction"])) ** 2 for row in every]
    assert [float(row["loss"]) for row in every] == pytest.approx(squares, rel=1e-4, abs=1e-9)
    largest = sorted(range(1200), key=lambda number: -float(every[number]["loss"]))[:1000]
    assert [int(row["row"]) for row in errors] == largest
    assert write_label_errors(evaluation, tmp_path) == []


def test_pairs_and_an_id_column_whose_name_is_taken(tmp_path: Path) -> None:
    given = outcomes(Target("single_label", ("no", "yes")), better=0.0)
    plain = rows_of_texts(["first"] * 200, ["second"] * 200)
    rows = replace(plain, id=plain.text, columns=replace(plain.columns, id="label"))
    write_evaluation(Evaluation(replace(given, rows=rows)), tmp_path)
    row = read(tmp_path / "errors.csv")[0]
    assert list(row)[:5] == ["row", "input_label", "text", "text_pair", "label"]
    assert (row["input_label"], row["text"], row["text_pair"]) == ("first", "first", "second")


@pytest.mark.slow
def test_held_out_rows_keep_their_numbers(fit_args: list[str]) -> None:
    place = fit_args.index("--data.validation_file")
    main([*fit_args[:place], *fit_args[place + 2 :], "--data.validation_split", "0.25"])
    train = fit_args[fit_args.index("--data.train_file") + 1]
    main(["validate", "--ckpt_path", "last", "--data.train_file", train, "--data.validation_split", "0.25"])
    given = read(Path(train))
    folder = Path("lightning_logs/version_1")
    every = read(folder / "outcomes.csv")
    assert 8 <= len(every) <= 16
    keys = text_keys(rows_of_texts([row["text"] for row in given]))
    for row in every:
        assert (given[int(row["row"])]["label"], keys[int(row["row"])]) == (row["label"], int(row["key"], 16))
    assert all(given[int(row["row"])]["text"] == row["text"] for row in read(folder / "errors.csv"))


def test_parts_are_joined_in_the_order_of_their_rows() -> None:
    whole = outcomes(Target("single_label", ("no", "yes")))
    rows = rows_of_texts([f"text {number}" for number in range(200)])
    order = np.random.default_rng(0).permutation(200)
    parts = []
    for numbers in (np.sort(order[:70]), np.sort(order[70:])):
        parts.append(
            replace(
                whole, rows=rows.take(numbers), logits=whole.logits[numbers], targets=whole.targets[numbers],
                lengths=whole.lengths[numbers],
            )
        )  # fmt: skip
    joined = Outcomes.joined(parts, "train")
    assert joined.fold is not None
    assert joined.fold.tolist() == [int(number in order[70:]) for number in range(200)]
    assert joined.rows.text.to_pylist() == rows.text.to_pylist()
    assert joined.split == "train"
    for name in ("logits", "targets", "lengths"):
        assert (getattr(joined, name) == getattr(whole, name)).all()


@pytest.mark.slow
def test_two_ranks_write_one_set(judged: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lit_textclf", "validate", *judged, "--trainer.devices", "2", "--trainer.strategy",
         "ddp", "--data.eval_batch_size", "4"],
        capture_output=True, text=True, check=False, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    main(["validate", *judged])
    assert sorted(path.name for path in Path("lightning_logs").iterdir()) == ["version_0", "version_1", "version_2"]
    both = [Path("lightning_logs") / f"version_{number}" for number in (1, 2)]
    for name in CLASSES:
        tables = [read(folder / name) for folder in both]
        assert len(tables[0]) == len(tables[1])
        for first, second in zip(*tables, strict=True):
            for key, value in first.items():
                if key in ("score", "loss"):
                    assert float(value) == pytest.approx(float(second[key]), abs=1e-5)
                else:
                    assert value == second[key], (name, key)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in both]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-6)
