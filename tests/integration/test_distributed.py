"""Two real processes on gloo."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from lit_textclf import main
from tests.classifier.start.conftest import as_sentence_bert, write_pairs
from tests.conftest import WORDS, sentences, write_csv


def run(args: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lit_textclf", *args], capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_fit_on_two_ranks_then_predict_on_one(fit_args: list[str], reviews: dict[str, Path]) -> None:
    """Rows divide evenly here: 48 and 16 on two ranks."""
    position = fit_args.index("--trainer.devices")
    fit_args[position + 1] = "2"
    done = run([*fit_args, "--trainer.strategy", "ddp", "--tensorboard.figures", "true"])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("tensorboard: 9 figures of the validation after epoch ") == 1
    assert done.stdout.count("wrote ") == 1
    assert done.stderr.count("fit: single_label") == 1
    for name in ("TF-IDF", "the frozen encoder"):  # the most frequent label has its own line without skill
        assert done.stderr.count(f"baseline: {name}") == 1  # of rank 0
    assert done.stderr.count("head: before the first step: val_loss ") == 1
    assert "32-true on 2 cpu; 6 steps" in done.stderr
    metrics = json.loads(Path("lightning_logs/version_0/metrics.json").read_text())
    done = run(["validate", "--ckpt_path", "best", "--data.validation_file", str(reviews["validation"])])
    assert done.returncode == 0, done.stderr
    single = json.loads(Path("lightning_logs/version_1/metrics.json").read_text())
    assert single["val_accuracy"] == pytest.approx(metrics["val_accuracy"], abs=0.07)  # auto precision may be bf16


@pytest.mark.slow
def test_two_ranks_learn_to_read_pairs_once(tiny_bert: Path, tmp_path: Path) -> None:
    """The start of the head and of the encoder, the same on one rank and on two."""
    sentence_bert, file = as_sentence_bert(tiny_bert, tmp_path), write_pairs(tmp_path / "train.csv")
    started = []
    for ranks in ("1", "2"):
        done = run(
            ["fit", "--model.model_name_or_path", sentence_bert, "--data.train_file", str(file),
             "--data.validation_split", "0.1", "--data.max_length", "16", "--trainer.max_epochs", "1",
             "--trainer.accelerator", "cpu", "--trainer.devices", ranks, "--trainer.strategy", "ddp",
             "--trainer.precision", "32-true", "--data.batch_size", str(16 // int(ranks)), "--seed_everything", "1"]
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("the encoder first learns from it to read pairs") == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("head: starts as")]
        started.append(line.partition(";")[0])
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("head: before the first step: ")]
        started.append(line.rpartition(";")[0])
    assert started[:2] == started[2:]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["single_label", "regression"])
def test_evaluation_counts_every_row_once_on_any_number_of_ranks(
    fit_args: list[str], tmp_path: Path, task: str
) -> None:
    """Rows that do not divide evenly, and losses that differ from row to row: all metrics as of one process."""
    # Texts of different words: predictions that are equal but for rounding would have no rank for Spearman's.
    words, generator = [word for word in WORDS if word[0] not in "#."], np.random.default_rng(1)
    texts = dict.fromkeys(" ".join(generator.choice(words, generator.integers(4, 12))) for _ in range(1100))
    rows = [(text, "positive" if "good" in text or "fine" in text else "negative") for text in texts]
    if task == "regression":
        rows = [(text, f"{(name == 'positive') * 4 + number % 3 / 4}") for number, (text, name) in enumerate(rows)]
    train = write_csv(tmp_path / "train.csv", ["text", "label"], rows[:48])
    # Long enough for predictions to differ from row to row: Pearson's r of equal ones is noise.
    main([*fit_args, "--data.train_file", str(train), "--data.validation_file", str(train), "--trainer.max_epochs",
          "25", "--model.learning_rate", "1e-2"])  # fmt: skip
    checkpoint = str(Path("lightning_logs/version_0/checkpoints/last.ckpt").resolve())
    for number, ranks in ((7, (2,)), (37, (2, 3)), (1000, (2,))):
        file = write_csv(tmp_path / f"{number}.csv", ["text", "label"], rows[:number])
        found = {}
        for processes in (1, *ranks):
            root = tmp_path / f"{number}_{processes}"
            args = ["validate", "--ckpt_path", checkpoint, "--data.validation_file", str(file),
                    "--trainer.default_root_dir", str(root), "--trainer.precision", "32-true", "--trainer.accelerator",
                    "cpu", "--trainer.devices", str(processes), "--data.eval_batch_size", "4"]  # fmt: skip
            if processes > 1:
                done = run([*args, "--trainer.strategy", "ddp"])
                assert done.returncode == 0, done.stderr
            else:
                main(args)
            found[processes] = json.loads((root / "lightning_logs/version_0/metrics.json").read_text())
        for processes in ranks:
            assert found[processes] == pytest.approx(found[1], abs=1e-6, nan_ok=True), (number, processes)


@pytest.mark.slow
def test_more_ranks_than_rows_is_said_before_anything_hangs(fit_args: list[str], tmp_path: Path) -> None:
    main(fit_args)
    file = write_csv(tmp_path / "two.csv", ["text", "label"], sentences(2))
    done = run(["validate", "--ckpt_path", "last", "--data.validation_file", str(file), "--trainer.devices", "3",
                "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"])  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: validation: 2 rows for 3 ranks; lower --trainer.devices" in done.stderr


def predictions(path: Path) -> tuple[list[list[str]], np.ndarray]:
    """Rows, ids and labels as they are written, and scores and probabilities as numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file, strict=True))
    assert header == ["row", "id", "label", "score", "prob_negative", "prob_positive"]
    return [row[:3] for row in rows], np.array([[float(value) for value in row[3:]] for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "ranks"), [(7, 2), (37, 2), (37, 3), (1000, 2), (2, 3)])
def test_predictions_of_several_ranks_are_those_of_one(fit_args: list[str], rows: int, ranks: int) -> None:
    """Every row once, in input order; long and short ones mixed, in several parts, with metrics."""
    main(fit_args)
    numbers = np.random.default_rng(0).permutation(rows)
    given = [(*sentences(rows)[number], f"id{number}") for number in numbers]
    write_csv(Path("rows.csv"), ["text", "label", "id"], given)
    args = ["predict", "--ckpt_path", "last", "--data.predict_file", "rows.csv", "--data.id_column", "id",
            "--trainer.precision", "32-true", "--trainer.accelerator", "cpu",
            "--data.eval_batch_size", "2"]  # fmt: skip
    alone = main([*args, "--output", "one.csv"])
    done = run([*args, "--output", "more.csv", "--trainer.devices", str(ranks), "--trainer.strategy", "ddp"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "wrote more.csv"
    assert done.stdout.count("wrote") == done.stderr.count(f"predict: {rows:,} rows, ") == 1
    expected, numbers_of_one = predictions(Path("one.csv"))
    found, numbers_of_more = predictions(Path("more.csv"))
    assert [line[:2] for line in found] == [[str(row), f"id{number}"] for row, number in enumerate(numbers)]
    assert found == expected
    assert numbers_of_more == pytest.approx(numbers_of_one, abs=1e-6)
    table = dict(re.findall(r"(predict_\w+) +\S +([\d.]+)", done.stdout))
    assert float(table["predict_accuracy"]) == pytest.approx(alone["predict_accuracy"], abs=1e-4)
    assert float(table["predict_loss"]) == pytest.approx(alone["predict_loss"], abs=1e-4)
    assert not Path("more.csv.parts").exists()


@pytest.mark.slow
def test_several_ranks_predict_several_files_into_a_folder(fit_args: list[str]) -> None:
    main(fit_args)
    for number in (5, 13, 2):
        write_csv(Path(f"{number}.csv"), ["text", "label"], sentences(number))
    args = ["predict", "--ckpt_path", "last", "--data.predict_file", "[5.csv, 13.csv, 2.csv]", "--data.eval_batch_size",
            "2", "--trainer.precision", "32-true", "--trainer.accelerator", "cpu"]  # fmt: skip
    alone = main([*args, "--output", "one/"])
    done = run([*args, "--output", "more/", "--trainer.devices", "2", "--trainer.strategy", "ddp"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "wrote more/5.csv more/13.csv more/2.csv"
    assert done.stderr.count("predict: file ") == 3
    for path in Path("one").iterdir():
        expected, found = ([line.split(",")[:2] for line in Path(folder, path.name).read_text("utf-8").splitlines()]
                           for folder in ("one", "more"))  # fmt: skip
        assert found == expected
    assert len(list(Path("more").iterdir())) == 3
    table = dict(re.findall(r"(predict_\w+) +\S +([\d.]+)", done.stdout))
    assert float(table["predict_loss"]) == pytest.approx(alone["predict_loss"], abs=1e-4)


@pytest.mark.slow
def test_an_error_of_one_rank_ends_all_with_its_message(fit_args: list[str]) -> None:
    main(fit_args)
    write_csv(Path("rows.csv"), ["text"], [(text,) for text, _ in sentences(20)])
    Path("p.csv.parts").write_text("in the way", encoding="utf-8")
    done = run(["predict", "--ckpt_path", "last", "--data.predict_file", "rows.csv", "--output", "p.csv",
                "--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"])  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("error: p.csv.parts: cannot be written") == 1
    assert "Traceback" not in done.stderr


SHARDED = """
trainer:
  accelerator: cpu
  devices: 2
  strategy:
    class_path: lightning.pytorch.strategies.ModelParallelStrategy
    init_args:
      data_parallel_size: 2
      tensor_parallel_size: 1
      save_distributed_checkpoint: false
      process_group_backend: gloo
"""


@pytest.mark.slow
def test_sharded_training_is_that_of_ddp_and_loads_in_one_process(
    fit_args: list[str], reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("sharded.yaml").write_text(SHARDED, encoding="utf-8")
    for option in ("--trainer.accelerator", "--trainer.devices"):
        place = fit_args.index(option)
        del fit_args[place : place + 2]
    strategies = {
        "sharded": ["--config", "sharded.yaml"],
        "ddp": ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"],
    }
    weights, numbers = {}, {}
    for name, options in strategies.items():
        done = run([*fit_args, *options, "--trainer.default_root_dir", name])
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("baseline: the frozen encoder with a linear model has val_accuracy ") == 1
        path = f"{name}/lightning_logs/version_0/checkpoints/last.ckpt"
        weights[name] = torch.load(path, weights_only=True)["state_dict"]
        main(["predict", "--ckpt_path", path, "--data.predict_file", str(reviews["test"]), "--output", f"{name}.csv",
              "--data.id_column", "id", "--trainer.precision", "32-true"])  # fmt: skip
        numbers[name] = predictions(Path(f"{name}.csv"))[1]
    assert weights["sharded"].keys() == weights["ddp"].keys()
    for name, weight in weights["ddp"].items():
        assert torch.allclose(weights["sharded"][name], weight, atol=1e-5), name
    assert numbers["sharded"] == pytest.approx(numbers["ddp"], abs=1e-5)
    done = run(["predict", "--ckpt_path", path, "--text", "good", "--config", "sharded.yaml", "--output", "s.csv"])
    assert done.returncode == 2
    assert "error: trainer.strategy: predict does not run with ModelParallelStrategy" in done.stderr


def on_two_nodes(args: list[str]) -> tuple[str, str]:
    """Runs a command under torchrun as two nodes of one process each; returns their standard errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", "--node_rank",
             str(node), "--master_addr", "127.0.0.1", "--master_port", str(port), "-m", "lit_textclf", *args,
             "--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.num_nodes", "2",
             "--trainer.strategy", "ddp"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for node in range(2)
    ]  # fmt: skip
    found = [node.communicate(timeout=240) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], found
    assert "wrote" in found[0][0]
    assert "wrote" not in found[1][0]  # only rank zero writes
    return found[0][1], found[1][1]


@pytest.mark.slow
def test_two_nodes_with_torchrun(fit_args: list[str]) -> None:
    _, other = on_two_nodes(fit_args)
    assert "fit:" not in other
    assert "epoch" not in other
    rows = [(text, f"id{number}") for number, (text, _) in enumerate(sentences(37))]
    write_csv(Path("rows.csv"), ["text", "id"], rows)
    args = ["predict", "--ckpt_path", "last", "--data.predict_file", "rows.csv", "--data.id_column", "id",
            "--trainer.precision", "32-true", "--data.eval_batch_size", "2", "--output"]  # fmt: skip
    main([*args, "one.csv"])
    on_two_nodes([*args, "two.csv"])
    (expected, numbers), (found, others) = predictions(Path("one.csv")), predictions(Path("two.csv"))
    assert found == expected
    assert others == pytest.approx(numbers, abs=1e-6)


@pytest.mark.slow
def test_a_rank_that_is_gone_ends_the_others(fit_args: list[str], tmp_path: Path) -> None:
    train = write_csv(tmp_path / "long.csv", ["text", "label"], sentences(20_000))
    fit_args[fit_args.index("--trainer.devices") + 1] = "2"
    process = subprocess.Popen(
        [sys.executable, "-m", "lit_textclf", *fit_args, "--data.train_file", str(train), "--trainer.strategy", "ddp",
         "--trainer.checkpoint_every_n_steps", "20"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not Path("lightning_logs/version_0/checkpoints/last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    others = [child for child in psutil.Process(process.pid).children(recursive=True) if "fit" in child.cmdline()]
    assert len(others) == 1
    others[0].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "rank 0 exits because another rank failed" in err
    assert "Traceback" not in err
    main(["validate", "--ckpt_path", "last", "--data.validation_file", "validation.csv"])
