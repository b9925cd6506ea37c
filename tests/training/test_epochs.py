"""`trainer.max_epochs: auto`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from lit_textclf import TextClassifier, TextDataModule, Trainer, main
from lit_textclf.training.epochs import epochs_for


@pytest.mark.parametrize(("steps", "epochs"), [(1, 10), (25, 10), (50, 5), (83, 4), (84, 3), (5_000, 3)])
def test_few_steps_have_more_epochs(steps: int, epochs: int) -> None:
    assert epochs_for(steps) == epochs


def test_what_is_set_is_kept(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "1"])
    assert "epoch 1 of 1:" in capsys.readouterr().err


def test_steps_alone_end_a_run(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """48 rows in batches of 8 are 6 steps an epoch: 20 steps end in the fourth epoch."""
    args = [arg for arg in fit_args if arg != "--trainer.max_epochs"]
    args.remove("2")
    main([*args, "--trainer.max_steps", "20"])
    assert "; 20 steps of 8 rows" in capsys.readouterr().err


def test_accumulated_batches_count_as_one_step(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    args = [arg for arg in fit_args if arg != "--trainer.max_epochs"]
    args.remove("2")
    main([*args, "--trainer.accumulate_grad_batches", "3", "--trainer.limit_train_batches", "6"])
    shown = capsys.readouterr().err
    assert "epoch 10 of 10:" in shown
    assert "20 steps of 24 rows" in shown


def test_a_number_from_python() -> None:
    assert Trainer(accelerator="cpu", logger=False, max_epochs=7).max_epochs == 7
    assert Trainer(accelerator="cpu", logger=False, max_steps=9).max_epochs == -1


def test_a_checkpoint_of_version_0_1_has_its_three_epochs(
    fit_args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """12 steps in two epochs: auto would have gone on to ten."""
    main(fit_args)
    last = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    checkpoint = torch.load(last, weights_only=True)
    del checkpoint["callbacks"]["AutoEpochs"]
    torch.save(checkpoint, last)
    args = [arg for arg in fit_args if arg != "--trainer.max_epochs"]
    args.remove("2")
    capsys.readouterr()
    main([*args, "--ckpt_path", "last"])
    assert "epoch 3 of 3:" in capsys.readouterr().err


class Endless(IterableDataset[object]):
    """Batches without a length."""

    def __init__(self, batches: list[object]) -> None:
        self.batches = batches

    def __iter__(self) -> object:
        return iter(self.batches)


def test_batches_without_a_length_have_three_epochs(tiny_bert: Path, reviews: dict[str, Path]) -> None:
    data, classifier = TextDataModule(str(reviews["train"]), max_length=16), TextClassifier(str(tiny_bert))
    data.prepare("fit", classifier)
    classifier.configure(data.target)
    batches = DataLoader(Endless(list(data.train_dataloader())), batch_size=None)
    trainer = Trainer(accelerator="cpu", precision="32-true", logger=False, enable_checkpointing=False)
    trainer.fit(classifier, batches, batches)
    assert trainer.current_epoch == 3


def test_a_classifier_is_saved_without_a_fit(tiny_bert: Path, reviews: dict[str, Path]) -> None:
    data, classifier = TextDataModule(str(reviews["train"]), max_length=16), TextClassifier(str(tiny_bert))
    data.prepare("fit", classifier)
    classifier.configure(data.target)
    classifier.configure_model()
    trainer = Trainer(accelerator="cpu", precision="32-true", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(classifier)
    trainer.save_checkpoint("own.ckpt")
    assert TextClassifier.load_from_checkpoint("own.ckpt").classify(["good"])
