"""The options of `model.*`, and checks of their values, made before anything is read."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from lit_textclf.classifier.inference.calibration import check_threshold_for
from lit_textclf.data.tokens.long_text import Pooling
from lit_textclf.models.config import DEFAULT_MODEL, PoolingOption
from lit_textclf.utils.messages import UserError, did_you_mean

if TYPE_CHECKING:
    from lit_textclf.classifier.inference.calibration import Calibration
    from lit_textclf.data.labels.target import Target
    from lit_textclf.data.tokens.tokenizer import TextTokenizer

HeadInit = Literal["auto", "random", "probe"]
CARRIED = ("target", "calibration", "architecture", "tokenizer")
"""The arguments of :class:`TextClassifier` that a checkpoint supplies; hyper-parameters leave them out."""

CLASSES = ("loss", "optimizer", "lr_scheduler")
"""Options that may name a class of the user's choice."""


class ClassifierOptions:
    """The options of `model.*`, as :class:`TextClassifier` takes them; without Lightning and torch.

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
            does not; auto is probe where the head is new, before which an encoder of single texts learns to read pairs
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
        learning_rate: float | Literal["auto"] = "auto",
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
        tokenizer: TextTokenizer | dict[str, str] | None = None,
    ) -> None:
        options = locals()  # every argument by its name
        super().__init__()
        self.model_name_or_path = os.fspath(model_name_or_path)
        self.tokenizer_name_or_path = None if tokenizer_name_or_path is None else os.fspath(tokenizer_name_or_path)
        self.from_scratch, self.head_init, self.window_pooling = from_scratch, head_init, window_pooling
        self.calibrate, self.threshold_for = calibrate, threshold_for
        self.learning_rate, self.weight_decay, self.warmup_ratio = learning_rate, weight_decay, warmup_ratio
        self.optimizer, self.lr_scheduler, self.layerwise_lr_decay = optimizer, lr_scheduler, layerwise_lr_decay
        self.class_weights, self.label_smoothing, self.loss = class_weights, label_smoothing, loss
        self._take_over(options)

    def _take_over(self, options: Mapping[str, Any]) -> None:
        """Called at the end of the construction, for what a derived class does with the arguments by name."""


def check_options(options: Mapping[str, Any], *, has_tokenizer: bool) -> None:
    """Refuses values of `model.*`.

    Args:
        options: the classifier's options by name.
        has_tokenizer: whether a checkpoint or the caller supplies the tokenizer.

    Raises:
        UserError: naming the first wrong one.
    """
    from lit_textclf.classifier.losses import check_loss  # these import torch
    from lit_textclf.classifier.metrics.stage import check_metrics
    from lit_textclf.classifier.optimizer import check_classes

    _check_numbers(options)
    check_classes(options)
    check_loss(options["loss"], options["class_weights"], options["label_smoothing"])
    _check_freeze(options["freeze"])
    decay = options["layerwise_lr_decay"]
    if decay is not None and not 0 < decay <= 1:
        raise UserError(f"model.layerwise_lr_decay {decay}: must be more than 0 and at most 1")
    if options["lora"] is not None:
        _check_lora(options["lora"], options["freeze"])
    if (init := options["head_init"]) not in get_args(HeadInit):
        raise UserError(f"model.head_init {init!r}: must be one of {', '.join(get_args(HeadInit))}")
    check_threshold_for(options["threshold_for"])
    check_metrics(options["metrics"])
    if options["from_scratch"] is not None and options["tokenizer_name_or_path"] is None and not has_tokenizer:
        raise UserError(
            "model.from_scratch needs model.tokenizer_name_or_path: a tokenizer, or a folder with a vocab.txt"
        )


def _check_numbers(options: Mapping[str, Any]) -> None:
    dropout, rate = options["dropout"], options["learning_rate"]
    for name, rule, is_right in (
        ("learning_rate", "must be auto or a positive number", rate == "auto" or 0 < rate < math.inf),
        ("weight_decay", "must be 0 or more", options["weight_decay"] >= 0),
        ("warmup_ratio", "must be from 0 to 1", 0 <= options["warmup_ratio"] <= 1),
        ("dropout", "must be from 0 to below 1", dropout is None or 0 <= dropout < 1),
        ("label_smoothing", "must be from 0 to below 1", 0 <= options["label_smoothing"] < 1),
    ):
        if not is_right:
            raise UserError(f"model.{name} {options[name]}: {rule}")


def _check_freeze(freeze: Any) -> None:
    if isinstance(freeze, bool) or (freeze != "embeddings" and not isinstance(freeze, int | None)):
        raise UserError(f"model.freeze {freeze!r}: must be embeddings, a number of layers, or null")
    if isinstance(freeze, int) and freeze < 0:
        raise UserError(f"model.freeze {freeze}: must be 0 or more")


def _check_lora(lora: Mapping[str, Any], freeze: int | str | None) -> None:
    from lit_textclf.models.adapters import LORA

    if freeze is not None:
        raise UserError("model.freeze and model.lora: LoRA already freezes embeddings and layers; remove model.freeze")
    if unknown := [str(name) for name in lora if name not in LORA]:
        raise UserError(
            f"model.lora has no {unknown[0]!r}{did_you_mean(unknown[0], LORA)}; there are {', '.join(LORA)}"
        )
    values = {**LORA, **lora}
    names = values["target_modules"]
    names = [names] if isinstance(names, str) else names
    for name, rule, is_right in (
        ("r", "a whole number from 1 on", _is_number(values["r"], int) and values["r"] >= 1),
        ("alpha", "a number above 0", _is_number(values["alpha"]) and 0 < values["alpha"] < math.inf),
        ("dropout", "a number from 0 to below 1", _is_number(values["dropout"]) and 0 <= values["dropout"] < 1),
        ("target_modules", "a list of names of linear layers, or all-linear",
         names is None or (isinstance(names, list) and names and all(isinstance(name, str) for name in names))),
    ):  # fmt: skip
        if not is_right:
            raise UserError(f"model.lora: {name} {values[name]!r}: must be {rule}")
    if importlib.util.find_spec("peft") is None:
        raise UserError("model.lora needs peft, which is not installed: pip install 'lit-textclf[lora]'")


def _is_number(value: Any, kind: Any = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
