"""The help of each command, stored in `lit_textclf/cli/help/`: `make help-texts` writes what the parsers print.

Each help comes from a process of its own: the "known subclasses" of an option are the classes that are imported.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

import lit_textclf.cli
from lit_textclf.cli.commands import COMMANDS
from lit_textclf.cli.lightning_process import lightning_process
from lit_textclf.cli.main import run_command

FOLDER = Path(lit_textclf.cli.__file__).parent / "help"
COLUMNS = "100"
"""The width of a terminal that shows a help without wrapping the options that it begins with."""


def parser_help(command: str) -> str:
    """What the parser of a command prints.

    Lightning is imported first: typing shows a union in the order in which its members first stood in the process.
    """
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        patch.setenv("COLUMNS", COLUMNS)
        with lightning_process():
            run_command([command, "--help"])
    return out.getvalue()


def fresh_help(command: str) -> str:
    """What the parser of a command prints in a new process."""
    code = [sys.executable, "-m", "tests.cli.help_texts", command]
    return subprocess.run(code, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]).stdout


if __name__ == "__main__":
    if sys.argv[1:]:
        print(parser_help(sys.argv[1]), end="")
    else:
        FOLDER.mkdir(exist_ok=True)
        for name in COMMANDS:
            (FOLDER / f"{name}.txt").write_text(fresh_help(name), encoding="utf-8")
