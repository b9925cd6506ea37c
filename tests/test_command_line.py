"""The command line before Lightning: help, version, unknown commands, and a standard output that goes away."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lit_textclf import __version__, main
from lit_textclf.errors import nearest


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["--version"]])
def test_help_and_version_import_nothing_heavy(args: list[str]) -> None:
    code = f"import sys; from lit_textclf import main\ntry: main({args})\nexcept SystemExit as e: assert e.code == 0\n"
    code += "assert not {'torch', 'lightning', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (__version__ if args == ["--version"] else "usage: lit-textclf") in done.stdout


def test_nearest() -> None:
    assert nearest("fot", ["fit", "test"]) == "; did you mean 'fit'?"
    assert nearest("xyz", ["fit"]) == ""


@pytest.mark.parametrize("command", ["check", "export", "compare", "init", "fot", "--batch_size"])
def test_unknown_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([command])
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
