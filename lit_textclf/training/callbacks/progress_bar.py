"""The progress bar on a terminal, with rows and tokens per second, time left, and the metrics so far."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from lit_textclf.training.callbacks.fit_report import EpochReport

_FEWEST_STEPS = 5
"""Steps before the speed is shown: the first ones are slower."""


class Progress(RichProgressBar):
    """Lightning's progress bar on standard error, with the speed and the time left in the run.

    Args:
        report: counts rows and tokens in `fit`; None for other commands.
    """

    def __init__(self, report: EpochReport | None = None) -> None:
        super().__init__(console_kwargs={"stderr": True})
        self.report = report

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The values next to the bar."""
        shown: dict[str, Any] = dict(super().get_metrics(trainer, pl_module))
        shown.pop("v_num", None)
        if self.report is None or self.report.steps < _FEWEST_STEPS:
            return shown
        rows, tokens = self.report.speed
        speed = {"rows/s": f"{rows:,.0f}", "tokens/s": f"{tokens:,.0f}"}
        left = self.report.seconds_left(trainer)
        return speed | ({} if left is None else {"left": str(timedelta(seconds=round(left)))}) | shown
