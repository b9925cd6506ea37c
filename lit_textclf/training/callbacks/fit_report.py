"""Prints the progress of `fit`, one line per epoch, and keeps the metrics of the best epoch."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from lit_textclf.classifier.metrics.table import monitor_of, shown_in
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.labels.table import Task
from lit_textclf.data.trainer import data_module_of
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.skill import MIN_ROWS
from lit_textclf.training.callbacks.checkpoints import best_checkpoint
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from lit_textclf.utils.messages import UserError, agree, duration, note, plural


class EpochReport(Callback):
    """Prints a summary of the run, then a line per epoch; keeps the best epoch's metrics and the speed.

    Args:
        collected: has the outcomes of each validation; called before this callback.
        continues: whether the run resumes in its own folder, with the best epoch so far.

    Attributes:
        best: the best epoch's metrics.
        best_evaluation: its evaluation; None if the epoch ended before this process began.
        best_epoch: its number, from 1; 0 if it ended before this process began.
        rows: rows that this process has trained on; `tokens`, `positions` (tokens and padding) and `steps` count these.
        training_seconds: duration of training, without validation.
        baselines: metrics of baselines, for `metrics.json`; set by the callback that measures them.
    """

    def __init__(self, collected: CollectOutcomes, *, continues: bool = False) -> None:
        self.collected, self.continues = collected, continues
        self.best_evaluation: Evaluation | None = None
        self.best_epoch = 0
        self._plan: dict[str, int] = {}
        self._saved_plan: dict[str, int] = {}
        self.best: dict[str, float] = {}
        self.baselines: dict[str, float] = {}
        self._seconds: float | None = None
        self.rows = self.tokens = self.positions = self.steps = 0
        self.training_seconds = 0.0
        self._started = self._train_started = self._batch_started = time.perf_counter()

    @property
    def state_key(self) -> str:
        """The key of this callback's state in checkpoints: the class's name in version 0.1.0."""
        return "FitReport"

    def state_dict(self) -> dict[str, Any]:
        """The best epoch's metrics, the batch size and the number of steps, to resume with."""
        return {"best": dict(self.best), "plan": dict(self._plan)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        if self.continues:
            self.best = dict(state_dict["best"])
        self._saved_plan = dict(state_dict["plan"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock, which does not count what is measured and drawn afterwards."""
        self._seconds = time.perf_counter() - self._started

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the summary of the run.

        Raises:
            UserError: if the schedule of a resumed run has no steps left.
        """
        assert isinstance(pl_module, TextClassifier)
        self._train_started = time.perf_counter()
        data = data_module_of(trainer)
        assert isinstance(data, TextDataModule)
        parameters = sum(parameter.numel() for parameter in pl_module.parameters())
        budget = data.max_tokens_per_batch
        batches = trainer.accumulate_grad_batches * trainer.world_size
        of_step = (data.batch_size if budget is None else budget) * batches
        batch = plural(of_step, "row") if budget is None else f"up to {plural(of_step, 'token')}"
        total = trainer.estimated_stepping_batches
        steps = plural(int(total), "step") if total < math.inf else "steps without an end"
        note(
            f"fit: {data.summary()}; {type(pl_module.model).__name__} of {parameters / 1e6:.1f} M parameters; "
            f"{trainer.precision} on {trainer.num_devices} {pl_module.device.type}; "
            f"{steps} of {batch} (learning rate "
            f"{pl_module.learning_rate:g})"
        )
        self._plan = {"batch_size": data.batch_size, "steps": int(total) if total < math.inf else -1}
        if self._saved_plan and self._saved_plan != self._plan:
            then, now = self._saved_plan, self._plan
            if 0 <= now["steps"] <= trainer.global_step:
                raise UserError(
                    f"{trainer.global_step} steps are done, and the schedule has only {now['steps']}: the learning "
                    f"rate would be 0; it had {then['steps']} steps of {then['batch_size']} rows, now of "
                    f"{now['batch_size']}; raise trainer.max_epochs, or resume with the same rows and data.batch_size"
                )
            note(
                f"schedule: {then['steps']:,} steps of {plural(then['batch_size'], 'row')} in the checkpoint, "
                f"{now['steps']:,} of {now['batch_size']} now"
            )
        if "validation" not in data.rows:
            note("no validation rows: best.ckpt will be the same as last.ckpt (data.validation_file or _split)")
        elif (rows := len(data.rows["validation"])) < MIN_ROWS:
            verb = agree(rows, "chooses", "choose")
            note(f"validation: {plural(rows, 'row')} {verb} best.ckpt little better than chance")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the training clock, which does not count validation."""
        self._batch_started = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Counts rows and tokens."""
        self.rows += len(batch["row"])
        self.tokens += batch["tokens"]
        self.positions += batch["inputs"]["input_ids"].numel()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the time to load the batch and train on it."""
        now = time.perf_counter()
        self.steps += 1
        self.training_seconds += now - self._batch_started
        self._batch_started = now

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the epoch's line, if it has no validation."""
        if not sum(trainer.num_val_batches):
            loss = float(trainer.callback_metrics.get("train_loss", float("nan")))
            self._note_epoch(trainer, f"train_loss {loss:.4f}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keeps the best epoch's metrics and prints this epoch's line."""
        self._batch_started = time.perf_counter()
        assert isinstance(pl_module, TextClassifier)
        assert pl_module.target is not None
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = stage_metrics(trainer, "val_")
        if self._is_best(trainer, pl_module.target.task, values):
            self.best, self.best_evaluation = values, self.collected.evaluation(pl_module)
            self.best_epoch = trainer.current_epoch + 1
        loss = trainer.callback_metrics.get("train_loss")
        shown = {"train_loss": float(loss)} if loss is not None else {}
        names = [f"val_{name}" for name in shown_in("epoch_line")]
        shown |= {name: values[name] for name in names if name in values}
        line = ", ".join(f"{name} {value:.4f}" for name, value in shown.items())
        self._note_epoch(trainer, line)

    def _is_best(self, trainer: pl.Trainer, task: Task, values: dict[str, float]) -> bool:
        """Whether `best.ckpt` will be written for this epoch; without it, whether the monitored metric has improved."""
        monitor, mode = monitor_of(task)
        if (best := best_checkpoint(trainer)) is not None:
            return best.check_monitor_top_k(trainer, trainer.callback_metrics[monitor])
        sign = 1 if mode == "max" else -1
        return not self.best or sign * values[monitor] > sign * self.best[monitor]

    @property
    def speed(self) -> tuple[float, float]:
        """Rows and tokens per second of training, of this process."""
        seconds = max(self.training_seconds, 1e-9)
        return self.rows / seconds, self.tokens / seconds

    def seconds_left(self, trainer: pl.Trainer) -> float | None:
        """Seconds until training ends at the speed so far, including validation; None if it has no end."""
        total = trainer.num_training_batches * max(0, trainer.max_epochs or 0)
        if trainer.max_steps > 0:
            total = min(total or math.inf, trainer.max_steps * trainer.accumulate_grad_batches)
        done = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        if not self.steps or not 0 < total < math.inf:
            return None
        return (time.perf_counter() - self._train_started) / self.steps * max(0.0, total - done)

    def _note_epoch(self, trainer: pl.Trainer, metrics: str) -> None:
        rows, tokens = self.speed
        left = self.seconds_left(trainer)
        rest = f"; {duration(left)} left" if left else ""
        note(
            f"{epoch_of(trainer)}: {metrics}; {rows:,.0f} rows/s, "
            f"{tokens:,.0f} tokens/s, {self._padding():.1%} padding{rest}"
        )

    def _padding(self) -> float:
        return 1 - self.tokens / max(1, self.positions)

    def metrics(self, trainer: pl.Trainer) -> dict[str, float]:
        """The best epoch's validation metrics, epochs, seconds, speed and baselines, as `metrics.json` has them."""
        rows, tokens = self.speed
        return {
            **self.best,
            "epochs": trainer.current_epoch,
            "seconds": self._seconds or time.perf_counter() - self._started,
            "rows_per_second": rows,
            "tokens_per_second": tokens,
            "padding_share": self._padding(),
            **self.baselines,
        }


def epoch_of(trainer: pl.Trainer) -> str:
    """The number of the epoch, from 1, as `epoch 2 of 3`; without the last one where training has no end."""
    of = f" of {trainer.max_epochs}" if (trainer.max_epochs or 0) > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{of}"


def stage_metrics(trainer: pl.Trainer, prefix: str) -> dict[str, float]:
    """The logged metrics whose names have this prefix."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}
