"""A tiny BERT built in code, small files of rows, and runs of the real command line in process."""

from __future__ import annotations

import contextlib
import csv
import gc
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
torch.set_num_threads(1)  # models this small are faster on one

WORDS = [
    "good",
    "fine",
    "great",
    "bad",
    "awful",
    "poor",
    "film",
    "book",
    "meal",
    "the",
    "a",
    "was",
    "very",
    "not",
    "##s",
    ".",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data_dir", default=None, help="a folder with real data sets and vocabularies, for some tests")
    parser.addoption(
        "--runs", nargs="+", default=[],
        help="folders of finished runs, as lightning_logs: browser tests look at these, too",
    )  # fmt: skip
    parser.addoption("--screenshots", help="the folder for pictures that browser tests take, to look at them")


@pytest.fixture(scope="session", autouse=True)
def _libraries_are_not_garbage() -> None:
    """Exempts the imported libraries from garbage collection: each pass over torch and the rest takes a quarter second.

    Hypothesis is imported first, because it then asks the collector what refers to an object. Its pytest plugin imports
    it in any case.
    """
    import hypothesis  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache but the test's own, a working folder of its own, and no second of drawing after each run."""
    monkeypatch.setenv("LIT_TEXTCLF_TENSORBOARD__FIGURES", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT of two layers, 48 positions, and a WordPiece tokenizer of a few words."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny_bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=48,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        BertModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def sentences(number: int) -> list[tuple[str, str]]:
    """Distinct texts whose label their words tell."""
    rows = []
    for index in range(number):
        positive = index % 2 == 0
        words = (["good", "fine", "great"] if positive else ["bad", "awful", "poor"])[index // 2 % 3]
        length = 1 + index % 5
        text = " ".join(["the", ["film", "book", "meal"][index % 3], "was", *["very"] * length, words, str(index)])
        rows.append((text, "positive" if positive else "negative"))
    return rows


def write_reviews(folder: Path) -> dict[str, Path]:
    rows = [(text, label, f"r{index}") for index, (text, label) in enumerate(sentences(79))]
    parts = {"train": rows[:48], "validation": rows[48:64], "test": rows[64:]}
    return {split: write_csv(folder / f"{split}.csv", ["text", "label", "id"], part) for split, part in parts.items()}


def fit_command(model: Path, files: dict[str, Path]) -> list[str]:
    return [
        "fit", "--model.model_name_or_path", str(model), "--data.train_file", str(files["train"]),
        "--data.validation_file", str(files["validation"]), "--data.max_length", "16", "--data.batch_size", "8",
        "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--trainer.devices", "1",
        "--trainer.precision", "32-true", "--model.learning_rate", "1e-3",
    ]  # fmt: skip


@pytest.fixture
def reviews(tmp_path: Path) -> dict[str, Path]:
    """CSV files: 48 rows to train on, 16 for validation, 15 for test, with an `id` column."""
    return write_reviews(tmp_path)


@pytest.fixture
def fit_args(tiny_bert: Path, reviews: dict[str, Path]) -> list[str]:
    """A `fit` of a second or two."""
    return fit_command(tiny_bert, reviews)


@contextlib.contextmanager
def shared_folder(folder: Path) -> Iterator[None]:
    """Working folder, cache and settings for a fixture that several tests share, as `_sealed` has them for a test."""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIT_TEXTCLF_TENSORBOARD__FIGURES", "false")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield


@pytest.fixture(scope="session")
def finished_run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of `reviews` and the run of `fit_args`; tests change a copy, see `fitted`."""
    from lit_textclf import main

    folder = tmp_path_factory.mktemp("finished_run")
    with shared_folder(folder):
        main(fit_command(tiny_bert, write_reviews(folder)))
    return folder


@pytest.fixture(scope="session")
def exported_model(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX model of `finished_run`; tests change a copy, see `exported`."""
    from lit_textclf import main

    folder = tmp_path_factory.mktemp("exported_model")
    last = str(finished_run / "lightning_logs/version_0/checkpoints/last.ckpt")
    with shared_folder(folder):
        main(["export", "--ckpt_path", last, "--output", "model", "--format", "onnx"])
    return folder / "model"


@pytest.fixture
def fitted(finished_run: Path) -> Path:
    """What `main(fit_args)` leaves, for tests of what is done with a run: the folder lightning_logs/version_0."""
    return shutil.copytree(finished_run / "lightning_logs", Path("lightning_logs")) / "version_0"


@pytest.fixture
def exported(exported_model: Path, fitted: Path) -> list[str]:
    """The options that use an ONNX model, in the folder `model`; `fitted` is the run it was exported from."""
    shutil.copytree(exported_model, "model")
    return ["--engine", "onnx", "--model_dir", "model"]


def leave_out_figures(patch: pytest.MonkeyPatch) -> None:
    """Leaves out the figures of `test` and `validate`: drawing takes a second, more than all else that they do."""
    from lit_textclf.evaluation.report import csv_files, sections

    for figure in sections.FIGURES:
        if figure.file:
            patch.delitem(csv_files.FILES, figure.file)
    patch.setattr(sections, "FIGURES", ())


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """See :func:`leave_out_figures`."""
    leave_out_figures(monkeypatch)


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Callable[[Sequence[str]], str]:
    """Runs a command that must end with exit code 2 and one `error: ` line on standard error; returns the line."""

    def run(args: Sequence[str]) -> str:
        from lit_textclf import main

        capfd.readouterr()
        with pytest.raises(SystemExit) as raised:
            main(list(args))
        assert raised.value.code == 2
        err = capfd.readouterr().err
        assert "Traceback" not in err
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, err
        assert err.rstrip().splitlines()[-1] == lines[0]
        return lines[0]

    return run
