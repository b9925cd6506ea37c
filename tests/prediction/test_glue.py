"""Submissions to GLUE: numbers and names as the benchmark has them, whatever the order of the checkpoint's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_textclf import Target, main
from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.prediction.glue import LABELS, GlueFormat, file_of, task_of
from lit_textclf.utils.messages import UserError
from tests.conftest import sentences, write_csv

ROOT = Path(__file__).parent.parent.parent


def lines(task: str, labels: tuple[str, ...], logits: list[list[float]]) -> list[str]:
    target = Target("regression" if task == "stsb" else "single_label", labels)
    columns = GlueFormat(target, task)
    text = columns.header() + columns.lines(rows_of_texts(["x"] * len(logits)), torch.tensor(logits))
    assert text.endswith("\n")
    return text.splitlines()


@pytest.mark.parametrize(
    ("task", "zero", "one"),
    [("cola", "unacceptable", "acceptable"), ("sst2", "negative", "positive"), ("mrpc", "not_equivalent", "equivalent"),
     ("qqp", "not_duplicate", "duplicate"), ("wnli", "not_entailment", "entailment")],
)  # fmt: skip
def test_labels_by_glues_numbers(task: str, zero: str, one: str) -> None:
    """https://huggingface.co/datasets/nyu-mll/glue lists the numbers."""
    assert lines(task, (zero, one), [[2.0, 1.0], [0.0, 1.0]]) == ["index\tprediction", "0\t0", "1\t1"]
    assert lines(task, (one, zero), [[2.0, 1.0], [0.0, 1.0]]) == ["index\tprediction", "0\t1", "1\t0"]


def test_labels_by_name() -> None:
    assert lines("rte", ("entailment", "not_entailment"), [[0.0, 1.0]])[1] == "0\tnot_entailment"
    assert lines("qnli", ("not_entailment", "entailment"), [[0.0, 1.0]])[1] == "0\tentailment"
    names = ("contradiction", "entailment", "neutral")
    assert lines("mnli", names, [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])[1:] == ["0\tcontradiction", "1\tneutral"]


def test_numbers() -> None:
    found = lines("stsb", (), [[2.71828], [-0.3], [5.2], [5.0]])
    assert found == ["index\tprediction", "0\t2.718", "1\t0.000", "2\t5.000", "3\t5.000"]
    assert GlueFormat(Target("regression", ()), "stsb").tally(torch.tensor([[2.7], [-0.3], [5.2], [5.0]])) == {
        "clipped": 2
    }


def test_labels_by_threshold() -> None:
    """The probability of the second label is 0.27, 0.38 and 0.5; with a temperature of 2, 0.38, 0.44 and 0.5."""
    target = Target("single_label", ("unacceptable", "acceptable"))
    logits = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
    for temperature, expected in (1.0, "011"), (2.0, "111"):
        calibration = Calibration(temperature)
        columns = GlueFormat(target, "cola", thresholds={"acceptable": 0.36}, calibration=calibration)
        lines = columns.lines(rows_of_texts(["x"] * 3), logits).splitlines()
        assert "".join(line.split("\t")[1] for line in lines) == expected


def test_which_task() -> None:
    assert task_of("rte", None) == "rte"
    assert task_of("rte", Path("MRPC.tsv")) == "rte"
    assert task_of(None, Path("out/MNLI-mm.tsv")) == "mnli"
    assert task_of("mine", Path("sst-2.tsv")) == "sst2"
    with pytest.raises(UserError, match="dataset_config_name"):
        task_of(None, Path("mine.tsv"))
    assert file_of("mnli", "test_mismatched") == "MNLI-mm.tsv"
    assert file_of("mnli", "test_matched") == "MNLI-m.tsv"
    assert file_of("stsb", None) == "STS-B.tsv"


def saved(folder: Path, task: str) -> None:
    """A data set with GLUE's columns and splits, its test rows without labels, as `datasets` saves it."""
    import datasets

    columns = {
        "cola": ("sentence",), "sst2": ("sentence",), "qqp": ("question1", "question2"),
        "qnli": ("question", "sentence"), "mnli": ("premise", "hypothesis"),
    }.get(task, ("sentence1", "sentence2"))  # fmt: skip
    label = datasets.ClassLabel(names=list(LABELS[task])) if LABELS[task] else datasets.Value("float32")
    features = datasets.Features(
        {**{name: datasets.Value("string") for name in columns}, "label": label, "idx": datasets.Value("int32")}
    )
    names = {"train": 36, "validation": 12, "test": 9}
    if task == "mnli":
        names = {"train": 36, "validation_matched": 12, "validation_mismatched": 10, "test_matched": 9,
                 "test_mismatched": 7}  # fmt: skip
    splits, start = {}, 0
    for name, number in names.items():
        texts = [text for text, _ in sentences(start + number)][start:]
        start += number
        values: dict[str, list[Any]] = {column: texts for column in columns}
        known = [index % len(LABELS[task]) if LABELS[task] else index % 11 / 2 for index in range(number)]
        values |= {"label": [-1] * number if "test" in name else known, "idx": list(range(number))}
        splits[name] = datasets.Dataset.from_dict(values, features=features)
    datasets.DatasetDict(splits).save_to_disk(str(folder / task))


QUICK = {"cola", "stsb"}
"""Single texts and numbers; the other tasks are like one of these, except for the splits of MNLI."""


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task in QUICK else [pytest.mark.slow]) for task in LABELS]
)
def test_the_shipped_config_from_training_to_submission(
    task: str, tiny_bert: Path, fails: Callable[[Sequence[str]], str], capfd: pytest.CaptureFixture[str]
) -> None:
    saved(Path("glue"), task)
    config = ["--config", str(ROOT / f"configs/glue/{task}.yaml"), "--data.dataset_name", "glue",
              "--data.max_length", "32", "--trainer.accelerator", "cpu"]  # fmt: skip
    metrics = main(["fit", *config, "--model.model_name_or_path", str(tiny_bert), "--trainer.max_epochs", "1"])
    own = {"cola": "val_mcc", "mrpc": "val_f1", "qqp": "val_f1", "stsb": "val_spearman"}.get(task, "val_accuracy")
    assert own in metrics
    capfd.readouterr()
    main(["predict", *config, "--ckpt_path", "best", "--format", "glue"])
    file = {"cola": "CoLA", "sst2": "SST-2", "stsb": "STS-B", "mnli": "MNLI-m"}.get(task, task.upper()) + ".tsv"
    captured = capfd.readouterr()
    assert captured.out.splitlines()[-1] == f"wrote {file}"
    written = [line.split("\t") for line in Path(file).read_text(encoding="utf-8").splitlines()]
    assert written[0] == ["index", "prediction"]
    assert [row[0] for row in written[1:]] == [str(index) for index in range(9)]
    assert "--format glue: which task" not in captured.err
    if task == "mnli":
        other = ["--data.dataset_splits", "{validation: validation_mismatched, test: test_mismatched}"]
        assert "val_accuracy" in main(["validate", *config, "--ckpt_path", "best", *other])
        main(["predict", *config, "--ckpt_path", "best", "--format", "glue", *other])
        assert len(Path("MNLI-mm.tsv").read_text(encoding="utf-8").splitlines()) == 8
    assert "label" in fails(["test", *config, "--ckpt_path", "best"])
    if task == "stsb":
        assert "every label is -1, which means no label" in captured.err


@pytest.mark.usefixtures("fitted")
def test_what_cannot_be(fit_args: list[str], reviews: dict[str, Path], fails: Callable[[Sequence[str]], str]) -> None:
    predict = ["predict", "--ckpt_path", "last", "--data.predict_file", str(reviews["test"]), "--format", "glue"]
    assert "data.dataset_config_name" in fails(predict)
    assert "rte has entailment, not_entailment, the checkpoint negative, positive" in fails(
        [*predict, "--output", "RTE.tsv"]
    )
    assert "remove --with_logits" in fails([*predict, "--output", "SST-2.tsv", "--with_logits"])
    assert not list(Path().glob("*.tsv*"))
    main([*predict, "--output", "SST-2.tsv"])
    main([*predict, "--output", "SST-2.tsv", "--overwrite", "--threshold", "1"])
    assert {line[-1] for line in Path("SST-2.tsv").read_text(encoding="utf-8").splitlines()[1:]} == {"0"}
    assert "exists already" in fails([*predict, "--output", "SST-2.tsv"])
    line = fails([*fit_args, "--data.dataset_splits", "{validation: x}"])
    assert "data.dataset_splits is for a data set: type --data.dataset_name NAME, too" in line


def test_splits_that_are_not_there(tiny_bert: Path, fails: Callable[[Sequence[str]], str]) -> None:
    saved(Path("glue"), "mnli")
    fit = ["fit", "--model.model_name_or_path", str(tiny_bert), "--data.dataset_name", "glue/mnli",
           "--data.text_column", "premise", "--data.text_pair_column", "hypothesis"]  # fmt: skip
    line = fails([*fit, "--data.dataset_splits", "{validation: validation_match}"])
    assert "has no split 'validation_match'" in line
    assert "did you mean 'validation_matched'" in line
    assert "test_mismatched" in line
    assert "no split 'dev'" in fails([*fit, "--data.dataset_splits", "{dev: validation_matched}"])


@pytest.mark.usefixtures("fitted")
def test_parts_of_a_csv_are_not_mixed_in(fails: Callable[[Sequence[str]], str]) -> None:
    """What a stopped prediction left in another format is another prediction's."""
    from lightning.pytorch import Callback

    class Stop(Callback):
        def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
            if Path("SST-2.csv.parts/part-000000.json").exists():
                raise KeyboardInterrupt

    file = write_csv(Path("many.csv"), ["text"], [(text,) for text, _ in sentences(300)])
    predict = ["predict", "--ckpt_path", "last", "--data.predict_file", str(file), "--data.eval_batch_size", "1",
               "--output", "SST-2.csv"]  # fmt: skip
    with pytest.raises(SystemExit):
        main(predict, callbacks=[Stop()])
    assert Path("SST-2.csv.parts/part-000000.json").exists()
    assert "another prediction (other options)" in fails([*predict, "--format", "glue"])
    main(predict)
    assert Path("SST-2.csv").read_text(encoding="utf-8").startswith("row,label,")
