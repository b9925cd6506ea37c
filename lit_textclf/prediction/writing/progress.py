"""How far a prediction is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lit_textclf.utils.messages import duration, long_quiet, note, plural, progress

if TYPE_CHECKING:
    from lit_textclf.prediction.writing.bar import RowsBar


class RowsProgress:
    """A bar, or a line whenever nothing was printed for a while; and the speed at the end."""

    def __init__(self, *, shown: bool) -> None:
        self._bar: RowsBar | None = None
        self._shown = shown
        self._total, self._started, self._seconds = 0, time.perf_counter(), 0.0
        self._own = self._written = self._computed = 0

    def start(self, total: int, own: int) -> None:
        """Starts the clock for `total` rows, of which this process predicts `own`."""
        self._started, self._total, self._own = time.perf_counter(), total, own
        if self._shown:
            from lit_textclf.prediction.writing.bar import RowsBar

            self._bar = RowsBar(own)

    def compute(self, rows: int) -> None:
        """Counts rows of unfinished parts."""
        self._computed += rows
        if self._bar is None and long_quiet():
            done = self._written + self._computed
            speed = done / max(time.perf_counter() - self._started, 1e-9)
            left = duration((self._own - done) / max(speed, 1e-9))
            note(f"predict: {progress(done, self._own, 'row', speed)}; {left} left")

    def advance(self, rows: int) -> None:
        """Counts the rows of a finished part."""
        self._written, self._computed = self._written + rows, 0
        if self._bar is not None:
            self._bar.advance(rows)

    def stop(self) -> None:
        """Stops the clock and removes the bar."""
        self._seconds = self._seconds or time.perf_counter() - self._started
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def speed(self) -> str:
        """Rows and rows a second of all processes."""
        speed = self._total / max(self._seconds, 1e-9)
        return f"{plural(self._total, 'row')} in {self._seconds:.1f} s, {speed:,.0f} rows/s"
