"""The classifier: a transformers model with its loss, optimizer and metrics, as a LightningModule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from lit_textclf.classifier.checkpoint import (
    OF_THE_OPTIMIZER,
    WRITTEN_BY,
    carried,
    leave_out_other_data,
    migrate,
    refuse,
    training_keys_of,
    written_by,
)
from lit_textclf.classifier.explanation.explain import GRADIENTS, ExplainsTexts, Method
from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.losses import FiniteLosses, TrainingLoss, class_weights_of
from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.metrics.table import shown_in
from lit_textclf.classifier.network import Network, overridable
from lit_textclf.classifier.optimizer import (
    build,
    include_new_groups,
    load_fewer_groups,
    needs_end,
    step_after_validation,
    take_up_changes,
)
from lit_textclf.classifier.options import ClassifierOptions, check_options
from lit_textclf.classifier.outputs import Evaluated, Prediction, logits_in_order
from lit_textclf.classifier.start.head import start_head
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.batches.collate import Batch, as_batch, as_labelled_batch, as_tensors
from lit_textclf.data.batches.padding import ArrayBatch
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.labels.target import Target
from lit_textclf.data.trainer import data_module_of, keep_target
from lit_textclf.models.adapters import say_what_is_trained
from lit_textclf.utils.messages import UserError

STAGES = ("val", "test", "predict")
_MOST_LOSSES = 100
"""Losses that are kept on a GPU before they are looked at."""


class TextClassifier(ClassifierOptions, Network, ExplainsTexts):
    """A BERT-family model that classifies texts or pairs of texts, or gives them a number.

    Takes the arguments of :class:`ClassifierOptions`.
    """

    def _take_over(self, options: Mapping[str, Any]) -> None:
        self._start(options)
        self.save_hyperparameters()
        check_options(self.hparams, has_tokenizer=options["tokenizer"] is not None)
        calibration = options["calibration"]
        self.calibration = calibration if isinstance(calibration, Calibration) else Calibration.from_dict(calibration)
        self.thresholds: dict[str, float] | None = None
        self._training_loss: TrainingLoss | None = None
        self._loss_counts_data = False
        self.finite_losses = FiniteLosses()
        self.stages: nn.ModuleDict | None = None

    # Building ---------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Passes the target and class counts of the Trainer's data module to :meth:`configure`."""
        keep_target(self.trainer.precision_plugin)
        data = data_module_of(self.trainer)
        self.target = self.target or getattr(data, "target", None)
        if stage == "fit" and self.target is not None and isinstance(data, TextDataModule):
            self.remember(data.hparams, data.state_dict().get("trained_on"))
            self.configure(self.target, data.label_counts("train"), len(data.rows["train"]))
            self._loss_counts_data = True
        elif stage == "fit" and self.target is not None and self._loss_counts_data:  # the rows of an earlier fit
            self.configure(self.target)

    def configure(self, target: Target, class_counts: Mapping[str, int] | None = None, rows: int | None = None) -> None:
        """Sets what is predicted, and the training loss; :meth:`setup` calls it before training.

        In a training loop without a Trainer, call it with the data module's `target` and `label_counts("train")`.

        Args:
            target: task and labels.
            class_counts: training rows by label, for `model.class_weights balanced`.
            rows: number of training rows; None takes the sum of the counts, right if each row has one label.

        Raises:
            UserError: if the class weights, the smoothing or `model.loss` do not fit the labels or cannot be loaded.
        """
        weights = class_weights_of(self.class_weights, target, class_counts, rows)
        self._training_loss = TrainingLoss(target, self.loss, weights, self.label_smoothing)
        self.target, self._loss_counts_data = target, False

    def attach(self, model: nn.Module, origin: str | None = None) -> None:
        """Uses a model to compute the logits, with new metrics; see :meth:`Network.attach`."""
        super().attach(model, origin)
        assert self.target is not None
        self.stages = nn.ModuleDict(
            {stage: StageMetrics(self.target, f"{stage}_", self.hparams["metrics"]) for stage in STAGES}
        )

    # Steps ------------------------------------------------------------------------------------------------------------

    @overridable
    def training_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """One training step.

        Returns:
            The mean loss of the batch, a scalar.

        Raises:
            UserError: if the loss is not finite, see :class:`FiniteLosses`.
        """
        batch = as_labelled_batch(batch)
        logits = self.logits_of(batch)
        assert self.target is not None
        if self._training_loss is None:
            self.configure(self.target)
        assert self._training_loss is not None
        loss = self._training_loss(logits, batch["target"])
        self.finite_losses.add(loss, self.trainer.global_step if self._trainer is not None else batch_idx)
        if self._trainer is not None:
            self.log("train_loss", loss * self._training_loss.unit, prog_bar=True, batch_size=len(batch["target"]))
            if not self._training_loss.is_measured_loss:
                plain = rules_of(self.target).loss(logits.detach(), batch["target"])
                self.log("train_loss_unweighted", plain, batch_size=len(batch["target"]))
        return loss

    @overridable
    def validation_step(self, batch: Batch, batch_idx: int = 0) -> Evaluated:
        """Adds one batch to the validation metrics."""
        return self._evaluate(batch, "val")

    @overridable
    def test_step(self, batch: Batch, batch_idx: int = 0) -> Evaluated:
        """Adds one batch to the test metrics."""
        return self._evaluate(batch, "test")

    @overridable
    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Prediction:
        """Predicts one batch; its logits are raw, see :class:`Calibration`."""
        batch = as_batch(batch)
        return Prediction(batch["row"], self.logits_of(batch))

    def measure(self, stage: str, logits: Tensor, target: Tensor) -> None:
        """Adds rows to the metrics of `val`, `test` or `predict`.

        Args:
            stage: which metrics.
            logits: raw, float32 `(batch, outputs)`.
            target: as in :class:`Batch`.
        """
        assert self.target is not None
        rules, given = rules_of(self.target), None
        if self.thresholds is not None:
            given = rules.decide(self.target, self.calibration.apply(logits), self.thresholds)
        self.stage_metrics(stage).update(logits, target, rules.loss(logits, target), given)

    def stage_metrics(self, stage: str) -> StageMetrics:
        """The metrics of `val`, `test` or `predict`."""
        assert self.stages is not None
        metrics = self.stages[stage]
        assert isinstance(metrics, StageMetrics)
        return metrics

    def _evaluate(self, batch: Batch, stage: str) -> Evaluated:
        batch = as_labelled_batch(batch)
        logits = self.logits_of(batch)
        self.measure(stage, logits, batch["target"])
        if self._trainer is not None:
            shown = {f"val_{name}" for name in shown_in("progress_bar")}
            for name, metric in self.stage_metrics(stage).loggable().items():
                self.log(name, metric, on_step=False, on_epoch=True, prog_bar=name in shown, batch_size=len(logits))
        return Evaluated(row=batch["row"], logits=logits.detach(), target=batch["target"])

    # Optimizer --------------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """AdamW, with the schedule over all optimizer steps of the run.

        A new head is started here, once, as `model.head_init` says: LearningRateFinder, which runs in a callback's
        `on_fit_start`, then tries the model that is trained.
        """
        assert self.model is not None
        steps = self.trainer.estimated_stepping_batches  # also sets trainer.num_training_batches
        say_what_is_trained(self.model, self.build_options.lora, self.build_options.freeze)
        configured = step_after_validation(self.trainer, build(
            self.model, steps=steps, device=self.device, optimizer=self.optimizer, weight_decay=self.weight_decay,
            learning_rate=self.resolve_learning_rate(), layerwise_lr_decay=self.layerwise_lr_decay,
            lr_scheduler=self.lr_scheduler, warmup_ratio=self.warmup_ratio,
        ))  # fmt: skip
        if self.starts_head and self.trainer.ckpt_path is None:  # which takes time: mistakes in the options come first
            start_head(self, data_module_of(self.trainer))
        self.starts_head = False
        return configured

    def on_train_start(self) -> None:
        """Applies a learning rate or weight decay that was changed on resume, and reports it."""
        take_up_changes(self.lr_schedulers(), float(self.learning_rate), self.weight_decay)
        every: int = self.trainer.log_every_n_steps or _MOST_LOSSES  # type: ignore[attr-defined]
        self.finite_losses = FiniteLosses(1 if self.device.type == "cpu" else min(every, _MOST_LOSSES))

    def on_validation_start(self) -> None:
        """Looks at the last losses of training."""
        self.finite_losses.look()

    def on_train_end(self) -> None:
        """Looks at the last losses of training."""
        self.finite_losses.look()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Steps the schedule, in which layers that a callback unfroze take part."""
        include_new_groups(scheduler)
        super().lr_scheduler_step(scheduler, metric)

    @property
    def schedule_needs_end(self) -> bool:
        """Whether the learning rate depends on the number of steps of the run."""
        return needs_end(self.lr_scheduler, self.warmup_ratio)

    # Checkpoints ------------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds target, architecture and tokenizer as plain values, so that the checkpoint can be used alone."""
        if self.target is None:
            raise UserError("a checkpoint needs the labels: call fit first, or give TextClassifier a target")
        self.finite_losses.look()  # weights after a step with a loss that is not finite are worth nothing
        checkpoint[WRITTEN_BY] = written_by()
        leave_out_other_data(checkpoint, self)
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = carried(
            {**self.hparams, **self.resolved},
            target=self.target,
            calibration=self.calibration,
            config=self.config,
            tokenizer=self.tokenizer,
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint with other labels or adapters, of a newer version, or without what `fit` resumes."""
        migrate(checkpoint)
        built = self.build_options
        trained = {name: getattr(built, name) for name in ("lora", "freeze", "pooling")}
        trained |= {name: getattr(self, name) for name in ("layerwise_lr_decay", *OF_THE_OPTIMIZER)}
        resumes = self._trainer is not None and self.trainer.state.fn == "fit"
        refuse(checkpoint, self.target, trained, resumes=self.trainer.ckpt_path if resumes else None)
        load_fewer_groups(checkpoint)
        if not resumes:
            self.remember(checkpoint.get("datamodule_hyper_parameters", {}), training_keys_of(checkpoint))
        self.calibration = Calibration.from_dict(checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY].get("calibration"))

    def logits_in_order(self, batches: Iterable[ArrayBatch]) -> np.ndarray:
        """Raw logits of the rows of batches, in row order, float32 `(rows, outputs)`; for :meth:`classify`."""
        if self.model is None:
            self.configure_model()
        return logits_in_order(self, map(as_tensors, batches)).numpy()

    @property
    def explanation_methods(self) -> dict[str, Method]:
        """See :meth:`ExplainsTexts.explain`."""
        from lit_textclf.classifier.explanation.gradients import integrated_gradients

        return {GRADIENTS: integrated_gradients, **super().explanation_methods}
