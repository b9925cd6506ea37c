"""The command line before Lightning: help, version, order of precedence, config files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lit_textclf import UserError, __version__, main
from lit_textclf.command_line import check_config, in_order_of_precedence
from lit_textclf.errors import nearest

KNOWN = ["config", "data", "data.batch_size", "data.labels", "model.learning_rate", "trainer.max_epochs", "text"]


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["--version"]])
def test_help_and_version_import_nothing_heavy(args: list[str]) -> None:
    code = f"import sys; from lit_textclf import main\ntry: main({args})\nexcept SystemExit as e: assert e.code == 0\n"
    code += "assert not {'torch', 'lightning', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (__version__ if args == ["--version"] else "usage: lit-textclf") in done.stdout


def test_config_files_come_first_then_environment_then_flags(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    for path in (first, second):
        path.write_text("data: {batch_size: 4}\n", encoding="utf-8")
    typed = ["fit", "--data.batch_size", "8", f"--config={first}", "--trainer.max_epochs=1", "-c", str(second)]
    environment = {"LIT_TEXTCLF_DATA__BATCH_SIZE": "6", "OTHER": "1"}
    assert in_order_of_precedence(typed, KNOWN, environment) == [
        "fit",
        f"--config={first}",
        f"--config={second}",
        "--data.batch_size=6",
        "--data.batch_size",
        "8",
        "--trainer.max_epochs=1",
    ]


def test_flags_without_a_value() -> None:
    typed = ["predict", "--overwrite", "--with_logits", "false", "--keep_columns", "--text", "--overwrite"]
    ordered = in_order_of_precedence(typed[:5], KNOWN, {})
    assert ordered == ["predict", "--overwrite=true", "--with_logits", "false", "--keep_columns=true"]


@pytest.mark.parametrize(
    ("environment", "typed", "expected"),
    [
        ({"LIT_TEXTCLF_DATA__BATCHSIZE": "6"}, ["fit"], "did you mean 'data.batch_size'"),
        ({}, ["fit", "--config"], "--config needs"),
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
        ("data: {long_text: window}", "data.long_text is not supported yet"),
        ("data:\n  labels: [no, yes]", "reads a name as False, a bool; put it in quotes"),
        ("data: [1\nmodel: x", "c.yaml: line 2: not YAML"),
        ("just words", "a config is a mapping"),
        ("", "a config is a mapping"),
    ],
)
def test_bad_config_files(tmp_path: Path, text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        check_config("c.yaml", KNOWN, "fit")
    assert expected in str(raised.value)


def test_missing_config() -> None:
    with pytest.raises(UserError, match=r"none\.yaml: the config cannot be read"):
        check_config("none.yaml", KNOWN, "fit")


def test_nearest() -> None:
    assert nearest("fot", ["fit", "test"]) == "; did you mean 'fit'?"
    assert nearest("xyz", ["fit"]) == ""


@pytest.mark.parametrize("command", ["check", "export", "compare", "init", "fot", "--batch_size"])
def test_unknown_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([command])
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
