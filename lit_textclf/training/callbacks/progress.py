"""How far a run is: a bar on a terminal; without one, a line whenever nothing was printed for a while."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, RichProgressBar

from lit_textclf.training.callbacks.fit_report import EpochReport, epoch_of
from lit_textclf.utils.messages import duration, long_quiet, note, progress

_FEWEST_STEPS = 5
"""Steps before the speed is shown: the first ones are slower."""


class Progress(RichProgressBar):
    """Lightning's progress bar on standard error, with the speed and the time left in the run.

    Args:
        report: counts rows and tokens in `fit`; None for other commands.
        force: whether to draw the bar where standard error is not a terminal, too.
    """

    def __init__(self, report: EpochReport | None = None, *, force: bool = False) -> None:
        super().__init__(console_kwargs={"stderr": True, "force_terminal": force or None})
        self.report = report
        self._shown: dict[str, Any] = {}

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The values next to the bar; within an epoch on a GPU, which waits for them, those of the last logged step."""
        between = trainer.global_step % (trainer.log_every_n_steps or 1) and not trainer.is_last_batch  # type: ignore[attr-defined]
        if between and trainer.training and pl_module.device.type != "cpu":
            return self._shown
        self._shown = self._values(trainer, pl_module)
        return self._shown

    def _values(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        shown: dict[str, Any] = dict(super().get_metrics(trainer, pl_module))
        shown.pop("v_num", None)
        if self.report is None or self.report.steps < _FEWEST_STEPS:
            return shown
        rows, tokens = self.report.speed
        speed = {"rows/s": f"{rows:,.0f}", "tokens/s": f"{tokens:,.0f}"}
        left = self.report.seconds_left(trainer)
        return speed | ({} if left is None else {"left": duration(left)}) | shown


class ProgressLines(Callback):
    """Prints a line where a bar would be, if nothing was printed for a while, so that a log shows signs of life.

    Args:
        report: counts rows and tokens in `fit`; None for other commands.
    """

    def __init__(self, report: EpochReport | None = None) -> None:
        self.report = report
        self._rows, self._started = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Prints the batch, its loss, the speed and the time left."""
        if not long_quiet():
            return
        rate = left = None
        if self.report is not None:
            (rate, _), left = self.report.speed, self.report.seconds_left(trainer)
        loss = trainer.callback_metrics.get("train_loss")
        note(
            f"{epoch_of(trainer)}: {progress(batch_idx + 1, trainer.num_training_batches, 'batch', rate)}"
            f"{'' if loss is None else f', train_loss {float(loss):.4f}'}"
            f"{'' if left is None else f'; {duration(left)} left'}"
        )

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts to count rows."""
        self._rows, self._started = 0, time.perf_counter()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Prints the batch and the speed."""
        self._evaluated(trainer, batch, batch_idx + 1, "validation", trainer.num_val_batches)

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Prints the batch and the speed."""
        self._evaluated(trainer, batch, batch_idx + 1, "test", trainer.num_test_batches)

    def _evaluated(self, trainer: pl.Trainer, batch: Any, done: int, split: str, totals: list[int | float]) -> None:
        self._rows += len(batch["row"])
        if not long_quiet():
            return
        rate = self._rows / max(time.perf_counter() - self._started, 1e-9)
        before = f"{epoch_of(trainer)}: " if trainer.state.fn == "fit" and not trainer.sanity_checking else ""
        note(f"{before}{split}: {progress(done, sum(totals), 'batch', rate)}")
