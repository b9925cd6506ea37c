"""Where tables are printed."""

from __future__ import annotations

import sys

from rich.console import Console

_ANY_WIDTH = 100_000


def stdout_console() -> Console:
    """A console on standard output: as wide as the terminal, and without a limit in a file or a pipe.

    In a file, a table that is cut to 80 columns has rows whose names cannot be told apart.
    """
    return Console(width=None if sys.stdout.isatty() else _ANY_WIDTH, highlight=False)
