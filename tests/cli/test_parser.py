"""Errors of the parser, in one line that says what to type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lit_textclf.cli.parser import _EXPLANATION_OF, _OPTION_OF, what_is_meant
from lit_textclf.cli.precedence import read_config
from lit_textclf.cli.sections import parser_of
from lit_textclf.utils.messages import UserError

Fails = Callable[[Sequence[str]], str]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--epochs", "; type --trainer.max_epochs"),
        ("--data.epochs", "; type --trainer.max_epochs"),
        ("--num_train_epochs", "; type --trainer.max_epochs"),
        ("--lr", "; type --model.learning_rate"),
        ("--batch_size", "; did you mean 'data.batch_size'?"),
        ("--batch-size", "; did you mean 'data.batch_size'?"),
        ("--per_device_train_batch_size", "; type --data.batch_size"),
        ("--seed", "; type --seed_everything"),
        ("--output_dir", "; type --trainer.default_root_dir"),
        ("--fp16", "; type --trainer.precision 16-mixed"),
        ("--do_train", "; the command is lit-textclf fit"),
        ("--model_name_or_path", "; did you mean 'model.model_name_or_path'?"),
        ("--train_file", "; did you mean 'data.train_file'?"),
        ("--max_seq_length", "; type --data.max_length"),
        ("--warmup_steps", "; type --model.warmup_ratio 0.1: the share of all steps, not their number"),
        (
            "--evaluation_strategy",
            "; remove it: validation follows each epoch; --trainer.val_check_interval 0.5 is twice an epoch",
        ),
        (
            "--eval_steps",
            "; type --trainer.val_check_interval: a number of batches, or a share of the epoch such as 0.5",
        ),
        (
            "--save_strategy",
            "; remove it: checkpoints are written after each epoch; --trainer.checkpoint_every_n_steps is for long "
            "epochs",
        ),
        ("--data.sep", "; type --data.delimiter"),
        ("--test_size", "; type --data.validation_split 0.1: the share of the rows, not their number"),
        ("--xyzzy", ""),
    ],
)
def test_names_of_other_tools(typed: str, meant: str, fails: Fails) -> None:
    assert fails(["check", typed, "3"]) == f"error: no option {typed}{meant}"


def test_every_option_that_is_meant_exists() -> None:
    known = [*parser_of("check", "").option_keys, "output"]
    for name, option in _OPTION_OF.items():
        meant = what_is_meant(name, known)
        assert meant.startswith(("; type --", "; remove it: ")), name
        assert f" --{option}" in meant
    assert set(_EXPLANATION_OF) <= set(_OPTION_OF)


def test_a_config_has_the_same_table() -> None:
    with open("c.yaml", "w", encoding="utf-8") as file:
        file.write("trainer: {epochs: 3}")
    with pytest.raises(UserError, match=r"c\.yaml: fit has no key 'trainer\.epochs'; type trainer\.max_epochs$"):
        read_config("c.yaml", parser_of("check", "").option_keys, "fit")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["fit", "a.csv"], "a.csv: a value without an option; options have names, as --data.train_file a.csv"),
        (["predict", "a.csv"], "a.csv: a value without an option; options have names, as --data.predict_file a.csv"),
        (["test", "a.csv"], "a.csv: a value without an option; options have names, as --data.test_file a.csv"),
        (["predict", "--model", "r"], "no option --model with a value (r); type --model.model_name_or_path"),
        (["check", "--data.labels", "b,a"], "data.labels: b,a is not list or null; a list is written as [b, a]"),
        (
            ["check", "--data.labels", "[no, yes]"],
            "data.labels: False is not str or null; YAML reads names such as yes, no and 1 as something else: put them "
            "in quotes, as ['no', 'yes']",
        ),
        (
            ["fit", "--trainer.callbacks+=EarlyStopping"],
            "trainer.callbacks: EarlyStopping needs monitor; add --trainer.callbacks.monitor VALUE after it",
        ),
        (
            ["test", "--threshold", "70%"],
            "--threshold 70%: must be a probability such as 0.7, best, or {label: 0.7}",
        ),
    ],
)
def test_what_to_type(args: list[str], expected: str, fails: Fails) -> None:
    assert fails(args) == f"error: {expected}"


def test_defaults_of_a_checkpoint_stay_in_its_parser() -> None:
    first = parser_of("check", "")
    first.set_defaults({"data.batch_size": 77, "data.labels": ["a", "b"]})
    second = parser_of("check", "")
    assert first.get_defaults().data.batch_size == 77
    assert second.get_defaults().data.batch_size == 32
    assert second.get_defaults().data.labels is None
    assert second.parse_args([]).data.batch_size == 32
