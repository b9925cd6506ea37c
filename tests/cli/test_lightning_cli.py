"""The commands end to end, in process, with a tiny BERT: files, order of precedence, checkpoints that cannot lie."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningCLI
from sklearn.metrics import accuracy_score, f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_textclf import TextClassifier, main
from tests.conftest import fit_command, shared_folder, write_csv, write_reviews

pytestmark = pytest.mark.usefixtures("no_figures")

Fails = Callable[[list[str]], str]


def read(path: Path | str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture(scope="module")
def long_run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, of a model that has learned something."""
    folder = tmp_path_factory.mktemp("long_run")
    with shared_folder(folder):
        fit = fit_command(tiny_bert, write_reviews(folder))
        main([*fit, "--trainer.max_epochs", "12", "--model.learning_rate", "3e-3"])
    return folder


@pytest.fixture
def run(long_run: Path) -> Path:
    """A copy of the run: the folder lightning_logs/version_0."""
    return shutil.copytree(long_run / "lightning_logs", Path("lightning_logs")) / "version_0"


def test_fit_writes_what_the_contract_says(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main(fit_args)
    out, err = capfd.readouterr()
    folder = Path("lightning_logs/version_0")
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert {
        "val_loss", "val_accuracy", "val_precision_macro", "val_recall_macro", "val_f1_macro", "val_f1_micro",
        "val_f1_weighted", "val_f1", "val_precision", "val_recall", "val_auroc", "val_mcc", "val_ece",
        "val_ece_uncalibrated", "val_temperature", "epochs", "seconds",
        "rows_per_second", "tokens_per_second", "padding_share",
        "baseline_most_frequent_accuracy", "baseline_most_frequent_f1_macro", "baseline_most_frequent_f1",
        "baseline_tfidf_accuracy", "baseline_tfidf_f1_macro", "baseline_tfidf_f1",
        "baseline_probe_accuracy", "baseline_probe_f1_macro", "baseline_probe_f1",
    } == metrics.keys()  # fmt: skip
    assert metrics["epochs"] == 2
    assert "train: 48 rows, 0 (0.0%) truncated to 16 tokens" in err
    assert "single_label, 2 labels (negative 24, positive 24); 48 rows train, 16 rows validation" in err
    assert "32-true on 1 cpu; 12 steps of 8 rows" in err
    written = out.strip().splitlines()[-1].split()
    assert written[0] == "wrote"
    assert all(Path(name).is_file() for name in written[1:])
    assert len(written) == 4
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"train_loss", "val_loss", "val_f1_macro", "lr/decay", "epoch"} <= set(events.Tags()["scalars"])


@pytest.mark.slow
def test_it_learns(fit_args: list[str]) -> None:
    assert main([*fit_args, "--trainer.max_epochs", "25", "--model.learning_rate", "3e-3"])["val_accuracy"] == 1.0


def test_without_validation_rows_best_is_last(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    position = fit_args.index("--data.validation_file")
    metrics = main([*fit_args[:position], *fit_args[position + 2 :]])
    folder = Path("lightning_logs/version_0/checkpoints")
    assert (folder / "best.ckpt").read_bytes() == (folder / "last.ckpt").read_bytes()
    assert "no validation rows: best.ckpt will be the same as last.ckpt" in capfd.readouterr().err
    assert not [name for name in metrics if name.startswith(("val_", "baseline_"))]


def test_test_gives_the_metrics_of_the_predictions(run: Path, reviews: dict[str, Path]) -> None:
    checkpoint = str(run / "checkpoints" / "best.ckpt")
    common = ["--ckpt_path", checkpoint, "--trainer.accelerator", "cpu", "--trainer.precision", "32-true"]
    metrics = main(["test", *common, "--data.test_file", str(reviews["test"])])
    assert json.loads(Path("lightning_logs/version_1/metrics.json").read_text()) == metrics
    predicted = main(["predict", *common, "--data.predict_file", str(reviews["test"])])
    labels = [row["label"] for row in read(reviews["test"])]
    found = [row["label"] for row in read("predictions.csv")]
    assert metrics["test_accuracy"] == pytest.approx(accuracy_score(labels, found))
    assert metrics["test_f1_macro"] == pytest.approx(f1_score(labels, found, average="macro"))
    assert metrics["test_f1"] == pytest.approx(f1_score(labels, found, pos_label="positive"))
    for name, value in metrics.items():
        if "ece" not in name:
            assert predicted[name.replace("test_", "predict_")] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 15])
def test_metrics_do_not_depend_on_the_batch_size(run: Path, reviews: dict[str, Path], batch_size: int) -> None:
    common = ["test", "--ckpt_path", "best", "--data.test_file", str(reviews["test"]), "--trainer.precision", "32-true"]
    whole = main([*common, "--data.eval_batch_size", "64"])
    parts = main([*common, "--data.eval_batch_size", str(batch_size)])
    for name, value in whole.items():
        assert parts[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.slow
def test_positive_label(fit_args: list[str], run: Path, reviews: dict[str, Path]) -> None:
    common = ["test", "--ckpt_path", "best", "--data.test_file", str(reviews["test"])]
    main(["predict", "--ckpt_path", "best", "--data.predict_file", str(reviews["test"])])
    labels = [row["label"] for row in read(reviews["test"])]
    found = [row["label"] for row in read("predictions.csv")]
    main([*fit_args, "--data.positive_label", "negative"])
    metrics = main(common)
    main(["predict", "--ckpt_path", "best", "--data.predict_file", str(reviews["test"]), "--output", "second.csv"])
    found = [row["label"] for row in read("second.csv")]
    assert metrics["test_f1"] == pytest.approx(f1_score(labels, found, pos_label="negative"))
    other = main([*common, "--data.positive_label", "positive"])
    assert other["test_f1"] == pytest.approx(f1_score(labels, found, pos_label="positive"))


def test_predict_columns_order_and_text(run: Path, reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    args = ["predict", "--ckpt_path", "best", "--data.predict_file", str(reviews["test"]), "--data.id_column", "id"]
    main([*args, "--with_logits", "--keep_columns", "--output", "all.csv"])
    rows, given = read("all.csv"), read(reviews["test"])
    assert list(rows[0]) == [
        "row", "id", "label", "score", "prob_negative", "prob_positive", "logit_negative", "logit_positive", "text",
        "input_label",
    ]  # fmt: skip
    assert [row["row"] for row in rows] == [str(index) for index in range(15)]
    assert [(row["id"], row["text"], row["input_label"]) for row in rows] == [
        (row["id"], row["text"], row["label"]) for row in given
    ]
    for row in rows:
        logits = torch.tensor([float(row["logit_negative"]), float(row["logit_positive"])])
        assert float(row["prob_positive"]) == pytest.approx(float(logits.softmax(0)[1]), abs=1e-6)
        assert row["score"] == row[f"prob_{row['label']}"]
    assert capfd.readouterr().out.strip().splitlines()[-1] == "wrote all.csv"
    main(["predict", "--ckpt_path", "best", "--text", given[3]["text"], "--output", "one.csv"])
    assert float(read("one.csv")[0]["prob_positive"]) == pytest.approx(float(rows[3]["prob_positive"]), abs=2e-2)
    assert capfd.readouterr().out.strip().splitlines()[-1] == "wrote one.csv"


def test_a_checkpoint_alone_is_enough(
    fit_args: list[str], tiny_bert: Path, reviews: dict[str, Path], tmp_path: Path
) -> None:
    pretrained = tmp_path / "pretrained"
    shutil.copytree(tiny_bert, pretrained)
    main([*fit_args, "--model.model_name_or_path", str(pretrained)])
    shutil.copy(reviews["test"], tmp_path / "rows.csv")
    args = ["predict", "--ckpt_path", "best", "--data.predict_file", "rows.csv", "--output"]
    main([*args, "before.csv"])
    shutil.rmtree(pretrained)
    for file in reviews.values():
        file.unlink()
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    shutil.move("lightning_logs/version_0/checkpoints/best.ckpt", "moved.ckpt")
    shutil.rmtree("lightning_logs")
    args[2] = "moved.ckpt"
    main([*args, "after.csv"])
    assert Path("before.csv").read_bytes() == Path("after.csv").read_bytes()
    content = torch.load("moved.ckpt", weights_only=True)
    assert content["hyper_parameters"]["target"]["labels"] == ["negative", "positive"]
    assert not [value for value in content["datamodule_hyper_parameters"].values() if "csv" in str(value)]
    assert str(tmp_path) not in json.dumps([content["hyper_parameters"], content["datamodule_hyper_parameters"]])
    classifier = TextClassifier.load_from_checkpoint("moved.ckpt")
    texts = [row["text"] for row in read("rows.csv")]
    for answer, row in zip(classifier.classify(texts), read("after.csv"), strict=True):
        assert answer["label"] == row["label"] or abs(answer["score"] - 0.5) < 1e-2
        assert answer["probabilities"]["positive"] == pytest.approx(float(row["prob_positive"]), abs=2e-2)
    assert classifier.trained_with["max_length"] == 16


def effective(args: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The options that a command would run with."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*args, "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.slow
def test_order_of_precedence(run: Path, reviews: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """defaults < checkpoint < config file < environment < flags, read off what a saved config of `test` says."""

    def max_length(*args: str) -> int:
        main(
            ["test", "--ckpt_path", str(run / "checkpoints/best.ckpt"), "--data.test_file", str(reviews["test"]), *args]
        )
        newest = max(Path("lightning_logs").iterdir(), key=lambda path: int(path.name.partition("_")[2] or -1))
        return int(yaml.safe_load((newest / "config.yaml").read_text())["data"]["max_length"])

    Path("cfg.yaml").write_text("data: {max_length: 20}\n", encoding="utf-8")
    Path("later.yaml").write_text("data: {max_length: 21}\n", encoding="utf-8")
    assert max_length() == 16  # the checkpoint's, not the default 256
    assert max_length("--config", "cfg.yaml") == 20
    assert max_length("--config", "cfg.yaml", "--config", "later.yaml") == 21
    monkeypatch.setenv("LIT_TEXTCLF_DATA__MAX_LENGTH", "22")
    assert max_length("--config", "cfg.yaml") == 22
    assert max_length("--data.max_length", "23", "--config", "cfg.yaml") == 23


@pytest.mark.slow
def test_a_saved_config_runs_every_command(run: Path, reviews: dict[str, Path]) -> None:
    saved = str(run / "config.yaml")
    again = main(["fit", "--config", saved])
    first = json.loads((run / "metrics.json").read_text())
    assert again["val_loss"] == first["val_loss"]
    assert main(["validate", "--config", saved, "--ckpt_path", "best"])["val_loss"] == pytest.approx(first["val_loss"])
    main(["test", "--config", saved, "--ckpt_path", "best", "--data.test_file", str(reviews["test"])])
    main(["predict", "--config", saved, "--ckpt_path", "best", "--data.predict_file", str(reviews["test"])])


def test_resume_continues_the_run_and_reports_a_changed_learning_rate(
    fit_args: list[str], fitted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    metrics = main([*fit_args, "--ckpt_path", "last", "--trainer.max_epochs", "4"])
    assert metrics["epochs"] == 4
    assert "learning rate:" not in capfd.readouterr().err
    assert [path.name for path in Path("lightning_logs").iterdir() if path.is_dir()] == ["version_0"]
    last = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 24
    main([*fit_args, "--ckpt_path", "last", "--trainer.max_epochs", "6", "--model.learning_rate", "5e-4"])
    assert "learning rate: 0.001 in the checkpoint, 0.0005 now" in capfd.readouterr().err
    last = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    assert last["lr_schedulers"][0]["base_lrs"] == [5e-4, 5e-4]


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.usefixtures("reviews")
def test_the_newest_checkpoint_is_meant(fitted: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(fitted, fitted.with_name("version_1"))
    os.utime("lightning_logs/version_0/checkpoints/last.ckpt", (0, 0))
    os.utime("lightning_logs/version_0/checkpoints/best.ckpt", (0, 0))
    main(["validate", "--ckpt_path", name, "--data.validation_file", "validation.csv"])
    assert f"version_1/checkpoints/{name}.ckpt" in capfd.readouterr().out


def test_regression_and_pairs(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [(f"the film was good {i}", f"a book was bad {i}", f"{i / 7:.3f}") for i in range(1, 41)]
    train = write_csv(tmp_path / "pairs.csv", ["text_a", "text_b", "label"], rows)
    metrics = main(
        ["fit", "--model.model_name_or_path", str(tiny_bert), "--data.train_file", str(train),
         "--data.max_length", "24", "--data.validation_split", "0.25", "--trainer.max_epochs", "1",
         "--trainer.precision", "32-true"]
    )  # fmt: skip
    assert {"val_loss", "val_mse", "val_mae", "val_pearson", "val_spearman"} <= metrics.keys()
    assert metrics["val_loss"] == pytest.approx(metrics["val_mse"], rel=1e-5)
    predicted = main(
        ["predict", "--ckpt_path", "best", "--data.predict_file", str(train), "--trainer.precision", "32-true"]
    )
    found = read("predictions.csv")
    assert list(found[0]) == ["row", "prediction"]
    error = [(float(row["prediction"]) - float(given[2])) ** 2 for row, given in zip(found, rows, strict=True)]
    assert predicted["predict_mse"] == pytest.approx(sum(error) / len(error), rel=1e-4)


def test_equal_texts_are_never_in_two_splits(
    tiny_bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"film {i % 30}", ["a", "b", "c"][i % 3]) for i in range(120)]
    train = write_csv(tmp_path / "all.csv", ["text", "label"], rows)
    main(
        ["fit", "--model.model_name_or_path", str(tiny_bert), "--data.train_file", str(train), "--data.max_length", "8",
         "--data.validation_split", "0.2", "--data.test_split", "0.2", "--trainer.max_epochs", "1"]
    )  # fmt: skip
    assert "split by a hash of the text: 72 rows train, 24 rows validation, 24 rows test" in capfd.readouterr().err
    metrics = main(["test", "--config", "lightning_logs/version_0/config.yaml", "--ckpt_path", "best"])
    assert "test_accuracy" in metrics


def test_early_stopping_by_config(fit_args: list[str]) -> None:
    stop = {
        "class_path": "lightning.pytorch.callbacks.EarlyStopping",
        "init_args": {"monitor": "val_loss", "patience": 1},
    }
    stop["init_args"]["min_delta"] = 100.0
    Path("stop.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [stop], "max_epochs": 9}}), encoding="utf-8")
    position = fit_args.index("--trainer.max_epochs")
    assert main([*fit_args[:position], *fit_args[position + 2 :], "--config", "stop.yaml"])["epochs"] == 2


def test_the_hook_that_the_cli_overrides_exists() -> None:
    """We override a private hook of Lightning: without it, the checkpoint would override the flags."""
    assert callable(LightningCLI._parse_ckpt_path)


@pytest.mark.slow
def test_class_weights_and_label_smoothing(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    write_csv(
        Path("skewed.csv"), ["text", "label"], [(f"film {i}", "rare" if i % 8 == 0 else "common") for i in range(48)]
    )
    fit_args[fit_args.index("--data.train_file") + 1] = "skewed.csv"
    position = fit_args.index("--data.validation_file")
    args = [*fit_args[:position], *fit_args[position + 2 :], "--trainer.log_every_n_steps", "1"]
    main([*args, "--model.class_weights", "balanced", "--model.label_smoothing", "0.1"])
    assert "class weights: common 0.571, rare 4" in capfd.readouterr().err
    events = EventAccumulator("lightning_logs/version_0")
    events.Reload()
    weighted, plain = (events.Scalars(name)[0].value for name in ("train_loss", "train_loss_unweighted"))
    assert weighted != plain
    main([*args, "--model.class_weights", "{common: 1, rare: 2.5}"])
    assert "class weights: common 1, rare 2.5" in capfd.readouterr().err
    main(["validate", "--ckpt_path", "last", "--data.validation_file", "skewed.csv"])


@pytest.mark.parametrize(
    "options",
    [["--trainer.max_steps", "4"], ["--trainer.check_val_every_n_epoch", "9"], ["--trainer.limit_val_batches", "0"]],
    ids=lambda options: options[0],
)
def test_where_no_validation_takes_place(
    options: list[str], fit_args: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    main([*fit_args, *options])
    out, err = capfd.readouterr()
    assert "no validation took place: best.ckpt is the same as last.ckpt" in err
    assert all(Path(name).is_file() for name in out.strip().splitlines()[-1].split()[1:])
    folder = Path("lightning_logs/version_0/checkpoints")
    assert (folder / "best.ckpt").read_bytes() == (folder / "last.ckpt").read_bytes()


def test_without_a_logger_no_run_overwrites_another(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        main([*fit_args, "--trainer.logger", "false"])
        written = capfd.readouterr().out.strip().splitlines()[-1].split()[1:]
        folder = Path(f"lightning_logs/version_{number}")
        assert {Path(name).parent for name in written} == {folder, folder / "checkpoints"}
        assert all(Path(name).is_file() for name in written)


def test_text_is_taken_as_it_was_typed(run: Path) -> None:
    for text in ("null", "-good", "true", "7"):
        main(["predict", "--ckpt_path", str(run), "--text", text, f"--output={text}.csv", "--keep_columns"])
        assert len(Path(f"{text}.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_predictions_never_replace_their_input(run: Path, reviews: dict[str, Path]) -> None:
    before = reviews["test"].read_bytes()
    args = ["predict", "--ckpt_path", str(run), "--data.predict_file", str(reviews["test"]), "--overwrite"]
    with pytest.raises(SystemExit):
        main([*args, "--output", str(reviews["test"])])
    assert reviews["test"].read_bytes() == before


def test_nothing_left_to_train_leaves_metrics_and_folders_alone(
    fit_args: list[str], fitted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    written = (fitted / "metrics.json").read_bytes()
    main([*fit_args, "--ckpt_path", "last"])
    assert "nothing was trained: 2 of 2 epochs are done; raise trainer.max_epochs" in capfd.readouterr().err
    assert Path("lightning_logs/version_0/metrics.json").read_bytes() == written
    assert os.listdir("lightning_logs") == ["version_0"]


@pytest.mark.slow  # a real process; tests/cli/test_main.py has the quick one
def test_a_full_standard_output_is_no_traceback(run: Path, reviews: dict[str, Path]) -> None:
    args = [sys.executable, "-m", "lit_textclf", "test", "--ckpt_path", str(run)]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [*args, "--data.test_file", str(reviews["test"])],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "stdout is closed" in done.stderr
    assert len(list(Path("lightning_logs").rglob("metrics.json"))) >= 1


SETS = [["warm", "good|fine"], ["cold"], []] * 16


def write_sets() -> list[str]:
    """The same rows as JSON lines, as CSV with joined names and as CSV with a column for each name; their texts."""
    texts = [f"the film was {['good fine', 'bad awful', 'the a'][index % 3]} {index}" for index in range(48)]
    rows = list(zip(texts, SETS, strict=True))
    lines = [json.dumps({"text": text, "label": names}) for text, names in rows]
    Path("m.jsonl").write_text("\n".join(lines), encoding="utf-8")
    joined = ["|".join(name.replace("|", r"\|") for name in names) for names in SETS]
    write_csv(Path("m.csv"), ["text", "label"], zip(texts, joined, strict=True))
    names = ["cold", "good|fine", "warm"]
    write_csv(Path("c.csv"), ["text", *names], [(text, *(str(int(n in of)) for n in names)) for text, of in rows])
    return texts


@pytest.mark.slow
def test_label_sets(capfd: pytest.CaptureFixture[str], fit_args: list[str], fails: Fails) -> None:
    texts = write_sets()
    args = fit_args[:3] + fit_args[7:]
    args += ["--trainer.max_epochs", "12", "--model.learning_rate", "5e-3", "--data.validation_split", "0.25"]
    found = [
        main([*args, "--data.train_file", "m.jsonl"]),
        main([*args, "--data.train_file", "m.csv", "--data.task", "multi_label"]),
        main([*args, "--data.train_file", "c.csv", "--data.label_columns", "[cold, good|fine, warm]"]),
    ]
    metrics = [{name: value for name, value in run.items() if name.startswith("val_")} for run in found]
    assert metrics[0] == metrics[1] == metrics[2]
    assert set(metrics[0]) == {
        "val_loss", "val_f1_micro", "val_f1_macro", "val_exact_match", "val_ece", "val_ece_uncalibrated",
        "val_temperature",
    }  # fmt: skip
    assert metrics[0]["val_f1_macro"] > 0.9
    err = capfd.readouterr().err
    assert "train: 12 rows with an empty label set" in err
    assert "multi_label, 3 labels (cold 12, good|fine 12, warm 12)" in err
    for version, file in ((0, "m.jsonl"), (1, "m.csv"), (2, "c.csv")):
        path = f"lightning_logs/version_{version}/checkpoints/best.ckpt"
        scores = main(["predict", "--ckpt_path", path, "--data.predict_file", file, "--output", f"{version}.csv"])
        assert scores["predict_f1_macro"] > 0.9
        rows = read(f"{version}.csv")
        assert list(rows[0]) == ["row", "labels", "prob_cold", "prob_good|fine", "prob_warm"]
        assert rows == read("0.csv")
        assert [row["labels"] for row in rows] == [r"good\|fine|warm", "cold", ""] * 16
        for row in rows:
            chosen = [name for name in ("cold", "good|fine", "warm") if float(row[f"prob_{name}"]) >= 0.5]
            assert row["labels"] == "|".join(name.replace("|", r"\|") for name in chosen)
    path = "lightning_logs/version_0/checkpoints/best.ckpt"
    classified = TextClassifier.load_from_checkpoint(path).classify(texts[:3])
    assert [row["labels"] for row in classified] == [["good|fine", "warm"], ["cold"], []]
    test = main(["test", "--ckpt_path", path, "--data.test_file", "m.jsonl"])
    assert set(test) == {
        "test_loss", "test_f1_micro", "test_f1_macro", "test_exact_match", "test_ece", "test_ece_uncalibrated",
    }  # fmt: skip
    Path("u.jsonl").write_text('{"text": "a", "label": ["hot"]}\n', encoding="utf-8")
    message = fails(["test", "--ckpt_path", path, "--data.test_file", "u.jsonl"])
    assert "u.jsonl: row 0, column 'label': the label 'hot' is unknown" in message


class Remembers(Callback):
    """A callback with a state, whose key has arguments as those of Lightning's checkpoints have."""

    def __init__(self) -> None:
        self.steps = 0

    @property
    def state_key(self) -> str:
        return self._generate_state_key(every=1)

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


@pytest.mark.slow
def test_a_state_that_is_not_restored_is_named(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "1"], callbacks=[Remembers()])
    last, saved = Path("lightning_logs/version_0/checkpoints/last.ckpt"), Path("saved.ckpt")
    shutil.copyfile(last, saved)
    more = ["--ckpt_path", "last", "--trainer.max_epochs", "2"]
    capfd.readouterr()
    main([*fit_args, *more])
    err = capfd.readouterr().err
    assert "fit: the checkpoint's state of Remembers is not restored: this run has no such callback\n" in err
    assert "callbacks used to create the checkpoint" not in err
    callback = Remembers()
    more[-1] = "3"
    shutil.copyfile(saved, last)
    main([*fit_args, *more], callbacks=[callback])
    assert callback.steps == 18
    assert "is not restored" not in capfd.readouterr().err
    main(["validate", "--ckpt_path", "last", "--data.validation_file", "validation.csv"])
    assert "is not restored" not in capfd.readouterr().err
