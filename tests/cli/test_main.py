"""The command line before Lightning: help, version, unknown commands, and a standard output that goes away."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from lit_textclf import __version__, main
from lit_textclf.cli.commands import COMMANDS
from lit_textclf.utils.messages import did_you_mean
from tests.cli.help_texts import FOLDER, fresh_help, parser_help
from tests.test_pyproject import pins

ROOT = Path(__file__).parent.parent.parent
# Python 3.12 and newer, and other versions of these packages, word or wrap some options differently.
WRITTEN_BY = ("jsonargparse", "docstring-parser", "typeshed-client", "lightning", "torch")
as_pinned = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11)
    or any(Version(version(name)).public != pins("constraints.txt")[name] for name in WRITTEN_BY),
    reason="the stored help is that of Python 3.11 and constraints.txt",
)


@pytest.mark.parametrize(
    ("typed", "needs"),
    [
        ("fit --data.train_file onnx.csv", True),
        ("export --ckpt_path best --format onnx", True),
        ("predict --ckpt_path best --text good", True),
        ("test --ckpt_path last", True),
        ("predict --engine onnx --text good", False),
        ("validate --engine=onnx", False),
        ("test --config engine.yaml", False),
        ("check --data.train_file train.csv", False),
        ("compare version_0 version_1", False),
    ],
)
def test_which_commands_load_torch_at_once(
    typed: str, needs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("engine.yaml").write_text("engine: onnx\n", encoding="utf-8")
    args = typed.split()
    assert COMMANDS[args[0]].needs_torch(args) is needs


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["--version"]])
def test_help_and_version(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(args)
    assert raised.value.code == 0
    assert (__version__ if args == ["--version"] else "usage: lit-textclf") in capsys.readouterr().out


def words(text: str) -> list[str]:
    """The words of a help, except for what depends on the other tests of this process.

    These are the known subclasses, and the order of the types in a union, of which `typing` caches the first.
    """
    text = re.sub(r", known subclasses: [^)]*", "", " ".join(text.split()))
    return re.sub(r"\(type: [^)]*", lambda types: " ".join(sorted(re.findall(r"\w+", types[0]))), text).split()


@as_pinned
@pytest.mark.parametrize("command", COMMANDS)
def test_the_stored_help_has_the_words_of_the_parser(command: str) -> None:
    stored = (FOLDER / f"{command}.txt").read_text(encoding="ascii")
    assert words(stored) == words(parser_help(command)), "the options have changed; run `make help-texts`"


@pytest.mark.slow  # a process that imports Lightning
@as_pinned
@pytest.mark.parametrize("command", COMMANDS)
def test_the_stored_help_is_the_text_of_the_parser(command: str) -> None:
    stored = (FOLDER / f"{command}.txt").read_text(encoding="ascii")
    assert stored == fresh_help(command), "the options, or the imported classes, have changed; run `make help-texts`"


def test_every_stored_help_is_that_of_a_command_and_in_the_wheel() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{command}.txt" for command in COMMANDS}
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    patterns = tools["setuptools"]["package-data"]["lit_textclf"]
    packaged = {path for pattern in patterns for path in (ROOT / "lit_textclf").glob(pattern)}
    data = {path for path in (ROOT / "lit_textclf").rglob("*.*") if path.suffix not in {".py", ".pyc"}}
    assert packaged == {path for path in data if path.is_file()}


@pytest.mark.parametrize("args", [["fit", "--help"], ["fit", "-h"], ["fit", "--help", "--data.batch_size", "8"]])
def test_help_is_the_stored_text(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(args)
    assert raised.value.code == 0
    assert capsys.readouterr().out == (FOLDER / "fit.txt").read_text(encoding="ascii")


def test_after_other_options_the_parser_prints_the_help(fails: Callable[[Sequence[str]], str]) -> None:
    assert fails(["compare", "--seed", "one", "--help"]).startswith("error: seed: one is not")


def test_a_command_without_a_stored_help_prints_that_of_its_parser(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "new", COMMANDS["compare"])
    with pytest.raises(SystemExit) as raised:
        main(["new", "--help"])
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("usage: lit-textclf compare")


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
