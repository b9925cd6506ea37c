"""Runs one command of the table in this process."""

from __future__ import annotations

import contextlib
import io
import pkgutil
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lit_textclf.cli.commands import COMMANDS

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


def run(args: Sequence[str], callbacks: Sequence[Callback] = ()) -> dict[str, Any]:
    """Runs one command in this process; see :func:`lit_textclf.main`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the terminal's encoding may lack a character
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up)
    command = COMMANDS[args[0]]
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        if command.lightning:
            from lit_textclf.cli.lightning_process import lightning_process

            stack.enter_context(lightning_process())
        function = pkgutil.resolve_name(f"lit_textclf.cli.{command.function}")
        metrics, written = function(args, callbacks=callbacks) if command.takes_callbacks else function(args)
    if written:
        print(f"wrote {' '.join(map(str, written))}", flush=True)
    return metrics  # type: ignore[no-any-return]


def _hang_up(signum: int, frame: Any) -> None:
    """Exits as on Ctrl-C when the terminal closes, so that no half-written file remains."""
    raise SystemExit(1)
