"""The progress bar of `predict`, which counts rows. Imported when it is shown, as rich takes a while."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class RowsBar:
    """A bar for a number of rows."""

    def __init__(self, rows: int) -> None:
        columns = (TextColumn("predict"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=sys.stderr, force_terminal=True))
        self._bar.start()
        self._task = self._bar.add_task("predict", total=rows)

    def advance(self, rows: int) -> None:
        """Counts rows that are done."""
        self._bar.advance(self._task, rows)

    def stop(self) -> None:
        """Removes the bar."""
        self._bar.stop()


class _Speed(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} rows/s")
