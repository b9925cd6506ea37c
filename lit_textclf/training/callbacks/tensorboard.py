"""Gives loggers figures, speed and results besides the metrics; and TensorBoard charts, curves, errors and options."""

from __future__ import annotations

import io
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from PIL import Image
from torch import Tensor, nn

from lit_textclf.classifier.metrics.table import charts_of
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.data.batches.collate import pool
from lit_textclf.data.trainer import data_module_of
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.curves import average_precision, curves
from lit_textclf.evaluation.report.figures import FIGURES
from lit_textclf.evaluation.worst_errors import describe_row, markdown_table, worst_errors
from lit_textclf.models.layers import last_linear
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from lit_textclf.training.callbacks.fit_report import EpochReport
from lit_textclf.training.config import TensorBoardOptions as TensorBoardOptions  # of this module, for Python code
from lit_textclf.utils.messages import first_line, note, plural

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


_DATA_OPTIONS = ("max_length", "batch_size", "max_tokens_per_batch")


class ShowInTensorBoard(Callback):
    """Writes figures, speed and results to all loggers, and everything else to the first TensorBoardLogger.

    Args:
        options: select what to write.
        collected: has the outcomes of the last validation or test.
        report: has the counts and metrics of `fit`; None for other commands.
        config: the file with all options of the run, shown as text.
    """

    def __init__(
        self, options: TensorBoardOptions, collected: CollectOutcomes, report: EpochReport | None, config: Path
    ) -> None:
        self.options, self.collected, self.report, self.config = options, collected, report, config
        self._counted = (0, 0, 0, 0.0)
        self._epoch = 0
        self._embeddings = _Embeddings(options.embeddings)

    # While it runs ----------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the layout of the charts, and the options."""
        if (writer := _writer(trainer)) is None:
            return
        assert isinstance(pl_module, TextClassifier)
        assert pl_module.target is not None
        quality = {
            title: ["Multiline", [f"^val_{name}$" for name in names]]
            for title, names in charts_of(pl_module.target.task).items()
        }
        # Charts by group, each with patterns for names of logged metrics.
        writer.add_custom_scalars(
            {
                "loss": {"training and validation loss": ["Multiline", ["^train_loss$", "^val_loss$"]]},
                "quality": quality,
                "speed": {
                    "tokens a second": ["Multiline", ["^speed/tokens_per_second$"]],
                    "padding share": ["Multiline", ["^speed/padding_share$"]],
                    "learning rate": ["Multiline", ["^lr"]],
                },
            }
        )
        if self.config.is_file():
            text = self.config.read_text(encoding="utf-8")
            writer.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()), _step(trainer))
        writer.flush()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the epoch's speed."""
        if (report := self.report) is None:
            return
        now = (report.rows, report.tokens, report.positions, report.training_seconds)
        rows, tokens, positions, seconds = (new - old for new, old in zip(now, self._counted, strict=True))
        self._counted = now
        speed = {
            "speed/tokens_per_second": tokens / max(seconds, 1e-9),
            "speed/rows_per_second": rows / max(seconds, 1e-9),
            "speed/padding_share": 1 - tokens / max(1, positions),
        }
        for logger in trainer.loggers:
            logger.log_metrics(speed, _step(trainer))

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts to keep embeddings."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking and _writer(trainer) is not None:
            self._embeddings.begin(pl_module)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keeps a batch's embeddings."""
        self._embeddings.add(batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops keeping embeddings, and records the epoch of the outcomes."""
        self._embeddings.end()
        if not trainer.sanity_checking:
            self._epoch = trainer.current_epoch + 1

    # At the end -------------------------------------------------------------------------------------------------------

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws the best validation, and writes the run's options with its results."""
        if not trainer.is_global_zero or self.report is None or not self.report.rows:
            return
        assert isinstance(pl_module, TextClassifier)
        last = self.collected.evaluation(pl_module)
        evaluation, epoch = self.report.best_evaluation, self.report.best_epoch  # of best.ckpt and the results below
        if evaluation is None:
            evaluation, epoch = last, self._epoch
        self._show(trainer, evaluation, f" after epoch {epoch}")
        writer = _writer(trainer)
        if writer is not None and self.options.graph:
            write_graph(writer, pl_module, trainer)
        if writer is not None and self.options.embeddings and last is not None:
            self._embeddings.write(writer, last, _step(trainer))
        metrics = self.report.metrics(trainer)
        finite = {f"results/{name}": value for name, value in metrics.items() if math.isfinite(value)}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(plain_options(trainer, pl_module), finite, _step(trainer))
                logger.experiment.flush()
            else:
                logger.log_metrics(finite, _step(trainer))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draws what `validate` or `test` measured."""
        if trainer.state.fn != "fit" and trainer.is_global_zero:
            self._show(trainer, self.collected.evaluation(pl_module), "")

    on_test_end = on_validation_end

    def _show(self, trainer: pl.Trainer, evaluation: Evaluation | None, when: str) -> None:
        """Writes the figures to the loggers that take images, and curves and errors to TensorBoard."""
        writer, step = _writer(trainer), _step(trainer)
        takers = [takes for logger in trainer.loggers if (takes := image_method(logger)) is not None]
        if evaluation is None or not self.options.figures or not takers:
            return
        started = time.perf_counter()
        drawn = {kind.name: image for kind in FIGURES if (image := kind.image(evaluation)) is not None}
        for name, image in drawn.items():
            for takes in takers:
                takes(f"{evaluation.split}/{name}", Image.open(io.BytesIO(image)).convert("RGB"), step)
        if writer is not None:
            write_evaluation(writer, evaluation, step)
            writer.flush()
        seconds = time.perf_counter() - started
        where = "loggers" if writer is None else "tensorboard"
        note(f"{where}: {plural(len(drawn), 'figure')} of the {evaluation.split}{when} in {seconds:.1f} s")


def _writer(trainer: pl.Trainer) -> SummaryWriter | None:
    """TensorBoard's writer, on rank 0, of the first TensorBoardLogger."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return loggers[0].experiment if loggers and trainer.is_global_zero else None


def image_method(logger: Logger) -> Callable[[str, Image.Image, int], None] | None:
    """What writes an image under a name at a step to a logger; None if the logger takes no images.

    Lightning's loggers with a `log_image`, such as W&B's, have its signature `(key, images, step)`.
    """
    if isinstance(logger, TensorBoardLogger):
        return lambda name, image, step: logger.experiment.add_image(name, np.asarray(image), step, dataformats="HWC")
    if (log_image := getattr(logger, "log_image", None)) is not None:
        return lambda name, image, step: log_image(key=name, images=[image], step=step)
    if isinstance(logger, MLFlowLogger):
        return lambda name, image, _: logger.experiment.log_image(logger.run_id, image, f"{name}.png")
    return None


def _step(trainer: pl.Trainer) -> int:
    """The step at which Lightning logs metrics now."""
    return max(0, trainer.global_step - 1)


def plain_options(trainer: pl.Trainer, classifier: TextClassifier) -> dict[str, str | float]:
    """The options for TensorBoard's HParams, flat, each a string or a number; null options are left out."""
    data: Any = data_module_of(trainer)
    # These change the speed, not the results.
    names = classifier.hparams.keys() - {"fast_kernels", "compile"}
    options: dict[str, Any] = {f"model.{name}": classifier.hparams[name] for name in sorted(names)}
    options |= {f"data.{name}": getattr(data, name) for name in _DATA_OPTIONS}
    options |= {"data.long_text": data.long_text.mode, "data.train_rows": len(data.rows["train"])}
    options |= {
        "trainer.max_epochs": trainer.max_epochs, "trainer.precision": trainer.precision,
        "trainer.accumulate_grad_batches": trainer.accumulate_grad_batches, "trainer.world_size": trainer.world_size,
        "seed_everything": int(os.environ.get("PL_GLOBAL_SEED", "0")),
    }  # fmt: skip
    return {name: _plain(value) for name, value in options.items() if value is not None}


def _plain(value: Any) -> str | float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return json.dumps(value, default=str)
    return value


# Curves, graph, embeddings --------------------------------------------------------------------------------------------
def write_evaluation(writer: SummaryWriter, evaluation: Evaluation, step: int) -> None:
    """Writes curves, histograms and the worst errors."""
    group = evaluation.split
    histograms = {"tokens_of_a_row": evaluation.outcomes.lengths}
    if (found := evaluation.without_thresholds.decisions) is not None:
        for curve in curves(evaluation, average_precision)[0]:
            writer.add_pr_curve(f"{group}/{curve.name}", curve.true, curve.scores, step)
        histograms |= {"scores_of_right": found.score[found.right], "scores_of_wrong": found.score[~found.right]}
    for name, values in histograms.items():
        if len(values):
            writer.add_histogram(f"{group}/{name}", values, step, bins=30)
    errors = worst_errors(evaluation)
    writer.add_text(f"{group}/worst_errors", markdown_table(errors) if errors else "no row is wrong", step)


class _Graph(nn.Module):
    """A model that takes its inputs by position, as the tracer passes them."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def write_graph(writer: SummaryWriter, classifier: TextClassifier, trainer: pl.Trainer) -> None:
    """Writes the model's graph, traced with a training batch of one row."""
    data: Any = data_module_of(trainer)
    assert classifier.model is not None
    batch = data.train_dataloader().collate_fn([data.encoded["train"][0]])
    inputs: Mapping[str, Tensor] = {name: part.to(classifier.device) for name, part in batch["inputs"].items()}
    training = classifier.training
    try:
        with warnings.catch_warnings():
            # torch 2.13 uses a deprecated tracer for TensorBoard, which reads every attribute of the model, including
            # deprecated ones of transformers 5.23. Shapes may become constants here.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
            writer.add_graph(_Graph(classifier.model.eval(), list(inputs)), tuple(inputs.values()))
    except RuntimeError as error:
        note(f"tensorboard.graph: no graph written: the model cannot be traced ({first_line(error)})")
    finally:
        classifier.train(training)


class _Embeddings:
    """The inputs of the last layer for the first `texts` validation rows."""

    def __init__(self, texts: int) -> None:
        self.texts = texts
        self._hook: Any = None
        self._read: Tensor | None = None
        self._rows: dict[int, Tensor] = {}

    def begin(self, classifier: pl.LightningModule) -> None:
        assert isinstance(classifier, TextClassifier)
        assert classifier.model is not None
        assert classifier.target is not None
        head = last_linear(classifier.model, classifier.target.num_outputs)
        if self.texts and head is not None:
            self._rows = {}
            self._hook = head.register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._read = inputs[0].detach().float().cpu()

    def add(self, batch: Any) -> None:
        """Adds the layer's inputs for a batch, averaged over the windows of each document."""
        read, self._read = self._read, None
        if self._hook is None or read is None or read.ndim != 2:
            return
        read = pool(read, batch["windows"].cpu(), "mean") if "windows" in batch else read
        self._rows |= {row: vector for row, vector in zip(batch["row"].tolist(), read, strict=True) if row < self.texts}

    def end(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def write(self, writer: SummaryWriter, evaluation: Evaluation, step: int) -> None:
        if not self._rows:
            note("tensorboard: no embeddings written: this model's head does not read one vector per text")
            return
        rows = sorted(self._rows)
        vectors = torch.stack([self._rows[row] for row in rows])
        writer.add_embedding(
            vectors, [list(describe_row(evaluation, row)) for row in rows], global_step=step,
            tag=evaluation.split, metadata_header=["text", "true", "predicted"],
        )  # fmt: skip
        note(f"tensorboard: embeddings of {plural(len(rows), 'text')}")
