"""What a run says of itself: its head line, a line an epoch, tables and `metrics.json`."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.console import Console
from rich.table import Table

from lit_textclf.classifier import TextClassifier
from lit_textclf.data import TextDataModule
from lit_textclf.errors import count, say


class FitReport(Callback):
    """Says what was chosen, then a line an epoch; keeps the best epoch's metrics and the speed.

    Args:
        quiet: no epoch lines, where a progress bar shows the same.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.best: dict[str, float] = {}
        self.rows = self.tokens = 0
        self.training_seconds = 0.0
        self._started = self._batch_started = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """The best epoch's metrics, to go on with after a resume."""
        return {"best": dict(self.best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.best = dict(state_dict["best"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Says what was chosen, in one line."""
        assert isinstance(pl_module, TextClassifier)
        data: TextDataModule = trainer.datamodule  # type: ignore[attr-defined]
        parameters = sum(parameter.numel() for parameter in pl_module.parameters())
        say(
            f"fit: {data.summary()}; {type(pl_module.model).__name__} of {parameters / 1e6:.1f} M parameters; "
            f"{trainer.precision} on {trainer.num_devices} {pl_module.device.type}; "
            f"{count(int(trainer.estimated_stepping_batches), 'step')} of {count(data.batch_size, 'row')}"
        )
        if "validation" not in data.rows:
            say("no validation rows: best.ckpt will be the same as last.ckpt (data.validation_file or _split)")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Counts rows and tokens."""
        self._batch_started = time.perf_counter()
        self.rows += len(batch["row"])
        self.tokens += batch["tokens"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the batch's seconds."""
        self.training_seconds += time.perf_counter() - self._batch_started

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keeps the best epoch's metrics and says this one's."""
        assert isinstance(pl_module, TextClassifier)
        assert pl_module.target is not None
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = stage_metrics(trainer, "val_")
        monitor, mode = pl_module.target.monitor
        sign = 1 if mode == "max" else -1
        if not self.best or sign * values[monitor] > sign * self.best[monitor]:
            self.best = values
        if not self.quiet:
            loss = trainer.callback_metrics.get("train_loss")
            shown = {"train_loss": float(loss)} if loss is not None else {}
            shown |= {
                name: values[name]
                for name in ("val_loss", "val_accuracy", "val_f1_macro", "val_pearson")
                if name in values
            }
            line = ", ".join(f"{name} {value:.4f}" for name, value in shown.items())
            say(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {line}; {self._speed()}")

    def _speed(self) -> str:
        seconds = max(self.training_seconds, 1e-9)
        return f"{self.rows / seconds:,.0f} rows/s, {self.tokens / seconds:,.0f} tokens/s"

    def metrics(self, trainer: pl.Trainer) -> dict[str, float]:
        """The best epoch's validation metrics, epochs, seconds and speed, as `metrics.json` has them."""
        seconds = max(self.training_seconds, 1e-9)
        return {
            **self.best,
            "epochs": trainer.current_epoch,
            "seconds": time.perf_counter() - self._started,
            "rows_per_second": self.rows / seconds,
            "tokens_per_second": self.tokens / seconds,
        }


class SayStopped(Callback):
    """Says that a signal stopped the run, where, and how to go on: Lightning ends without a word."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Says it for Ctrl-C and SIGTERM; errors speak for themselves."""
        if not isinstance(exception, (KeyboardInterrupt, SIGTERMException)):
            return
        name = "SIGTERM" if isinstance(exception, SIGTERMException) else "Ctrl-C"
        if trainer.state.fn != "fit":
            say(f"{trainer.state.fn} was stopped by {name}; nothing was written")
            return
        saved = [path for path in _checkpoint_paths(trainer) if path.name == "last.ckpt"]
        further = (
            f"go on from the last epoch's end with --ckpt_path {saved[0]}" if saved else "no checkpoint was saved yet"
        )
        step = f"step {trainer.global_step:,} of {trainer.estimated_stepping_batches:,}"
        say(f"fit was stopped by {name} at {step}; {further}")

    def on_predict_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stops at SIGTERM, which Lightning heeds only while it trains."""
        if trainer.received_sigterm:
            raise SIGTERMException

    def on_test_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Likewise."""
        self.on_predict_batch_start(trainer)


def _checkpoint_paths(trainer: pl.Trainer) -> list[Path]:
    callbacks: list[Any] = trainer.checkpoint_callbacks  # type: ignore[assignment]
    paths = [Path(callback.best_model_path) for callback in callbacks if getattr(callback, "best_model_path", "")]
    return [path for path in paths if path.is_file()]


def stage_metrics(trainer: pl.Trainer, prefix: str) -> dict[str, float]:
    """The metrics that were logged under names with this prefix."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}


def write_metrics(metrics: dict[str, float], folder: Path) -> Path:
    """Writes `metrics.json`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path, temporary = folder / "metrics.json", folder / ".metrics.json.part"
    # JSON has no NaN: the area under the curve of rows that all have one label is null.
    values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def same_as_last(best: Path, last: Path) -> None:
    """Makes `best.ckpt` a copy of `last.ckpt`, where there was nothing to choose the best by."""
    temporary = best.with_suffix(".part")
    shutil.copyfile(last, temporary)
    os.replace(temporary, best)


def print_table(metrics: dict[str, float], title: str) -> None:
    """Prints metrics as a table on standard output."""
    print(title)
    table = Table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    Console().print(table)
