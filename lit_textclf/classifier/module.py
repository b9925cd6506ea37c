"""The classifier: a transformers model with its loss, optimizer and metrics, as a LightningModule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
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
from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.classify import ClassifiesTexts
from lit_textclf.classifier.losses import TrainingLoss, class_weights_of
from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.metrics.table import shown_in
from lit_textclf.classifier.network import HeadInit, Network, overridable
from lit_textclf.classifier.optimizer import (
    LearningRate,
    build,
    include_new_groups,
    load_fewer_groups,
    needs_end,
    step_after_validation,
    take_up_changes,
)
from lit_textclf.classifier.options import check_options
from lit_textclf.classifier.outputs import Evaluated, Prediction, logits_in_order
from lit_textclf.classifier.probe import start_head
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.batches.collate import Batch, as_batch, as_labelled_batch, as_tensors
from lit_textclf.data.batches.padding import ArrayBatch
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.labels.target import Target
from lit_textclf.data.tokens.long_text import Pooling
from lit_textclf.data.tokens.tokenizer import tokenizer_from_files
from lit_textclf.data.trainer import data_module_of
from lit_textclf.models.adapters import say_what_is_trained
from lit_textclf.models.build import BuildOptions
from lit_textclf.models.config import DEFAULT_MODEL
from lit_textclf.models.pooling import PoolingOption
from lit_textclf.utils.messages import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

STAGES = ("val", "test", "predict")


class TextClassifier(Network, ClassifiesTexts):
    """A BERT-family model that classifies texts or pairs of texts, or gives them a number.

    Args:
        model_name_or_path: a name on the Hugging Face Hub, a folder, or `package:NAME/PATH`; read only when training
            begins, not with a checkpoint
        tokenizer_name_or_path: a name or path as above, or a folder with only a vocab.txt (WordPiece); null uses the
            model's
        learning_rate: the highest learning rate of AdamW, reached after the warm-up; auto fits the model's width: 1e-4
            for a hidden size of 384, 2.5e-5 for 768
        weight_decay: AdamW's decay of matrices; biases and LayerNorm have none
        warmup_ratio: share of all steps in which the learning rate rises from 0
        lr_scheduler: the schedule after the warm-up, by its name in transformers (linear, cosine, constant, ...); or a
            class path, as {class_path: torch.optim.lr_scheduler.StepLR, init_args: {step_size: 1}}, without warm-up
        optimizer: another optimizer than AdamW, as a class path: torch.optim.SGD, or {class_path: torch.optim.SGD,
            init_args: {momentum: 0.9}}; it needs a learning_rate
        dropout: probability of all dropout layers; null keeps the model's own
        class_weights: weights of the classes in the training loss: balanced (rare classes count as much as frequent
            ones), or {name: weight}; validation and test losses stay unweighted
        label_smoothing: share of each training target that is spread over all classes
        loss: your own training loss, as a class path (my_package.FocalLoss) or {class_path: my_package.FocalLoss,
            init_args: {gamma: 2}}, called with logits (batch, outputs) and targets; val_loss and test_loss stay the
            task's, so that runs can be compared
        window_pooling: with data.long_text window, a document's logits are the mean or the max of its windows' logits
        from_scratch: a BERT configuration (hidden_size, num_hidden_layers, ...) to build with random weights on the
            tokenizer of tokenizer_name_or_path, instead of loading a pretrained model
        fast_kernels: compute the last layer only for the token that the head reads and, on a CPU, replace torch's
            attention and dropout with faster ones (same distribution, same numbers within rounding)
        compile: run the model through torch.compile, with torch's attention and dropout; the first step takes a minute
            or more, so this pays off on a GPU and in long runs
        lora: train LoRA adapters (peft) and the head instead of all weights; {} or any of r (8), alpha (16), dropout
            (0.0) and target_modules (query and value; names, or all-linear); use a learning rate of 1e-4 to 1e-3
        freeze: do not train the embeddings or, with a number, the embeddings and that many encoder layers from the
            bottom; null trains all
        pooling: what the classifier reads of the last layer: mean, max, cls (the first token), or own (the
            architecture's head); auto reads what sentence-transformers trained the model with, else own
        head_init: probe starts the head as a linear model of the frozen encoder, fitted to the training rows, random
            does not; auto is probe where the head is new to a pretrained encoder
        layerwise_lr_decay: multiply the learning rate by this for each encoder layer from the top down, and for the
            embeddings; 0.8 to 0.95 suit small data sets; null uses one rate
        gradient_checkpointing: recompute each layer in the backward pass instead of storing its activations: less
            memory, about a third more time, the same numbers
        calibrate: learn a temperature from the validation rows that makes probabilities match frequencies; it changes
            no predicted label
        threshold_for: what the thresholds of predict --threshold best maximize: f1, or precision=0.9 for the highest
            recall with at least that precision, or recall=0.9 for the highest precision
        metrics: further metrics by name, from torchmetrics or your own: {kappa:
            torchmetrics.classification.MulticlassCohenKappa}, or {class_path: ..., init_args: {...}}; updated with
            probabilities (batch, labels), or values (batch,) for regression, and logged as val_<name>
        target: task and labels; None takes them from the data module when the run begins
        calibration: temperature and thresholds; set by checkpoints
        architecture: the model's configuration as JSON, to build it without the pretrained folder; set by checkpoints
        tokenizer: the tokenizer, or its files as stored in a checkpoint
    """

    def __init__(
        self,
        model_name_or_path: str = DEFAULT_MODEL,
        tokenizer_name_or_path: str | None = None,
        learning_rate: LearningRate = "auto",
        weight_decay: float = 0.01,
        warmup_ratio: float = 0.1,
        lr_scheduler: dict[str, Any] | str = "linear",
        optimizer: dict[str, Any] | str | None = None,
        dropout: float | None = None,
        class_weights: dict[str, float] | str | None = None,
        label_smoothing: float = 0.0,
        loss: dict[str, Any] | str | None = None,
        window_pooling: Pooling = "mean",
        from_scratch: dict[str, Any] | None = None,
        fast_kernels: bool = True,
        compile: bool = False,
        lora: dict[str, Any] | None = None,
        freeze: int | Literal["embeddings"] | None = None,
        pooling: PoolingOption = "auto",
        head_init: HeadInit = "auto",
        layerwise_lr_decay: float | None = None,
        gradient_checkpointing: bool = False,
        calibrate: bool = True,
        threshold_for: str = "f1",
        metrics: dict[str, str | dict[str, Any]] | None = None,
        target: Target | Mapping[str, Any] | None = None,
        calibration: Calibration | Mapping[str, Any] | None = None,
        architecture: str | None = None,
        tokenizer: PreTrainedTokenizerFast | dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            BuildOptions(dropout, compile, fast_kernels, lora, freeze, gradient_checkpointing, pooling),
            model_name_or_path=model_name_or_path,
            tokenizer_name_or_path=tokenizer_name_or_path,
            from_scratch=from_scratch,
            head_init=head_init,
            window_pooling=window_pooling,
            target=Target.from_dict(target) if isinstance(target, Mapping) else target,
            architecture=architecture,
            tokenizer=tokenizer_from_files(tokenizer) if isinstance(tokenizer, dict) else tokenizer,
        )
        self.save_hyperparameters()
        check_options(self.hparams, has_tokenizer=tokenizer is not None)
        self.calibrate, self.threshold_for = calibrate, threshold_for
        self.calibration = calibration if isinstance(calibration, Calibration) else Calibration.from_dict(calibration)
        self.thresholds: dict[str, float] | None = None
        self.learning_rate, self.weight_decay, self.warmup_ratio = learning_rate, weight_decay, warmup_ratio
        self.optimizer, self.lr_scheduler, self.layerwise_lr_decay = optimizer, lr_scheduler, layerwise_lr_decay
        self.class_weights, self.label_smoothing, self.loss = class_weights, label_smoothing, loss
        self._training_loss: TrainingLoss | None = None
        self._loss_counts_data = False
        self.stages: nn.ModuleDict | None = None

    # Building ---------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Passes the target and class counts of the Trainer's data module to :meth:`configure`."""
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
            UserError: if the loss is not finite.
        """
        batch = as_labelled_batch(batch)
        logits = self.logits_of(batch)
        assert self.target is not None
        if self._training_loss is None:
            self.configure(self.target)
        assert self._training_loss is not None
        loss = self._training_loss(logits, batch["target"])
        if not torch.isfinite(loss):
            step = self.trainer.global_step if self._trainer is not None else batch_idx
            remedy = "lower model.learning_rate or set trainer.precision to 32-true"
            raise UserError(f"the loss of step {step} is {loss.item()}; {remedy}")
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
