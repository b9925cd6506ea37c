"""Arguments in order of precedence, and config files that are refused before a parser sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_textclf import UserError
from lit_textclf.cli.precedence import in_order_of_precedence, read_config

KNOWN = [
    "config",
    "data",
    "data.batch_size",
    "data.labels",
    "model.class_weights",
    "model.learning_rate",
    "trainer.max_epochs",
    "text",
]


def test_config_files_come_first_then_environment_then_flags(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    for path in (first, second):
        path.write_text("data: {batch_size: 4}\n", encoding="utf-8")
    typed = ["fit", "--data.batch_size", "8", f"--config={first}", "--trainer.max_epochs=1", "-c", str(second)]
    environment = {"LIT_TEXTCLF_DATA__BATCH_SIZE": "6", "OTHER": "1"}
    found = in_order_of_precedence(typed, KNOWN, environment)
    assert found.args == [
        "fit",
        f"--config={first}",
        f"--config={second}",
        "--data.batch_size=6",
        "--data.batch_size",
        "8",
        "--trainer.max_epochs=1",
    ]
    assert found.files == {"data.batch_size": str(second)}
    assert found.keys == {"data.batch_size", "trainer.max_epochs"}


def test_flags_without_a_value() -> None:
    typed = ["predict", "--overwrite", "--with_logits", "false", "--keep_columns"]
    ordered = in_order_of_precedence(typed, KNOWN, {})
    assert ordered.args == ["predict", "--overwrite=true", "--with_logits", "false", "--keep_columns=true"]


@pytest.mark.parametrize("text", ["null", "-good", "~", "--overwrite", "", "a=b", "[1]"])
def test_a_text_is_taken_as_it_was_typed(text: str) -> None:
    for typed in (["predict", "--text", text, "--overwrite"], ["predict", f"--text={text}", "--overwrite"]):
        found = in_order_of_precedence(typed, KNOWN, {})
        assert found.text == text
        assert found.args == ["predict", "--overwrite=true"]


@pytest.mark.parametrize(
    ("environment", "typed", "expected"),
    [
        ({"LIT_TEXTCLF_DATA__BATCHSIZE": "6"}, ["fit"], "did you mean 'data.batch_size'"),
        ({}, ["fit", "--config"], "--config needs the name of a file"),
        ({}, ["predict", "--text"], "--text needs a text"),
        ({}, ["predict", "--text", "a", "--text=b"], "--text is given twice"),
    ],
)
def test_refused(environment: dict[str, str], typed: list[str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        in_order_of_precedence(typed, KNOWN, environment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {batchsize: 4}", "c.yaml: fit has no key 'data.batchsize'; did you mean 'data.batch_size'?"),
        ("data: {learning_rate: 4}", "no key 'data.learning_rate'; did you mean 'model.learning_rate'?"),
        ("data:\n  labels: [no, yes]", "reads a name as False, a bool; put it in quotes"),
        ("model:\n  class_weights: {1: 2.0}", "model.class_weights: YAML reads a name as 1, a int; put it in quotes"),
        ("data: [1\nmodel: x", "c.yaml: line 2: not YAML"),
        ("just words", "a config is a mapping"),
        ("data: 7", "data is a section of keys, not 7"),
        ("data: {batch_size: 4}\ndata: {batch_size: 8}", "line 2: data appears a second time"),
        ("data:\n  batch_size: 4\n  batch_size: 8", "line 3: batch_size appears a second time"),
    ],
)
def test_bad_config_files(text: str, expected: str) -> None:
    Path("c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        read_config("c.yaml", KNOWN, "fit")
    assert expected in str(raised.value)


def test_empty_sections_are_left_out() -> None:
    Path("c.yaml").write_text("data:\nmodel: {}\ntrainer:\n  max_epochs: 1e0\n", encoding="utf-8")
    content, keys = read_config("c.yaml", KNOWN, "fit")
    assert content == "trainer:\n  max_epochs: 1e0\n"
    assert keys == ["trainer.max_epochs"]
    for empty in ("", "# nothing\n", "data:\n"):
        Path("c.yaml").write_text(empty, encoding="utf-8")
        assert read_config("c.yaml", KNOWN, "fit") == ("", [])


def test_missing_config() -> None:
    with pytest.raises(UserError, match=r"none\.yaml: the config cannot be read"):
        read_config("none.yaml", KNOWN, "fit")
