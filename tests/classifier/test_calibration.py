"""Temperature, calibration error and thresholds: against scipy, scikit-learn and cases worked by hand."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import f1_score, precision_recall_curve
from torch.nn import functional as F

from lit_textclf import Target, TextClassifier, UserError, main
from lit_textclf.classifier.calibration import (
    beats_by_more_than_chance,
    best_threshold,
    fit_temperature,
    thresholds_of,
)
from lit_textclf.classifier.inference.calibration import Calibration, formatted, resolve_threshold
from lit_textclf.classifier.tasks.table import rules_of
from tests.conftest import fit_command, sentences, shared_folder, write_csv, write_reviews

pytestmark = pytest.mark.usefixtures("no_figures")

BINARY = Target("single_label", ("ham", "spam"))
SETS = Target("multi_label", ("joy", "fear", "hope"))


def drawn(rows: int, outputs: int, scale: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose labels are drawn from their own softmax, and then scaled: the best temperature is the scale."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, outputs, generator=generator) * 2
    targets = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    return logits * scale, targets


# Temperature ----------------------------------------------------------------------------------------------------------


def fitted_by_scipy(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], logits: torch.Tensor,
                    present: torch.Tensor, chances: torch.Tensor) -> float:  # fmt: skip
    """The temperature with the smallest loss of the rows, and of ten more that have the model's own probabilities."""

    def total(inverse: float) -> float:
        scaled = logits.double() * inverse
        return float(len(logits) * loss(scaled, present.double()) + 10 * loss(scaled, chances.double()))

    return float(1 / minimize_scalar(total, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10}).x)


@pytest.mark.parametrize(
    ("outputs", "scale", "rows"), [(2, 3.0, 60), (77, 1.7, 60), (2, 3.0, 3000), (2, 0.5, 3000), (77, 1.7, 3000)]
)
def test_temperature_is_that_of_scipy(outputs: int, scale: float, rows: int) -> None:
    logits, targets = drawn(rows, outputs, scale)
    found = fit_temperature("single_label", logits, targets)
    expected = fitted_by_scipy(F.cross_entropy, logits, F.one_hot(targets, outputs), logits.softmax(-1))
    assert found == pytest.approx(expected, rel=1e-4)
    if rows == 3000:
        assert found == pytest.approx(scale, rel=0.15)


def test_temperature_of_sets_is_that_of_scipy() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2000, 3, generator=generator) * 2
    targets = torch.bernoulli(logits.sigmoid(), generator=generator)
    found = fit_temperature("multi_label", logits * 4, targets)
    loss = F.binary_cross_entropy_with_logits
    assert found == pytest.approx(fitted_by_scipy(loss, logits * 4, targets, (logits * 4).sigmoid()), rel=1e-4)


@pytest.mark.parametrize(("outputs", "rows"), [(2, 10), (2, 20), (2, 50), (6, 20), (6, 100)])
def test_few_rows_do_not_make_probabilities_worse(outputs: int, rows: int) -> None:
    """The right temperature is 1: it mostly stays so, and the loss of other rows hardly rises. 2 is still found."""
    others, true = drawn(4000, outputs, 1.0, seed=1)
    loss = float(F.cross_entropy(others, true))
    found = [fit_temperature("single_label", *drawn(rows, outputs, 1.0, seed)) for seed in range(2, 82)]
    assert np.mean([temperature != 1 for temperature in found]) < 0.1
    risen = [float(F.cross_entropy(others / temperature, true)) - loss for temperature in found]
    assert np.mean(risen) < 0.01
    assert max(risen) < 0.2
    temperatures = [fit_temperature("single_label", *drawn(rows, outputs, 2.0, seed)) for seed in range(2, 82)]
    wrong = [float(F.cross_entropy(others * 2 / temperature, true)) for temperature in temperatures]
    assert np.mean(wrong) < float(F.cross_entropy(others * 2, true))
    if rows == 100:
        assert np.mean(wrong) == pytest.approx(loss, abs=0.02)


def test_nothing_to_learn() -> None:
    """All right: the surer the better, without end. All wrong: the less sure the better. No rows, no classes."""
    logits = torch.tensor([[2.0, -1.0], [-3.0, 0.5]])
    assert fit_temperature("single_label", logits, torch.tensor([0, 1])) == 1
    assert fit_temperature("single_label", logits, torch.tensor([1, 0])) == 1
    assert fit_temperature("single_label", logits[:0], torch.tensor([], dtype=torch.long)) == 1
    assert fit_temperature("regression", logits[:, :1], torch.tensor([0.5, 1.0])) == 1


def test_calibration_error_by_hand() -> None:
    """Four rows at 0.8, three of them right; two at 0.6, none of them: 4/6 x 0.05 + 2/6 x 0.6."""
    chances = torch.tensor([0.8] * 4 + [0.6] * 2)
    logits = torch.stack([torch.zeros(6), (chances / (1 - chances)).log()], -1)
    targets = torch.tensor([1, 1, 1, 0, 0, 0])
    assert rules_of(BINARY).calibration_error(logits, targets) == pytest.approx(4 / 6 * 0.05 + 2 / 6 * 0.6, abs=1e-6)


def test_calibration_error_of_sets_by_hand() -> None:
    """Of four labels at 0.9 three are there, of four at 0.1 none: 1/2 x 0.15 + 1/2 x 0.1."""
    target = Target("multi_label", ("a", "b"))
    logits = torch.tensor([[0.9, 0.1]]).logit().expand(4, 2)
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert rules_of(target).calibration_error(logits, targets) == pytest.approx(0.125, abs=1e-6)


def test_a_calibration_alone_turns_raw_logits_into_probabilities() -> None:
    """By hand: logits 2 and 0 at temperature 2 are 1 and 0, whose softmax is e / (1 + e)."""
    calibration, logits = Calibration(2.0), torch.tensor([[2.0, 0.0]])
    assert calibration.apply(logits).tolist() == [[1.0, 0.0]]
    assert calibration.undo(calibration.apply(logits)).tolist() == [[2.0, 0.0]]
    assert calibration.probabilities(BINARY, logits)[0, 0] == pytest.approx(np.e / (1 + np.e))
    sets = Target("multi_label", ("joy", "fear"))
    assert calibration.probabilities(sets, logits)[0].tolist() == pytest.approx([np.e / (1 + np.e), 0.5])
    assert calibration.probabilities(Target("regression"), logits[:, :1]).tolist() == [[2.0]]


# Thresholds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_best_f1_is_that_of_all_thresholds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = np.round(generator.random(60), 1 if seed % 2 else 6)  # many are alike
    present = generator.random(60) < scores * 0.6
    found = best_threshold(torch.from_numpy(scores), torch.from_numpy(present))
    assert found is not None
    every = [f1_score(present, scores >= limit) for limit in np.unique(scores)]
    assert f1_score(present, scores >= found) == pytest.approx(max(every))
    assert found not in scores


@pytest.mark.parametrize("seed", range(4))
def test_more_than_chance(seed: int) -> None:
    """Against scikit-learn's F1, with each row left out in turn."""
    generator = np.random.default_rng(seed)
    scores = generator.random(50)
    present = generator.random(50) < 0.5 * scores + 0.1
    rows = np.arange(50)
    kept = [rows != row for row in range(51)]  # the last has all rows
    f1 = {
        at: np.array([f1_score(present[some], scores[some] >= at, zero_division=0) for some in kept])
        for at in (0.2, 0.45, 0.5, 0.7)
    }
    for limit in f1:
        gains = f1[limit] - f1[0.5]
        left_out, gain = gains[:50], gains[50]
        error = np.sqrt(49 / 50 * ((left_out - left_out.mean()) ** 2).sum())
        decided = [torch.from_numpy(scores >= at) for at in (limit, 0.5)]
        assert beats_by_more_than_chance(*decided, torch.from_numpy(present)) == (gain > 1.645 * error)


def moved(scores: Callable[[torch.Tensor], torch.Tensor], rows: int, with_label: int, draws: int = 60) -> float:
    """How often the threshold is moved for scores of a label that so many rows have."""
    present = torch.arange(rows) < with_label
    count = 0
    for _ in range(draws):
        order = torch.randperm(rows)
        chances = scores(present[order])
        logits = torch.stack([(1 - chances).log(), chances.log()], 1)
        count += thresholds_of(BINARY, logits, present[order].long())["spam"] != 0.5
    return count / draws


@pytest.mark.parametrize(("rows", "with_label"), [(120, 2), (120, 5), (120, 10), (500, 5), (500, 10), (500, 30)])
def test_scores_without_information_keep_a_half(rows: int, with_label: int) -> None:
    """All below 0.5, where F1 is 0: any other threshold has a higher F1, most of all the one that takes all rows."""
    torch.manual_seed(0)
    assert moved(lambda present: torch.rand(len(present)) * 0.1 + 1e-6, rows, with_label) < 0.1


@pytest.mark.parametrize(("rows", "with_label", "apart"), [(120, 10, 2.0), (200, 20, 2.0), (500, 30, 1.5)])
def test_scores_with_information_move_it(rows: int, with_label: int, apart: float) -> None:
    torch.manual_seed(0)
    assert moved(lambda present: (torch.randn(len(present)) + apart * present - 5).sigmoid(), rows, with_label) > 0.85


def test_a_half_stays_without_a_reason() -> None:
    """One row of three hundred is none, fifty are."""
    present = torch.tensor([0] * 250 + [1] * 50)
    logits = torch.stack([torch.zeros(300), torch.where(present.bool(), 3.0, -3.0)], 1)
    logits[-1, 1] = -0.5
    assert best_threshold(logits.softmax(-1)[:, 1], present.bool()) == pytest.approx(0.2125, abs=1e-3)
    assert thresholds_of(BINARY, logits, present) == {"spam": 0.5}
    assert thresholds_of(BINARY, logits, present, "recall=1.0") == {"spam": pytest.approx(0.2125, abs=1e-3)}
    logits[-50:, 1] = -0.5
    assert thresholds_of(BINARY, logits, present) == {"spam": pytest.approx(0.2125, abs=1e-3)}


@pytest.mark.parametrize("kind", ["precision", "recall"])
def test_a_wanted_precision_or_recall(kind: str) -> None:
    generator = np.random.default_rng(5)
    scores = generator.random(200)
    present = generator.random(200) < scores
    found = best_threshold(torch.from_numpy(scores), torch.from_numpy(present), f"{kind}=0.8")
    assert found is not None
    precision, recall, _ = precision_recall_curve(present, scores)
    held, raised = (precision, recall) if kind == "precision" else (recall, precision)
    taken = scores >= found
    hits = (taken & present).sum()
    mine = {"precision": hits / taken.sum(), "recall": hits / present.sum()}
    other = "recall" if kind == "precision" else "precision"
    assert mine[kind] >= 0.8
    assert mine[other] == pytest.approx(raised[:-1][held[:-1] >= 0.8].max())


def test_a_label_that_no_row_has() -> None:
    assert best_threshold(torch.rand(4), torch.zeros(4, dtype=torch.bool)) is None
    found = thresholds_of(SETS, torch.randn(6, 3), torch.tensor([[1.0, 0.0, 1.0]] * 6))
    assert set(found) == {"joy", "hope"}


def test_decisions() -> None:
    def decided(target: Target, chances: torch.Tensor, thresholds: dict[str, float] | None = None) -> list[Any]:
        logits = chances.logit() if target.has_label_sets else chances.log()
        return list(rules_of(target).decide(target, logits, thresholds).tolist())

    chances = torch.tensor([[0.6, 0.4], [0.3, 0.7]])
    assert decided(BINARY, chances) == [0, 1]
    assert decided(BINARY, chances, {"spam": 0.35}) == [1, 1]
    assert decided(Target("single_label", ("ham", "spam"), "ham"), chances, {"ham": 0.9}) == [1, 1]
    assert decided(SETS, torch.tensor([[0.41, 0.6, 0.5]]), {"joy": 0.4, "fear": 0.7}) == [[1, 0, 1]]
    assert decided(Target("regression"), torch.tensor([[1.0]])) == [0.0]


# Through the commands -------------------------------------------------------------------------------------------------


def noisy_fit(args: list[str]) -> list[str]:
    """A fit whose model is not as sure as it should be, or surer: a fifth of the validation labels are wrong."""
    rows = [(text, label) for text, label in sentences(240)]
    turned = {"positive": "negative", "negative": "positive"}
    validation = [
        (text, turned[label] if number % 5 == 0 else label) for number, (text, label) in enumerate(rows[160:])
    ]
    train = write_csv(Path("many.csv"), ["text", "label"], rows[:160])
    held = write_csv(Path("held.csv"), ["text", "label"], validation)
    return [*args, "--data.train_file", str(train), "--data.validation_file", str(held), "--trainer.max_epochs",
            "5", "--model.learning_rate", "3e-3"]  # fmt: skip


@pytest.fixture
def noisy(fit_args: list[str]) -> list[str]:
    return noisy_fit(fit_args)


@pytest.fixture(scope="module")
def noisy_run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished run of `noisy`."""
    folder = tmp_path_factory.mktemp("noisy_run")
    with shared_folder(folder):
        main(noisy_fit(fit_command(tiny_bert, write_reviews(folder))))
    return folder


@pytest.fixture
def noisy_fitted(noisy_run: Path) -> Path:
    """What `main(noisy)` leaves: held.csv and lightning_logs/version_0; the path of best.ckpt."""
    shutil.copy(noisy_run / "held.csv", "held.csv")
    return shutil.copytree(noisy_run / "lightning_logs", Path("lightning_logs")) / "version_0/checkpoints/best.ckpt"


def read(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as content:
        return list(csv.DictReader(content))


def predicted(*options: str) -> dict[str, list[str]]:
    main(["predict", *options, "--overwrite"])
    rows = read("predictions.csv")
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.slow
def test_from_fit_to_predict_and_export(noisy: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main(noisy)
    assert "calibration: temperature " in capfd.readouterr().err
    best = next(Path("lightning_logs").rglob("best.ckpt"))
    stored = torch.load(best, weights_only=True)["hyper_parameters"]["calibration"]
    assert stored["temperature"] == pytest.approx(metrics["val_temperature"])
    assert abs(np.log(stored["temperature"])) > 0.1
    assert metrics["val_ece"] < metrics["val_ece_uncalibrated"]
    shared = ["--ckpt_path", str(best), "--trainer.precision", "32-true"]
    again = main(["validate", *shared, "--data.validation_file", "held.csv"])
    for name in ("val_loss", "val_accuracy", "val_ece", "val_ece_uncalibrated"):
        assert again[name] == pytest.approx(metrics[name], abs=1e-6)
    own = predicted(*shared, "--data.predict_file", "held.csv", "--with_logits")
    names = ["negative", "positive"]
    logits = np.array([[float(value) for value in own[f"logit_{name}"]] for name in names]).T
    chances = np.array([[float(value) for value in own[f"prob_{name}"]] for name in names]).T
    np.testing.assert_allclose(torch.tensor(logits).softmax(-1).numpy(), chances, atol=1e-6)
    # scikit-learn's bins are of the positive label; by numpy, those of the label that wins.
    right = np.array(own["label"]) == np.array([row["label"] for row in read("held.csv")])
    bins = np.ceil(chances.max(-1) * 15)
    error = sum(abs(right[bins == one].mean() - chances.max(-1)[bins == one].mean()) * (bins == one).mean()
                for one in np.unique(bins))  # fmt: skip
    assert error == pytest.approx(metrics["val_ece"], abs=1e-5)
    raw = TextClassifier.load_from_checkpoint(best)
    raw.calibration = Calibration()
    plain = raw.classify(["the film was very good"])[0]
    warm = TextClassifier.load_from_checkpoint(best).classify(["the film was very good"])[0]
    assert plain["label"] == warm["label"]
    assert (plain["score"] > warm["score"]) == (stored["temperature"] > 1)
    _exports_agree(best, own)


def _exports_agree(best: Path, own: dict[str, list[str]]) -> None:
    """The pipeline of the exported folder, and ONNX Runtime, give what predict gives; measured losses stay."""
    from transformers import pipeline

    main(["export", "--ckpt_path", str(best), "--output", "hf"])
    texts = [row["text"] for row in read("held.csv")]
    answers = pipeline("text-classification", model="hf", device="cpu")(texts)
    for answer, label, score in zip(answers, own["label"], own["score"], strict=True):
        assert answer["label"] == label
        assert answer["score"] == pytest.approx(float(score), abs=1e-5)
    main(["export", "--ckpt_path", str(best), "--output", "onnx", "--format", "onnx"])
    engine = ["--engine", "onnx", "--model_dir", "onnx"]
    found = predicted(*engine, "--data.predict_file", "held.csv", "--with_logits")
    for name in ("logit_negative", "logit_positive", "score"):
        np.testing.assert_allclose(np.float64(found[name]), np.float64(own[name]), atol=1e-5)
    metrics = json.loads((best.parent.parent / "metrics.json").read_text(encoding="utf-8"))
    onnx = main(["validate", *engine, "--data.validation_file", "held.csv"])
    for name in ("val_loss", "val_ece", "val_ece_uncalibrated"):
        assert onnx[name] == pytest.approx(metrics[name], abs=1e-5)


@pytest.mark.slow
def test_each_epoch_has_its_own_temperature(noisy: list[str]) -> None:
    """best.ckpt and last.ckpt carry what fits their own weights."""
    main([*noisy, "--trainer.max_epochs", "8"])
    found = {}
    for name in ("best", "last"):
        path = next(Path("lightning_logs").rglob(f"{name}.ckpt"))
        content = torch.load(path, weights_only=True)
        raw = TextClassifier.load_from_checkpoint(path)
        raw.calibration = Calibration()
        rows = read("held.csv")
        answers = raw.classify([row["text"] for row in rows])
        logits = torch.tensor([list(answer["probabilities"].values()) for answer in answers], dtype=torch.float64).log()
        targets = torch.tensor([["negative", "positive"].index(row["label"]) for row in rows])
        stored = content["hyper_parameters"]["calibration"]["temperature"]
        assert fit_temperature("single_label", logits, targets) == pytest.approx(stored, rel=1e-3)
        found[name] = (content["epoch"], stored)
    if found["best"][0] != found["last"][0]:
        assert found["best"][1] != found["last"][1]


@pytest.mark.slow
def test_without_calibration(noisy: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*noisy, "--model.calibrate", "false"])
    assert "calibration:" not in capfd.readouterr().err
    assert metrics["val_ece_uncalibrated"] == metrics["val_ece"]
    stored = torch.load(next(Path("lightning_logs").rglob("best.ckpt")), weights_only=True)
    assert stored["hyper_parameters"]["calibration"]["temperature"] == 1


@pytest.mark.slow
def test_a_checkpoint_of_before(noisy: list[str]) -> None:
    """One without a calibration loads, and changes nothing."""
    main([*noisy, "--trainer.max_epochs", "1"])
    path = next(Path("lightning_logs").rglob("last.ckpt"))
    content = torch.load(path, weights_only=True)
    del content["hyper_parameters"]["calibration"]
    torch.save(content, "before.ckpt")
    own = predicted("--ckpt_path", "before.ckpt", "--data.predict_file", "held.csv")
    assert len(own["row"]) == 80


def test_the_logits_of_a_prediction_are_raw(noisy_fitted: Path) -> None:
    """Metrics of `predict` are those of `test`, whose logits no temperature has touched."""
    best = noisy_fitted
    model = TextClassifier.load_from_checkpoint(best).eval()
    model.calibration = Calibration(1.7)
    batch = {"row": torch.tensor([0]), "inputs": dict(model.tokenizer("the film was good", return_tensors="pt"))}
    with torch.inference_mode():
        assert torch.equal(model.predict_step(batch).logits, model(**batch["inputs"]))  # type: ignore[arg-type]
    shared = ["--ckpt_path", str(best), "--trainer.precision", "32-true", "--data.eval_batch_size", "100"]
    tested = main(["test", *shared, "--data.test_file", "held.csv"])
    metrics = main(["predict", *shared, "--data.predict_file", "held.csv", "--overwrite"])
    assert metrics["predict_loss"] == pytest.approx(tested["test_loss"], rel=1e-6)


@pytest.mark.slow
def test_thresholds(noisy_fitted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stored = torch.load(noisy_fitted, weights_only=True)
    best = stored["hyper_parameters"]["calibration"]["thresholds"]["positive"]
    base = ["--ckpt_path", "best", "--data.predict_file", "held.csv", "--trainer.precision", "32-true"]
    for option, limit in (("best", best), ("0.9", 0.9), ("{positive: 0.2}", 0.2)):
        found = predicted(*base, "--threshold", option)
        chances = np.float64(found["prob_positive"])
        assert found["label"] == ["positive" if chance >= limit else "negative" for chance in chances]
        expected = [chance if label == "positive" else 1 - chance
                    for chance, label in zip(chances, found["label"], strict=True)]  # fmt: skip
        np.testing.assert_allclose(np.float64(found["score"]), expected, atol=1e-6)
    assert "labels are assigned by threshold: positive 0.2" in capfd.readouterr().err
    measured = [
        "validate",
        "--ckpt_path",
        "best",
        "--data.validation_file",
        "held.csv",
        "--trainer.precision",
        "32-true",
    ]
    plain, chosen = main(measured), main([*measured, "--threshold", "best"])
    assert chosen["val_f1"] >= plain["val_f1"]
    assert chosen["val_loss"] == plain["val_loss"]
    truth = [row["label"] == "positive" for row in read("held.csv")]
    found = predicted(*base, "--threshold", "best")
    assert chosen["val_f1"] == pytest.approx(f1_score(truth, np.array(found["label"]) == "positive"), abs=1e-6)


def test_thresholds_of_sets(fit_args: list[str]) -> None:
    rows = [(text, "|".join([label, *(["long"] if "very very" in text else [])])) for text, label in sentences(60)]
    file = str(write_csv(Path("sets.csv"), ["text", "label"], rows))
    main([*fit_args, "--data.train_file", file, "--data.validation_file", file, "--data.task", "multi_label"])
    found = predicted("--ckpt_path", "best", "--data.predict_file", file, "--threshold", "{long: 0.2, positive: 0.9}")
    for row in range(60):
        names = set(filter(None, found["labels"][row].split("|")))
        for name, limit in (("long", 0.2), ("positive", 0.9), ("negative", 0.5)):
            assert (name in names) == (float(found[f"prob_{name}"][row]) >= limit)


@pytest.mark.usefixtures("noisy_fitted")
def test_a_least_score(capfd: pytest.CaptureFixture[str]) -> None:
    base = ["--ckpt_path", "best", "--data.predict_file", "held.csv", "--trainer.precision", "32-true"]
    every = predicted(*base)
    middle = sorted(map(float, every["score"]))[40]
    found = predicted(*base, "--min_score", repr(middle))
    assert list(found)[:5] == ["row", "label", "score", "abstained", "prob_negative"]
    unsure = [float(score) < middle for score in found["score"]]
    assert sum(unsure) == 40
    assert found["abstained"] == [str(out).lower() for out in unsure]
    assert found["label"] == ["" if out else label for out, label in zip(unsure, every["label"], strict=True)]
    assert "40 of 80 rows (50.0%) without a label" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threshold", "1.5"], "a probability from 0 to 1"),
        (["--threshold", "{positiv: 0.5}"], "did you mean 'positive'"),
        (
            ["--threshold", "{negative: 0.5}"],
            "the threshold is that of the positive one: {positive: ...}",
        ),
        (["--threshold", "worst"], "--threshold worst: must be a probability such as 0.7, best, or {label: 0.7}"),
        (["--min_score", "2"], "a probability from 0 to 1"),
        (["--format", "glue", "--output", "SST-2.tsv", "--min_score", "0.5"], "--min_score"),
    ],
)
@pytest.mark.usefixtures("fitted")
def test_options_that_cannot_be(
    options: list[str], words: str, fit_args: list[str], fails: Callable[[Sequence[str]], str]
) -> None:
    assert words in fails(["predict", "--ckpt_path", "last", "--text", "good", *options])
    assert "model.threshold_for" in fails([*fit_args, "--model.threshold_for", "f2"])


def test_a_regression_has_neither_thresholds_nor_scores() -> None:
    with pytest.raises(UserError, match="a regression, which has no probabilities: neither --threshold nor"):
        resolve_threshold(0.5, Target("regression"), {})


def test_thresholds_are_rounded_for_people() -> None:
    assert formatted({"never": 0.006612027063965797, "b": 0.5}) == "never 0.00661, b 0.5"


def test_three_labels_have_no_threshold(fit_args: list[str], fails: Callable[[Sequence[str]], str]) -> None:
    rows = [(text, ["a", "b", "c"][number % 3]) for number, (text, _) in enumerate(sentences(30))]
    file = str(write_csv(Path("three.csv"), ["text", "label"], rows))
    main([*fit_args, "--data.train_file", file, "--data.validation_file", file, "--trainer.max_epochs", "1"])
    assert "3 labels of which one is predicted" in fails(
        ["predict", "--ckpt_path", "last", "--text", "x", "--threshold", "0.4"]
    )


@pytest.mark.usefixtures("noisy")
def test_from_python(tiny_bert: Path) -> None:
    """The Trainer of this project calibrates without the command line too; loaders alone are let be."""
    from lit_textclf import TextDataModule, Trainer

    data = TextDataModule(train_file="many.csv", validation_file="held.csv", max_length=16)
    model = TextClassifier(str(tiny_bert), learning_rate=3e-3)
    options = {"max_epochs": 5, "accelerator": "cpu", "enable_progress_bar": False, "logger": False}
    trainer = Trainer(**options, enable_checkpointing=False)
    trainer.fit(model, data)
    assert model.calibration.temperature != 1
    assert trainer.callback_metrics["val_temperature"] == pytest.approx(model.calibration.temperature, rel=1e-5)
    again = Trainer(**options, enable_checkpointing=False)
    again.validate(model, data.val_dataloader(), verbose=False)
    assert "val_loss" in again.callback_metrics
    assert "val_ece" not in again.callback_metrics
