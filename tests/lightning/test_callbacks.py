"""Lightning's callbacks that look at the model, or change it, with the plain Trainer and with ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch.optim.swa_utils import get_ema_avg_fn

from lit_textclf import TextClassifier, TextDataModule, Trainer, UserError, main
from tests.lightning.conftest import QUIET, TRAINERS

Make = Callable[..., TextClassifier]
pytestmark = [
    pytest.mark.filterwarnings("ignore:You're using the WeightAveraging callback with a model that overrides"),
    pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch"),  # our schedule goes by step
]


def fit(trainer_class: type[pl.Trainer], model: TextClassifier, data: TextDataModule, *callbacks: pl.Callback,
        **options: Any) -> pl.Trainer:  # fmt: skip
    trainer = trainer_class(**{**QUIET, "max_epochs": 2, **options}, callbacks=list(callbacks))
    trainer.fit(model, data)
    return trainer


class LastWeights(pl.Callback):
    """Keeps a weight as the last step left it, before another callback puts its average in place."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.weight = pl_module.model.classifier.weight.detach().clone()


@TRAINERS
@pytest.mark.parametrize("averaging", ["EMAWeightAveraging", "WeightAveraging"])
def test_weight_averaging(
    averaging: str, trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule
) -> None:
    """The model is built before the averaging begins, and has the averaged weights at the end."""
    last, model = LastWeights(), new_model()
    average = (
        EMAWeightAveraging(decay=0.5) if averaging.startswith("EMA") else WeightAveraging(avg_fn=get_ema_avg_fn(0.5))
    )
    fit(trainer_class, model, data, average, last)
    assert model.model is not None
    assert not torch.equal(model.model.classifier.weight, last.weight)
    assert model.classify("the film was good")["probabilities"].keys() == {"negative", "positive"}


@TRAINERS
def test_stochastic_weight_averaging(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """SWA averages the second of three epochs and the third, and takes over the schedule."""
    model = new_model()
    trainer = fit(trainer_class, model, data, StochasticWeightAveraging(1e-3, swa_epoch_start=1), max_epochs=3)
    assert trainer.current_epoch == 3
    assert model.classify("the film was good")["label"] in ("negative", "positive")


class Unfreeze(BaseFinetuning):
    """Gradual unfreezing (Howard & Ruder 2018): the head, then the last layer, then the first one."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch:
            layers = pl_module.model.bert.encoder.layer
            self.unfreeze_and_add_param_group(layers[len(layers) - epoch], optimizer)


class Watch(pl.Callback):
    """Notes the learning rates, and the weights that change, in each epoch."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.changed: list[set[str]] = []
        self._before: dict[str, torch.Tensor] = {}

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._before = {name: each.detach().clone() for name, each in pl_module.named_parameters()}

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        named = pl_module.named_parameters()
        changed = {name for name, each in named if not torch.equal(each, self._before[name])}
        parts = ("layer.0", "layer.1", "embeddings", "classifier")
        self.changed.append({part for part in parts if any(part in name for name in changed)})


@TRAINERS
def test_gradual_unfreezing(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """A BaseFinetuning freezes the encoder and unfreezes a layer an epoch; new groups follow the schedule down to 0."""
    model, watch = new_model(weight_decay=0.0), Watch()
    fit(trainer_class, model, data, Unfreeze(), watch, max_epochs=3)
    assert watch.changed == [{"classifier"}, {"classifier", "layer.1"}, {"classifier", "layer.1", "layer.0"}]
    head, *added = watch.rates[-1]
    assert len(watch.rates[0]) < len(watch.rates[-1])
    assert 0 < added[-1] < watch.rates[12][-1] < head
    assert model.classify("the film was good")["label"] in ("negative", "positive")


class SaveAfter(pl.Callback):
    """Writes a checkpoint after an epoch's last step."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint("unfrozen.ckpt")


def test_resume_after_unfreezing(new_model: Make, data: TextDataModule) -> None:
    """The groups that were added follow the schedule, and their layers learn: the weights of an unstopped run."""
    whole, resumed, watches = new_model(), new_model(), (Watch(), Watch())
    fit(Trainer, whole, data, Unfreeze(), watches[0], SaveAfter(1), max_epochs=3)
    trainer = Trainer(**{**QUIET, "max_epochs": 3}, callbacks=[Unfreeze(), watches[1]])
    trainer.fit(resumed, data, ckpt_path="unfrozen.ckpt")
    assert watches[1].rates == watches[0].rates[12:]
    assert watches[1].changed == watches[0].changed[2:] == [{"classifier", "layer.1", "layer.0"}]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_resume_after_unfreezing_with_another_rate(new_model: Make, data: TextDataModule) -> None:
    """Each group keeps its share of the rate."""
    watches = Watch(), Watch()
    fit(Trainer, new_model(), data, Unfreeze(), watches[0], SaveAfter(1), max_epochs=3)
    trainer = Trainer(**{**QUIET, "max_epochs": 3}, callbacks=[Unfreeze(), watches[1]])
    trainer.fit(new_model(learning_rate=2e-3), data, ckpt_path="unfrozen.ckpt")
    *old, _ = watches[1].rates[-1]
    assert old == pytest.approx([2 * rate for rate in watches[0].rates[-1][:-1]])


@TRAINERS
def test_backbone_finetuning(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """BackboneFinetuning finds `backbone`, and unfreezes it in the second epoch with the rate that it is told."""
    model, watch = new_model(), Watch()
    backbone = BackboneFinetuning(1, backbone_initial_lr=1e-5, train_bn=False, verbose=False)
    fit(trainer_class, model, data, backbone, watch)
    assert watch.changed == [{"classifier"}, {"classifier", "layer.0", "layer.1", "embeddings"}]
    assert watch.rates[6][-1] == pytest.approx(1e-5)
    assert 0 < watch.rates[-1][-1] < 1e-5


@TRAINERS
def test_model_pruning(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """ModelPruning finds the layers at `setup`, and the model ends with a third of its weights at zero."""
    model = new_model()
    fit(trainer_class, model, data, ModelPruning("l1_unstructured", amount=0.3, use_lottery_ticket_hypothesis=False),
        max_epochs=1)  # fmt: skip
    weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert 0.2 < zeros < 0.4
    assert model.classify("the film was good")["label"] in ("negative", "positive")


@TRAINERS
def test_learning_rate_monitor(trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule) -> None:
    """LearningRateMonitor logs the rate of each group, and of those that are added."""
    from lightning.pytorch.loggers import CSVLogger

    model = new_model()
    trainer = fit(trainer_class, model, data, LearningRateMonitor("step"), Unfreeze(), logger=CSVLogger("."))
    assert any(name.startswith("lr") for name in trainer.logged_metrics | trainer.callback_metrics)


@pytest.mark.slow
@pytest.mark.parametrize("callback", [EMAWeightAveraging(decay=0.5), ModelPruning("l1_unstructured", amount=0.2)])
def test_best_ckpt_has_the_weights_that_were_measured(callback: pl.Callback, fit_args: list[str]) -> None:
    """Averaged, or pruned, as in metrics.json."""
    fitted = main(fit_args, callbacks=[callback])
    files = "lightning_logs/version_0/checkpoints/best.ckpt", "validation.csv"
    measured = main(["validate", "--ckpt_path", files[0], "--data.validation_file", files[1]])
    assert measured["val_loss"] == pytest.approx(fitted["val_loss"], abs=1e-6)


PLATEAU = "torch.optim.lr_scheduler.ReduceLROnPlateau"


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")  # the loader of no rows
@TRAINERS
def test_a_plateau_of_no_validation(
    trainer_class: type[pl.Trainer], new_model: Make, reviews: dict[str, Path], data: TextDataModule,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Said before the first step: without validation rows, and where validation is switched off."""
    trained: list[int] = []
    count = pl.callbacks.LambdaCallback(on_train_batch_end=lambda *_: trained.append(1))
    none = TextDataModule(str(reviews["train"]), max_length=16, batch_size=8)
    for rows, options in ((none, {}), (data, {"limit_val_batches": 0})):
        with pytest.raises(UserError, match="ReduceLROnPlateau: it monitors val_loss, and the run has no valid"):
            fit(trainer_class, new_model(lr_scheduler=PLATEAU, head_init="probe"), rows, count, **options)
    assert not trained
    assert "head:" not in capsys.readouterr().err


@TRAINERS
def test_a_plateau_is_stepped_after_each_validation(
    trainer_class: type[pl.Trainer], new_model: Make, data: TextDataModule
) -> None:
    """Every second epoch has a validation; no loss falls far enough, so that each halves the rate."""
    spec = {"class_path": PLATEAU, "init_args": {"patience": 0, "factor": 0.5, "threshold": 9.0, "min_lr": 0.0}}
    watch = Watch()
    model = new_model(lr_scheduler=spec, warmup_ratio=0.0)
    fit(trainer_class, model, data, watch, max_epochs=5, check_val_every_n_epoch=2)
    assert [watch.rates[6 * epoch][0] for epoch in range(5)] == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4])
