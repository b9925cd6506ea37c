"""The network inside the classifier: its configuration, its tokenizer, building it, and its logits."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning, Callback, ModelPruning, WeightAveraging
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from lightning.pytorch.trainer.states import TrainerFn, TrainerStatus
from torch import Tensor, nn

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.optimizer import learning_rate_for
from lit_textclf.classifier.options import CARRIED, HeadInit
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.data.batches.collate import Batch, as_batch, pool
from lit_textclf.data.labels.target import Target
from lit_textclf.data.options import READS_TEXT
from lit_textclf.data.tokens.long_text import Pooling
from lit_textclf.data.tokens.tokenizer import load_tokenizer, tokenizer_from_files
from lit_textclf.data.trainer import data_module_of
from lit_textclf.models.build import BuildOptions, build_model, scratch_config
from lit_textclf.models.config import config_from_json, load_config, max_positions
from lit_textclf.models.last_layer import shortcut
from lit_textclf.utils.messages import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast


def overridable(step: Callable[..., Any]) -> Callable[..., Any]:
    """Declares a step as Lightning does: type checkers accept an override such as `(self, batch, batch_idx)`."""
    return step


_LEARNED = "learned"
"""The key, in the state dict that a process hands back, of what the classifier has learned besides the weights."""
_NEED_LAYERS = (BaseFinetuning, ModelPruning, WeightAveraging)


class BuildFirst(Callback):
    """Builds the network before the `setup` of the callbacks after it; Lightning would build it later."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Builds it as Lightning does (lightning 2.6.6, `trainer/call.py`)."""
        strategy = trainer.strategy
        with (
            strategy.tensor_init_context(),
            strategy.model_sharded_context(),
            strategy.precision_plugin.module_init_context(),
        ):
            pl_module.configure_model()


def _hands_back(trainer: Trainer) -> bool:
    """Whether this process was started for a fit that is done, and its main process waits for the result."""
    started = isinstance(trainer.strategy.launcher, _MultiProcessingLauncher) and torch.distributed.is_initialized()
    return started and trainer.state.fn == TrainerFn.FITTING and trainer.state.status == TrainerStatus.FINISHED


class Network(LightningModule):
    """A transformers model for sequence classification that is built when the target is known.

    Attributes:
        starts_head: whether the head is still to be started by a probe.
        probe: what has started the head in this process, see :mod:`lit_textclf.classifier.start`; None if nothing has.
        origin: identifies a model that comes from no checkpoint.
        trained_with: how the training rows were read, by the names of :data:`READS_TEXT`; empty if it is not known.
        trained_on: the keys of these rows, int64 `(texts,)`; None if they are not known.
    """

    model_name_or_path: str
    tokenizer_name_or_path: str | None
    from_scratch: dict[str, Any] | None
    head_init: HeadInit
    window_pooling: Pooling
    learning_rate: float | Literal["auto"]
    calibration: Calibration

    def _start(self, options: Mapping[str, Any]) -> None:
        """Takes over from the classifier's options, by name, what the network and its tokenizer depend on."""
        target, tokenizer, architecture = options["target"], options["tokenizer"], options["architecture"]
        self.build_options = BuildOptions(
            options["dropout"], options["compile"], options["fast_kernels"], options["lora"], options["freeze"],
            options["gradient_checkpointing"], options["pooling"],
        )  # fmt: skip
        self.target: Target | None = Target.from_dict(target) if isinstance(target, Mapping) else target
        self.starts_head = False
        self.probe: tuple[Any, ...] | None = None
        self._config = config_from_json(architecture) if architecture else None
        self.weights_follow = architecture is not None
        self._tokenizer = tokenizer_from_files(tokenizer) if isinstance(tokenizer, dict) else tokenizer
        self.model: nn.Module | None = None
        self.origin: str | None = None
        self.trained_with: dict[str, Any] = {}
        self.trained_on: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        """Raises the error inside a property, where `nn.Module` would say that the property does not exist."""
        found = getattr(type(self), name, None)
        return found.__get__(self) if isinstance(found, property) else super().__getattr__(name)

    @property
    def backbone(self) -> nn.Module:
        """The encoder below the head, by the name that Lightning's `BackboneFinetuning` looks for."""
        if self.model is None:
            self.configure_model()
        assert self.model is not None
        return self.model.base_model  # type: ignore[return-value]

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Sequence[str] | str | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
        **kwargs: Any,
    ) -> None:
        """Lightning's, without what only a checkpoint supplies: a tokenizer does not belong in hparams.yaml."""
        ignored = [ignore] if isinstance(ignore, str) else ignore or []
        frame = frame or inspect.currentframe().f_back  # type: ignore[union-attr]  # of the constructor that calls this
        super().save_hyperparameters(*args, ignore=[*ignored, *CARRIED], frame=frame, logger=logger, **kwargs)

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, loaded when first asked for."""
        if self._tokenizer is None:
            option = "model_name_or_path" if self.tokenizer_name_or_path is None else "tokenizer_name_or_path"
            self._tokenizer = load_tokenizer(getattr(self, option), f"model.{option}")
        return self._tokenizer

    @property
    def config(self) -> PretrainedConfig:
        """The model's configuration, loaded when first asked for."""
        if self._config is None:
            if self.from_scratch is not None:
                self._config = scratch_config(self.from_scratch, self.tokenizer)
            else:
                self._config = load_config(self.model_name_or_path)
        return self._config

    @property
    def max_tokens(self) -> int | None:
        """The longest sequence that the model has positions for, in tokens; None if it knows no limit."""
        # A tokenizer that does not know says 1e30.
        longest = self.tokenizer.model_max_length
        return max_positions(self.config) or (longest if longest < 1e9 else None)

    def configure_model(self) -> None:
        """Builds the model from pretrained weights, or from its configuration if a checkpoint has the weights.

        Raises:
            UserError: if the labels are not known, or the pretrained weights cannot be loaded.
        """
        if self.model is not None:
            return
        if self.target is None and self._trainer is not None:
            self.target = getattr(data_module_of(self.trainer), "target", None)
        if self.target is None:
            raise UserError("the labels are not known: give TextClassifier a target, or train with a TextDataModule")
        random = self.weights_follow or self.from_scratch is not None
        model, self.build_options, is_new = build_model(
            self.config,
            self.tokenizer,
            rules_of(self.target).problem_type,
            self.target.labels,
            pretrained=None if random else self.model_name_or_path,
            options=self.build_options,
            scale=(self.target.label_scale, self.target.label_mean),
            mesh=self.device_mesh,
        )
        starts = {"auto": is_new, "probe": not self.weights_follow, "random": False}
        self.starts_head = starts[self.head_init]
        # from_pretrained returns the model in eval mode, and Lightning would leave it there: no dropout in training.
        self.attach(model.train())

    def configure_callbacks(self) -> list[Callback]:
        """Builds the model before the `setup` of callbacks that look at its layers there, if the target is known."""
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(each, _NEED_LAYERS) for each in callbacks):
            callbacks[:] = [BuildFirst(), *(each for each in callbacks if not isinstance(each, BuildFirst))]
        return []

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights; a spawned or forked process hands them back with everything else that it has learned."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        if self._trainer is not None and _hands_back(self.trainer):
            checkpoint: dict[str, Any] = {}
            self.on_save_checkpoint(checkpoint)
            state[_LEARNED] = checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Takes weights; those that a spawned or forked process hands back make the model that they are for."""
        if (learned := state_dict.get(_LEARNED)) is not None:
            state_dict = {name: value for name, value in state_dict.items() if name != _LEARNED}
            self.take_over(learned)
        return super().load_state_dict(state_dict, strict, assign)

    def remember(self, options: Mapping[str, Any], trained_on: Tensor | None) -> None:
        """Keeps the options of the data module that the model was trained with, and the keys of the rows."""
        self.trained_on = trained_on
        self.trained_with = {name: options[name] for name in READS_TEXT if name in options}

    def resolve_learning_rate(self) -> float:
        """The learning rate, where `auto` becomes that of a model of this width, see :func:`learning_rate_for`."""
        if self.learning_rate == "auto":
            lora, pretrained = self.build_options.lora is not None, self.from_scratch is None
            self.learning_rate = learning_rate_for(self.config.hidden_size, pretrained=pretrained, lora=lora)
        return self.learning_rate

    @property
    def resolved(self) -> dict[str, Any]:
        """The options of which the run decides the value, with that value."""
        built = self.build_options
        return {"learning_rate": self.learning_rate, "lora": built.lora, "pooling": built.pooling}

    def take_over(self, learned: Mapping[str, Any]) -> None:
        """Becomes the classifier whose checkpoint has these `hyper_parameters`, except for its weights."""
        self.target = Target.from_dict(learned["target"])
        self.calibration = Calibration.from_dict(learned["calibration"])
        built = {name: learned[name] for name in ("lora", "pooling")}
        self.build_options, self.learning_rate = replace(self.build_options, **built), learned["learning_rate"]
        if self.model is None:
            self._config = config_from_json(learned["architecture"])
            self._tokenizer = tokenizer_from_files(learned["tokenizer"])
            self.weights_follow = True
            self.configure_model()
        self.starts_head = False

    def attach(self, model: nn.Module, origin: str | None = None) -> None:
        """Uses a model to compute the logits.

        Args:
            model: takes the arguments of :meth:`forward` and returns an object with `logits`.
            origin: identifies a model that comes from no checkpoint.
        """
        self.model, self.origin = model, origin

    @overridable
    def forward(self, **inputs: Tensor) -> Tensor:
        """Runs the model.

        Args:
            **inputs: `input_ids`, `attention_mask` and `token_type_ids`, int64 `(batch, tokens)`.

        Returns:
            Logits, float32 `(batch, outputs)`.
        """
        if self.model is None:
            self.configure_model()
        assert self.model is not None
        logits: Tensor = self.model(**inputs, **shortcut(self.model)).logits
        return logits.float()

    def logits_of(self, batch: Batch) -> Tensor:
        """The logits of a batch's rows, those of windows pooled, float32 `(batch, outputs)`."""
        batch = as_batch(batch)
        logits: Tensor = self(**batch["inputs"])
        return pool(logits, batch["windows"], self.window_pooling) if "windows" in batch else logits
