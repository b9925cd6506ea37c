"""Where tables are printed."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console

_ANY_WIDTH = 100_000


def stdout_console(file: TextIO | None = None) -> Console:
    """A console on standard output or another file: as wide as a terminal, and without a limit in a file or a pipe.

    In a file, a table that is cut to 80 columns has rows whose names cannot be told apart.
    """
    file = file or sys.stdout
    return Console(file=file, width=None if file.isatty() else _ANY_WIDTH, highlight=False)
