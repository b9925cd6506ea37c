"""What TensorBoard is given of a real run, read from its events; and a real TensorBoard that answers."""

from __future__ import annotations

import base64
import csv
import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util.tensor_util import make_ndarray

from lit_textclf import main
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from tests.browser import Served
from tests.conftest import sentences, write_csv

FIGURES = ["--tensorboard.figures", "true"]
CLASSES = {
    "confusion", "confusion_normalized", "per_class_f1", "precision_recall", "roc", "reliability", "score_histogram",
    "length_histogram", "coverage",
}  # fmt: skip


def events(version: int = 0) -> EventAccumulator:
    # 0 keeps all: the default is a sample.
    found = EventAccumulator(f"lightning_logs/version_{version}", {"tensors": 0, "images": 0, "scalars": 0})
    found.Reload()
    return found


def images(found: EventAccumulator) -> dict[str, set[str]]:
    tags = [tag.split("/") for tag in found.Tags()["images"]]
    return {split: {name for other, name in tags if other == split} for split, _ in tags}


def text(found: EventAccumulator, tag: str) -> str:
    (event,) = found.Tensors(f"{tag}/text_summary")
    return str(make_ndarray(event.tensor_proto)[0].decode())


def hparams(found: EventAccumulator) -> dict[str, object]:
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


@pytest.mark.slow
def test_fit_and_test(
    fit_args: list[str], reviews: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = main([*fit_args, *FIGURES, "--data.id_column", "id"])
    found = events()
    f1, loss = ([event.value for event in found.Scalars(name)] for name in ("val_f1_macro", "val_loss"))
    # The first value is that of the model before the first step.
    best = max(range(1, len(f1)), key=lambda epoch: (f1[epoch], -loss[epoch]))
    assert f"tensorboard: 9 figures of the validation after epoch {best} in " in capsys.readouterr().err
    assert images(found) == {"validation": CLASSES}
    assert {event.step for event in found.Images("validation/confusion")} == {11}  # as the metrics of epoch 2
    assert "custom_scalars__config__" in found.Tags()["tensors"]
    assert "    learning_rate: 0.001" in text(found, "config")
    errors = text(found, "validation/worst_errors")
    with Path("lightning_logs/version_0/outcomes.csv").open(encoding="utf-8", newline="") as file:
        wrong = sum(row["label"] != row["predicted"] for row in csv.DictReader(file))
    assert errors.startswith("| row | id | true |") or (wrong == 0 and errors == "no row is wrong")
    assert len(errors.splitlines()) == (2 + wrong if wrong else 1)
    options = hparams(found)
    assert options["model.learning_rate"] == 1e-3
    assert (options["data.batch_size"], options["trainer.max_epochs"], options["seed_everything"]) == (8, 2, 42)
    assert options["model.model_name_or_path"] == fit_args[2]
    scalars = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    for name in ("baseline_tfidf_accuracy", "baseline_probe_f1_macro"):
        assert scalars[f"results/{name}"][0].value == pytest.approx(metrics[name])
    for name in ("val_loss", "val_f1_macro"):
        assert scalars[f"results/{name}"][0].value == pytest.approx(metrics[name])
        assert [event.step for event in scalars[name]] == [0, 5, 11]  # and none twice
    assert len(scalars["speed/tokens_per_second"]) == len(scalars["speed/padding_share"]) == 2
    shares = [event.value for event in scalars["speed/padding_share"]]
    assert min(shares) - 1e-6 <= metrics["padding_share"] <= max(shares) + 1e-6  # events are float32
    report = Path("lightning_logs/version_0/report.html").read_text(encoding="utf-8")
    assert '<h2 id="baselines">Baselines</h2>' in report
    for name in ("the most frequent label", "the frozen encoder with a linear model"):
        assert f'<td class="text">{name}</td>' in report
    assert Path("lightning_logs/version_0/errors.csv").is_file()  # the report names it
    drawn, draw = list[FigureCanvasAgg](), FigureCanvasAgg.print_png

    def count(canvas: FigureCanvasAgg, *args: Any, **kwargs: Any) -> None:
        drawn.append(canvas)
        draw(canvas, *args, **kwargs)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", count)
    main(["test", "--ckpt_path", "best", "--data.test_file", str(reviews["test"]), *FIGURES])
    assert images(events(1)) == {"test": CLASSES}
    assert len(drawn) == len(CLASSES)  # once for TensorBoard, report.html and the files
    page = Path("lightning_logs/version_1/report.html").read_text(encoding="utf-8")
    for name in ("confusion_matrix.png", "calibration.png"):
        content = Path("lightning_logs/version_1", name).read_bytes()
        assert base64.b64encode(content).decode() in page


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["sets", "numbers"])
def test_other_tasks(labels: str, tiny_bert: Path, fit_args: list[str]) -> None:
    names = {"sets": ["good|old", "old", "", "good"], "numbers": ["1.5", "2", "3.25", "0"]}[labels]
    rows = [(line, names[index % 4]) for index, (line, _) in enumerate(sentences(40))]
    for split in ("train", "validation"):
        write_csv(Path(f"{split}.csv"), ["text", "label"], rows)
    task = ["--data.task", "multi_label"] if labels == "sets" else []
    main([*fit_args, *FIGURES, *task])
    found = events()
    without = {"confusion", "confusion_normalized", "coverage"}
    numbers = {"prediction", "residuals", "length_histogram"}
    assert images(found) == {"validation": CLASSES - without if labels == "sets" else numbers}
    curves = {
        tag for tag in found.Tags()["tensors"] if found.SummaryMetadata(tag).plugin_data.plugin_name == "pr_curves"
    }
    micro = {f"validation/{name}" for name in ("all labels (micro)", "good", "old")}
    assert curves == (micro if labels == "sets" else set())
    assert text(found, "validation/worst_errors").startswith("| row |")


@pytest.mark.slow
def test_nothing_without_figures_or_logger(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--tensorboard.figures", "false"])
    assert events().Tags()["images"] == []
    assert hparams(events())
    main([*fit_args, *FIGURES, "--trainer.logger", "false"])
    assert not list(Path("lightning_logs/version_1").glob("events*"))
    assert "tensorboard:" not in capsys.readouterr().err.replace("next: tensorboard", "")


def test_embeddings_and_graph(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    collected = CollectOutcomes()
    main([*fit_args, "--tensorboard.embeddings", "10", "--tensorboard.graph", "true"], callbacks=[collected])
    assert "tensorboard: embeddings of 10 texts" in capsys.readouterr().err
    (folder,) = Path("lightning_logs/version_0").glob("*/validation")
    vectors = torch.tensor(
        [[float(value) for value in line.split("\t")] for line in (folder / "tensors.tsv").read_text().splitlines()]
    )
    state = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    logits = vectors @ state["model.classifier.weight"].T + state["model.classifier.bias"]
    assert collected.outcomes is not None
    torch.testing.assert_close(logits, torch.from_numpy(collected.outcomes.logits[:10]), atol=1e-4, rtol=1e-4)
    lines = (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["text", "true", "predicted"]
    assert [line.split("\t")[:2] for line in lines[1:]] == [list(row) for row in sentences(58)[48:]]
    assert events().Tags()["graph"]


def test_no_negative_number_of_texts(fit_args: list[str], fails: Callable[[Sequence[str]], str]) -> None:
    assert "tensorboard.embeddings -1: must be a number" in fails([*fit_args, "--tensorboard.embeddings", "-1"])


def test_a_config_with_the_section_is_read_by_all_commands(fitted: Path, reviews: dict[str, Path]) -> None:
    config = str(fitted / "config.yaml")
    assert "tensorboard:" in Path(config).read_text(encoding="utf-8")
    main(["predict", "--config", config, "--ckpt_path", "best", "--data.predict_file", str(reviews["test"])])
    main(["check", "--config", config])


def config_with(loggers: str) -> list[str]:
    Path("loggers.yaml").write_text(f"trainer:\n  logger:\n{loggers}", encoding="utf-8")
    return ["--config", "loggers.yaml"]


CSV = "  - class_path: CSVLogger\n    init_args: {save_dir: table}\n"
BOARD = "  - class_path: TensorBoardLogger\n    init_args: {save_dir: board}\n"


@pytest.mark.slow
@pytest.mark.parametrize("loggers", [CSV + BOARD, BOARD + CSV], ids=["csv first", "tensorboard first"])
def test_every_logger_gets_what_it_can_take(loggers: str, fit_args: list[str]) -> None:
    """Speed and results in numbers; figures, curves and options only where there is a place for them."""
    metrics = main(["fit", *config_with(loggers), *fit_args[1:], *FIGURES])
    (folder,) = Path("table/lightning_logs").iterdir()
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    (accuracy,) = (float(row["results/val_accuracy"]) for row in rows if row["results/val_accuracy"])
    assert accuracy == metrics["val_accuracy"]
    assert len([row for row in rows if row["speed/tokens_per_second"]]) == 2
    assert len([row for row in rows if row["train_loss"]]) == 2  # epochs of 6 steps, of which every tenth is logged
    (folder,) = Path("board/lightning_logs").iterdir()
    found = EventAccumulator(str(folder), {"images": 0}).Reload()
    assert images(found) == {"validation": CLASSES}
    assert {"lr/decay", "lr/no_decay", "speed/rows_per_second"} <= set(found.Tags()["scalars"])
    assert "results/val_accuracy" in found.Tags()["scalars"]


@pytest.mark.slow
def test_weights_and_biases_offline(fit_args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    import wandb  # which takes a second: only where it is used

    logged: list[dict[str, Any]] = []
    log = wandb.Run.log

    def record(run: Any, data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        logged.append(data)
        log(run, data, *args, **kwargs)

    monkeypatch.setattr(wandb.Run, "log", record)
    config = config_with("  - class_path: WandbLogger\n    init_args: {save_dir: ., offline: true}\n")
    metrics = main(["fit", *config, *fit_args[1:], *FIGURES])
    wandb.finish()
    found = {name: value for data in logged for name, value in data.items()}
    assert found["results/val_accuracy"] == metrics["val_accuracy"]
    assert {f"validation/{name}" for name in CLASSES} <= found.keys()
    assert {"speed/padding_share", "train_loss", "val_loss", "lr/decay"} <= found.keys()
    assert list(Path("wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*filesystem:FutureWarning")  # MLflow prefers a database
def test_mlflow_in_a_folder(fit_args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow  # which takes a second: only where it is used

    config = config_with("  - class_path: MLFlowLogger\n    init_args: {tracking_uri: ./store}\n")
    metrics = main(["fit", *config, *fit_args[1:], *FIGURES])
    client = mlflow.MlflowClient("./store")
    (experiment,) = client.search_experiments(filter_string="name = 'lightning_logs'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["results/val_accuracy"] == metrics["val_accuracy"]
    assert {"speed/padding_share", "train_loss", "val_loss", "lr/decay"} <= run.data.metrics.keys()
    pictures = {file.path for file in client.list_artifacts(run.info.run_id, "validation")}
    assert pictures == {f"validation/{name}.png" for name in CLASSES}


@pytest.mark.slow
def test_scalars_over_http(fit_args: list[str], tmp_path: Path) -> None:
    main(fit_args)
    with Served(Path("lightning_logs"), tmp_path / "log") as server:
        url = f"{server.url}/data/plugin/scalars"
        tags = _answer(f"{url}/tags", server)
        expected = {"train_loss", "lr/decay", "lr/no_decay", "epoch", "val_loss", "val_accuracy", "val_f1_macro"}
        assert expected <= tags["version_0"].keys()
        points = _answer(f"{url}/scalars?run=version_0&tag=val_f1_macro", server)
        assert [point[1] for point in points] == [0, 5, 11]


def _answer(url: str, server: Served) -> dict[str, dict[str, object]]:
    """The server's JSON; asked again until its reader has found the run."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.runs()
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if answer := json.load(response):
                    return answer
        except OSError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"no answer from {url}")
