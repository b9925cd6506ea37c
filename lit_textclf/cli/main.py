"""The entry point: help and version without heavy imports, errors as one line, exit codes."""

from __future__ import annotations

import atexit
import contextlib
import errno
import importlib
import io
import os
import pkgutil
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lit_textclf.cli.commands import COMMANDS
from lit_textclf.utils.imports.collection import without_collection
from lit_textclf.utils.imports.postponed import postpone_unneeded
from lit_textclf.utils.imports.torch_library import begin_loading
from lit_textclf.utils.messages import (
    ENVIRONMENT_PREFIX,
    SHOW_TRACEBACK,
    SharedError,
    UserError,
    did_you_mean,
    print_traceback,
)
from lit_textclf.version import __version__

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


HELP = """\
usage: lit-textclf [--help] [--version] {{{names}}} [options]

Fine-tunes BERT-family text classifiers on your own rows, and predicts to CSV.

{commands}

  lit-textclf fit --config cfg.yaml                       options of a command: lit-textclf fit --help
  lit-textclf fit --data.train_file train.csv --data.validation_split 0.1
  lit-textclf test --ckpt_path best --data.test_file test.csv
  lit-textclf predict --ckpt_path best --data.predict_file new.csv --output predictions.csv

Order of precedence: defaults < checkpoint < --config files < environment ({prefix}DATA__BATCH_SIZE=16) < flags.
{traceback}=1 also prints the traceback behind an error of one line.
"""


def main(args: Sequence[str] | None = None, *, callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Runs a command of the tool in this process.

    Args:
        args: the arguments after the program's name, as `["fit", "--config", "cfg.yaml"]`; None takes `sys.argv`.
        callbacks: Lightning callbacks for `fit`, `validate`, `test` and `predict`, besides the tool's own.

    Returns:
        The metrics by name, if the command has any; for `check`, what `--format json` prints.

    Raises:
        SystemExit: with code 2 after one line on stderr for a mistake of the user, with 1 if a signal stopped the
            command, with 0 after help. Set `LIT_TEXTCLF_TRACEBACK=1` to see the traceback behind the line.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help"):
        commands = "\n".join(f"  {name:<16}{command.help}" for name, command in COMMANDS.items())
        names = ",".join(COMMANDS)
        print(HELP.format(names=names, commands=commands, prefix=ENVIRONMENT_PREFIX, traceback=SHOW_TRACEBACK), end="")
        raise SystemExit(0)
    if arguments[0] == "--version":
        print(f"lit-textclf {__version__}")
        raise SystemExit(0)
    try:
        if arguments[0] not in COMMANDS:
            raise UserError(
                f"no command {arguments[0]!r}{did_you_mean(arguments[0], COMMANDS)}; see lit-textclf --help"
            )
        if arguments[1:2] in (["-h"], ["--help"]):
            _print_stored_help(arguments[0])
        return run_command(arguments, callbacks)
    except UserError as error:
        if os.environ.get(SHOW_TRACEBACK, "") not in ("", "0"):
            print_traceback(error)
        if not (isinstance(error, SharedError) and error.said_elsewhere):
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        if error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC):
            _stdout_is_gone(error)
            raise SystemExit(1) from None
        raise


def _print_stored_help(command: str) -> None:
    """Prints a command's help and exits; returns if its text is not stored yet, so that the parser prints it.

    The parser's classes import Lightning, torch and transformers, which takes ten times as long.
    """
    try:
        text = pkgutil.get_data("lit_textclf.cli", f"help/{command}.txt")
    except FileNotFoundError:
        return
    assert text is not None
    print(text.decode(), end="", flush=True)
    raise SystemExit(0)


def run_command(args: list[str], callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Runs the function of a command, which raises its errors."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the terminal's encoding may lack a character
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up)
    command = COMMANDS[args[0]]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_torch_is_needed(args[0]))
        stack.enter_context(warnings.catch_warnings())
        with without_collection():
            if command.needs_torch(args) and begin_loading() is not None:
                importlib.import_module("lit_textclf.data.encoded_data")  # needs no torch
            if command.lightning:
                from lit_textclf.cli.lightning_process import lightning_process

                stack.enter_context(lightning_process())
            function = pkgutil.resolve_name(f"lit_textclf.cli.{command.function}")
        metrics, written = function(args, callbacks=callbacks) if command.takes_callbacks else function(args)
    if written:
        print(f"wrote {' '.join(map(str, written))}", flush=True)
    return metrics  # type: ignore[no-any-return]


@contextlib.contextmanager
def _torch_is_needed(command: str) -> Iterator[None]:
    """Says where torch is missing that a command needs it, see `requirements-onnx.txt`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "lightning", "transformers"):
            raise
        raise UserError(
            f"{command} needs {error.name} here, which is not installed; run pip install lit-textclf, with all that "
            "it depends on: without torch there are predict, validate, test, explain and serve --engine onnx, check, "
            "init and compare"
        ) from None


def _hang_up(signum: int, frame: Any) -> None:
    """Exits as on Ctrl-C when the terminal closes, so that no half-written file remains."""
    raise SystemExit(1)


def _stdout_is_gone(error: OSError) -> None:
    """Reports a closed stdout, and keeps Python's flush at exit from failing again."""
    with contextlib.suppress(OSError):
        print(f"stdout is closed ({error.strerror}); all files written so far are complete", file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main_script() -> None:
    """The console script `lit-textclf` and `python -m lit_textclf`: runs a command and ends the process.

    Once torch is loaded, the process ends without destroying its million objects. That saves 1.7 of 10.0 s of CPU time
    for `predict --text`, and 1.8 of 9.9 s for a tiny `fit` (medians of 5, in turn; AMD EPYC, torch 2.13). Threads,
    executors, `atexit` functions and `weakref.finalize` end as Python ends them. Skipped are `__del__` methods of
    objects that are still alive, and destructors and exit functions of C++ and C libraries.
    """
    postpone_unneeded()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # for commands that import transformers only at need
    main()
    if "torch" not in sys.modules:
        return
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    code = 0
    try:
        sys.stdout.flush()
    except OSError as error:
        _stdout_is_gone(error)
        code = 1
    sys.stderr.flush()
    os._exit(code)
