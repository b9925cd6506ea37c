"""User mistakes: one line that names the mistake, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_textclf import main
from tests.conftest import sentences, write_csv

Fails = Callable[[list[str]], str]


def with_option(args: list[str], **options: str) -> list[str]:
    """The command with options added or replaced, as `data__max_length="2"`."""
    args = list(args)
    for name, value in options.items():
        flag = "--" + name.replace("__", ".")
        if flag in args:
            args[args.index(flag) + 1] = value
        else:
            args += [flag, value]
    return args


TRAINING_FILES = {
    "empty file": (b"", "the file is empty"),
    "header alone": (b"text,label\n", "no rows below the header"),
    "missing column": (b"opinion,label\na,b\n", "no text column (the columns are: 'opinion', 'label'"),
    "missing label column": (b"text,stars\na,b\n", "no label column (the columns are: 'text', 'stars'"),
    "short row": (b"text,label\na,x\nb\n", "row 1 (line 3) has 1 field, the header has 2"),
    "long row": (b"text,label\na,x\nb,c,y\n", "row 1 (line 3) has 3 fields, the header has 2"),
    "unclosed quote": (b'text,label\na,x\n"b,y\n', "a quoted field is never closed"),
    "misquoted row": (b'text,label\na,x\n"b"c,y\n', "row 1 (line 3): text follows a closing quote"),
    "not UTF-8": (
        b"text,label\na,x\n\xc3\xa9 caf\xe9,y\n",
        "row 1, column 'text': byte 0xe9 at character 5 is not utf-8",
    ),
    "NUL": (b"text,label\na,x\nb\0c,y\n", "row 1, column 'text': a NUL at"),
    "doubled column": (b"text,label,label\na,x,y\n", "the header names the column 'label' 2 times"),
    "blank text": (b"text,label\na,x\n  ,y\n", "row 1: the text is blank (1 such row)"),
    "blank label": (b"text,label\na,x\nb,\n", "row 1, column 'label': a training row without a label"),
    "one class": (b"text,label\na,x\nb,x\n", "have the label 'x'"),
}


@pytest.mark.parametrize("case", TRAINING_FILES)
def test_training_file(case: str, fit_args: list[str], fails: Fails) -> None:
    content, expected = TRAINING_FILES[case]
    Path("bad.csv").write_bytes(content)
    message = fails(with_option(fit_args, data__train_file="bad.csv"))
    assert expected in message
    assert message.startswith("error: bad.csv: ")
    assert not Path("lightning_logs").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"data__train_file": "none.csv"}, "none.csv: no such file; change data.train_file"),
        ({"data__train_file": ""}, "data.train_file has an empty name"),
        ({"trainer__default_root_dir": "/proc/x"}, "/proc/x/lightning_logs: cannot be written to"),
        ({"data__train_file": "*.tsv"}, "*.tsv: no file matches"),
        ({"data__train_file": "train.parquet"}, "no such file"),
        ({"data__train_file": "package:no_such_package/x"}, "no Python package named 'no_such_package'"),
        ({"data__max_length": "2"}, "data.max_length 2: must be at least 3"),
        ({"data__max_length": "49"}, "data.max_length 49: the model has positions for 48 tokens"),
        ({"data__max_length": "many"}, "data.max_length: many is not int"),
        ({"data__task": "regression"}, "train.csv: row 0, column 'label': 'positive' is not a finite number"),
        ({"data__task": "multi_label", "data__label_column": "missing"}, "no column 'missing'"),
        ({"data__label_columns": "[label, id]"}, "column 'label': 'positive' is neither 0 nor 1"),
        ({"data__labels": "[positive]"}, "needs two labels"),
        ({"data__labels": "[positive, other]"}, "row 1, column 'label': the label 'negative' is unknown"),
        ({"data__positive_label": "other"}, "data.positive_label 'other': must be one of"),
        ({"data__batch_size": "0"}, "data.batch_size 0: must be at least 1"),
        ({"data__encoding": "utf-88"}, "unknown encoding 'utf-88'"),
        ({"data__delimiter": ";;"}, "data.delimiter ';;'"),
        ({"data__text_column": "txt"}, "no column 'txt' (the columns are: 'text', 'label', 'id'; did you mean 'text'?"),
        ({"trainer__strategy": "dpp"}, "no strategy 'dpp'; did you mean 'ddp'?"),
        ({"trainer__precision": "17"}, "trainer.precision: 17 is not one of 'auto'"),
        ({"trainer__precision": "16-true"}, "16-true gives NaN losses on a CPU"),
        ({"trainer__devices": "zero"}, "trainer: "),
        ({"model__model_name_or_path": "./none"}, "./none: no such folder"),
        ({"model__model_name_or_path": "org/not-in-the-cache"}, "model.model_name_or_path 'org/not-in-the-cache'"),
        ({"model__lr_scheduler": "linera"}, "model.lr_scheduler 'linera': must be one of linear"),
        ({"model__lr_scheduler": "warmup_stable_decay"}, "must be one of linear, cosine"),
        ({"model__class_weights": "{negative: 0, positive: 0}"}, "all weights are 0"),
        ({"seed_everything": "-1"}, "-1 is not in bounds"),
        ({"data__positive_label": "positive", "data__task": "regression"}, "column 'label'"),
        ({"trainer__val_check_interval": "0"}, "trainer.val_check_interval 0: must be more than 0"),
        ({"trainer__val_check_interval": "100"}, "trainer: `val_check_interval` (100)"),
        ({"trainer__accumulate_grad_batches": "0"}, "trainer.accumulate_grad_batches 0: must be more than 0"),
        ({"trainer__gradient_clip_val": "-1"}, "trainer.gradient_clip_val -1.0: must be 0 or more"),
        ({"trainer__limit_train_batches": "0"}, "trainer.limit_train_batches is 0: nothing would be done"),
        ({"trainer__precision": "transformer-engine"}, "trainer: Requirement 'transformer_engine"),
        ({"trainer__max_time": "soon"}, "trainer: `Timer(duration='soon')`"),
        ({"trainer__strategy": "fsdp"}, "trainer: The strategy `fsdp` requires a GPU"),
        ({"trainer__callbacks": "EarlyStopping"}, "trainer.callbacks: "),
        ({"ckpt_path": "none.ckpt"}, "none.ckpt: no such checkpoint"),
        ({"ckpt_path": "last"}, "no last.ckpt below"),
        ({"config": "none.yaml"}, "none.yaml: the config cannot be read"),
        ({"data.max_lenght": "8"}, "no option --data.max_lenght; did you mean 'data.max_length'?"),
    ],
)
def test_option(options: dict[str, str], expected: str, fit_args: list[str], fails: Fails) -> None:
    assert expected in fails(with_option(fit_args, **options))
    assert not Path("lightning_logs").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{hidden_act: foo}", "'foo'"),
        ("{hidden_size: 30}", "not a multiple of 12 heads"),
        ("{layers: 2}", "no 'layers'"),
    ],
)
def test_a_model_that_cannot_be_built(
    options: str, expected: str, fit_args: list[str], tiny_bert: Path, fails: Fails
) -> None:
    message = fails(with_option(fit_args, model__from_scratch=options, model__tokenizer_name_or_path=str(tiny_bert)))
    assert message.startswith("error: model.from_scratch: ")
    assert expected in message


def test_a_config_file_is_named_for_its_wrong_value(fit_args: list[str], fails: Fails) -> None:
    Path("c.yaml").write_text("data: {eval_batch_size: many}", encoding="utf-8")
    assert fails([*fit_args, "--config", "c.yaml"]) == "error: c.yaml: data.eval_batch_size: many is not int"


def test_a_loss_that_is_not_finite(fit_args: list[str], fails: Fails) -> None:
    assert "lower model.learning_rate" in fails(with_option(fit_args, model__learning_rate="1e30"))


def test_a_label_only_in_validation(fit_args: list[str], fails: Fails) -> None:
    write_csv(Path("v.csv"), ["text", "label"], [("a", "positive"), ("b", "neutral")])
    message = fails(with_option(fit_args, data__validation_file="v.csv"))
    assert "v.csv: row 1, column 'label': the label 'neutral' is unknown" in message


def test_blank_texts_may_be_allowed(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    write_csv(Path("blank.csv"), ["text", "label"], [*sentences(8), ("  ", "positive")])
    main(with_option(fit_args, data__train_file="blank.csv", data__allow_blank_text="true"))
    assert "train: 1 row with a blank text, kept (first: blank.csv: row 8)" in capfd.readouterr().err


def test_config_that_is_not_yaml(fit_args: list[str], fails: Fails) -> None:
    Path("c.yaml").write_text("data: [", encoding="utf-8")
    assert "c.yaml: line 1: not YAML" in fails([*fit_args, "--config", "c.yaml"])
    Path("c.yaml").write_text("data: {max_lenght: 8}", encoding="utf-8")
    assert "c.yaml: fit has no key 'data.max_lenght'; did you mean 'data.max_length'?" in fails(
        [*fit_args, "--config", "c.yaml"]
    )


@pytest.mark.slow
class TestWithACheckpoint:
    """Mistakes in commands that use a checkpoint."""

    @pytest.fixture
    def predict(self, fitted: Path, reviews: dict[str, Path]) -> list[str]:
        (fitted / "checkpoints/best.ckpt").rename("model.ckpt")
        return [
            "predict",
            "--ckpt_path",
            "model.ckpt",
            "--data.predict_file",
            str(reviews["test"]),
            "--output",
            "p.csv",
        ]

    def test_all(self, predict: list[str], fit_args: list[str], reviews: dict[str, Path], fails: Fails) -> None:
        whole = Path("model.ckpt").read_bytes()
        cases: list[tuple[dict[str, str], str]] = [
            ({"output": "none/p.csv"}, "none/p.csv: the folder none does not exist"),
            ({"output": "/dev/null/p.csv"}, "/dev/null/p.csv: the folder /dev/null does not exist"),
            ({"output": "/proc/p.csv"}, "/proc/p.csv: cannot be written"),
            ({"output": "."}, "is in the folder ., where predictions go"),
            ({"output_encoding": "utf-99"}, "--output_encoding 'utf-99'"),
            ({"data__labels": "[positive, negative]"}, "in this order"),
            ({"data__labels": "[negative, other]"}, "the checkpoint's labels are 'negative', 'positive'"),
            ({"data__task": "regression"}, "data.task is regression, the checkpoint's task is single_label"),
            ({"data__text_column": "body"}, "no column 'body'"),
            ({"data__id_column": "key"}, "no column 'key'"),
            ({"data__predict_file": "none.csv"}, "none.csv: no such file; change data.predict_file"),
            ({"ckpt_path": "cut.ckpt"}, "cut.ckpt: the checkpoint is cut short or damaged"),
            ({"ckpt_path": "empty.ckpt"}, "empty.ckpt: not a checkpoint"),
            ({"ckpt_path": "test.csv"}, "test.csv: not a checkpoint"),
            ({"ckpt_path": "other.ckpt"}, "other.ckpt: not a lit_textclf checkpoint"),
            ({"ckpt_path": "."}, "a folder, not a checkpoint"),
        ]
        Path("cut.ckpt").write_bytes(whole[: len(whole) // 2])
        Path("empty.ckpt").write_bytes(b"")
        torch.save({"state_dict": {}}, "other.ckpt")
        for options, expected in cases:
            assert expected in fails(with_option(predict, **options)), options
        Path("p.csv").write_text("mine", encoding="utf-8")
        assert "p.csv: exists already; add --overwrite" in fails(predict)
        assert Path("p.csv").read_text(encoding="utf-8") == "mine"
        Path("header.csv").write_text("text,label\n", encoding="utf-8")
        broken = with_option([*predict, "--overwrite"], data__predict_file="header.csv")
        assert "header.csv: no rows below the header" in fails(broken)
        assert Path("p.csv").read_text(encoding="utf-8") == "mine"
        assert not list(Path().glob(".*.part"))
        assert "needs --ckpt_path" in fails(["predict", "--text", "a"])
        assert "predict needs rows" in fails(["predict", "--ckpt_path", "model.ckpt"])
        assert "no test rows: type --data.test_file FILE" in fails(["test", "--ckpt_path", "model.ckpt"])
        write_csv(Path("t.csv"), ["text", "label"], [("a", "positive"), ("b", "neutral")])
        message = fails(["test", "--ckpt_path", "model.ckpt", "--data.test_file", "t.csv"])
        assert "t.csv: row 1, column 'label': the label 'neutral' is unknown" in message
        resume = [*fit_args, "--ckpt_path", "model.ckpt", "--data.labels", "[positive, negative]"]
        assert "in this order" in fails(resume)
        assert Path("model.ckpt").read_bytes() == whole


@pytest.mark.usefixtures("fitted")
def test_predict_keeps_blank_texts(capfd: pytest.CaptureFixture[str]) -> None:
    write_csv(Path("b.csv"), ["text"], [("good",), ("",), ("bad",)])
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "b.csv"])
    assert "predict: 1 row with a blank text, kept (first: b.csv: row 1)" in capfd.readouterr().err
    assert len(Path("predictions.csv").read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.slow
def test_a_real_process_exits_with_2(tmp_path: Path) -> None:
    args = [sys.executable, "-m", "lit_textclf", "fit", "--data.train_file", "none.csv"]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: none.csv: no such file")


def test_labels_of_one_row_each_name_the_likely_mistake(fit_args: list[str], fails: Fails) -> None:
    write_csv(Path("ids.csv"), ["text", "label"], [(f"good {row}", str(row)) for row in range(30)])
    args = with_option(fit_args, data__train_file="ids.csv", data__validation_split="0.2")
    del args[(place := args.index("--data.validation_file")) : place + 2]
    assert fails(args) == (
        "error: data.validation_split 0.2: each of the 30 labels has one row; is this a regression (data.task), or "
        "'label' the wrong data.label_column?"
    )


def test_exported_weights_are_no_checkpoint(fails: Fails) -> None:
    Path("model.safetensors").write_bytes(b"x")
    line = fails(["predict", "--ckpt_path", "model.safetensors", "--text", "a"])
    assert line == "error: model.safetensors: exported weights, not a checkpoint; name the run's .ckpt, as best.ckpt"


def test_a_new_classifier_on_top_is_no_alarm(
    fit_args: list[str], tiny_bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main(with_option(fit_args, trainer__fast_dev_run="1"))
    err = capfd.readouterr().err
    assert f"{tiny_bert}: the classifier on top is new and will be trained (2 tensors)" in err
    assert "randomly initialized" not in err
