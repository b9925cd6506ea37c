"""The command line before Lightning: help, version, unknown commands, and a standard output that goes away."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from lit_textclf import __version__, main
from lit_textclf.cli.commands import COMMANDS
from lit_textclf.utils.messages import did_you_mean


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["--version"]])
def test_help_and_version_import_nothing_heavy(args: list[str]) -> None:
    code = f"import sys; from lit_textclf import main\ntry: main({args})\nexcept SystemExit as e: assert e.code == 0\n"
    code += "assert not {'torch', 'lightning', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (__version__ if args == ["--version"] else "usage: lit-textclf") in done.stdout


def test_compare_imports_neither_torch_nor_lightning() -> None:
    code = "import sys; from lit_textclf import main\ntry: main(['compare', '--help'])\nexcept SystemExit as e: pass\n"
    code += "assert not {'torch', 'lightning', 'transformers'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: lit-textclf compare" in done.stdout


def test_nearest() -> None:
    assert did_you_mean("fot", ["fit", "test"]) == "; did you mean 'fit'?"
    assert did_you_mean("xyz", ["fit"]) == ""


@pytest.mark.parametrize("command", ["check", "export", "compare", "init", "fot", "--batch_size"])
def test_unknown_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([command])
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_table_names_functions_that_exist() -> None:
    for command in COMMANDS.values():
        assert callable(pkgutil.resolve_name(f"lit_textclf.cli.{command.function}"))


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_the_traceback_of_a_mistake_on_demand(
    value: str, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error that the line was made of is shown, though the line is raised `from None`."""
    monkeypatch.setenv("LIT_TEXTCLF_TRACEBACK", value)
    with pytest.raises(SystemExit) as raised:
        main(["fit", "--config", "none.yaml"])
    assert raised.value.code == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("error: none.yaml: the config cannot be read")
    assert ("Traceback (most recent call last)" in err) == shown
    assert ("FileNotFoundError: [Errno 2]" in err) == shown


@pytest.mark.slow
def test_what_is_registered_for_the_end_still_runs(tmp_path: Path) -> None:
    """The process ends without destroying all objects, but it runs exit functions and waits for threads."""
    script = tmp_path / "script.py"
    script.write_text(
        "import atexit, sys, threading, time, weakref\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "import torch\n"
        "from lit_textclf.cli import main as cli\n"
        "atexit.register(lambda: print('registered'))\n"
        "finalizer = weakref.finalize(sys.modules[__name__].__loader__, print, 'finalized')\n"
        "executor = ThreadPoolExecutor(1)\n"
        "executor.submit(sys.stdout.write, 'executor\\n')\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()\n"
        "cli.main = lambda: print('ran')\n"
        "cli.main_script()\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["executor", "finalized", "ran", "registered", "thread"]
    with open("/dev/full", "w", encoding="utf-8") as full:
        env = {**os.environ, "PYTHONUNBUFFERED": ""}  # output fails at the final flush only
        command = [sys.executable, str(script)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=env)
    assert done.returncode == 1
    assert "stdout is closed (No space left on device)" in done.stderr
