"""What `lit_textclf` offers to people, notebooks and type checkers."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest

import lit_textclf
from lit_textclf import Batch, Evaluated, Prediction, TextClassifier, Trainer
from lit_textclf.training.options import LightningArguments

SCRIPT = '''
from typing import Any

import torch
from torch import Tensor

from lit_textclf import Batch, Evaluated, Prediction, Target, TextClassifier, TextDataModule, Trainer


class Noisy(TextClassifier):
    """Overrides the steps, as Lightning declares them and as we do."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss: Tensor = super().training_step(batch, batch_idx)
        return loss + self.logits_of(batch).square().mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.log("val_rows", float(len(batch["row"])))

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Evaluated:
        return Evaluated(row=batch["row"], logits=self.logits_of(batch), target=batch["target"])

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Prediction:
        return Prediction(batch["row"], self.logits_of(batch))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **others: Tensor) -> Tensor:
        return torch.zeros(len(input_ids), 2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main() -> None:
    classifier = Noisy("bert-base-uncased", target=Target("single_label", ("no", "yes")))
    data = TextDataModule(train_file="train.csv", validation_split=0.1, max_length=64)
    trainer = Trainer(max_epochs=3, accelerator="cpu", logger=False, limit_train_batches=0.5)
    trainer.fit(classifier, datamodule=data)
    print(classifier.classify("good")["label"], classifier.classify(["good", "bad"])[0]["label"])
'''
WRONG = """
import lit_textclf
from lit_textclf import Trainer

Trainer(max_epoch=3)
Trainer(accumulate_grad_batches="two")
print(lit_textclf.nothing)
"""


@pytest.mark.slow
def test_mypy_accepts_a_users_script_and_refuses_typos(tmp_path: Path) -> None:
    """Both scripts in one run of `mypy --strict`, which takes a minute."""
    for name, script in (("right.py", SCRIPT), ("wrong.py", WRONG)):
        (tmp_path / name).write_text(script, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--no-incremental"]
    settings = {**os.environ, "MYPYPATH": str(Path(lit_textclf.__file__).parents[1])}
    done = subprocess.run(
        [*command, "right.py", "wrong.py"], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    found = [line for line in lines if line.startswith(("right.py", "wrong.py")) and " note: " not in line]
    expected = [
        'wrong.py:5: error: Unexpected keyword argument "max_epoch" for "Trainer"',
        'wrong.py:6: error: Argument "accumulate_grad_batches" to "Trainer" has incompatible type "str"',
        'wrong.py:7: error: Module has no attribute "nothing"',
    ]
    assert [line[: len(text)] for line, text in zip(found, expected, strict=True)] == expected, done.stdout


def test_a_typo_in_an_argument_of_the_trainer_is_an_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'max_epoch'"):
        Trainer(max_epoch=3)  # type: ignore[call-arg]


def test_the_typed_arguments_are_those_of_the_trainer() -> None:
    ours, others = (inspect.signature(kind.__init__).parameters for kind in (Trainer, pl.Trainer))
    assert set(others) == {*LightningArguments.__annotations__, *ours} - {
        "kwargs", "checkpoint_every_n_steps", "keep_freed_memory",
    }  # fmt: skip
    assert set(inspect.signature(Trainer).parameters) == {*others, *ours} - {"self", "kwargs"}
    assert inspect.signature(Trainer).parameters["max_epochs"].default == "auto"


def test_dir_lists_the_public_names_alone() -> None:
    assert dir(lit_textclf) == sorted(lit_textclf.__all__)
    assert {"TextClassifier", "TextDataModule", "Trainer", "Batch", "Evaluated", "Prediction"} <= set(dir(lit_textclf))
    assert dir(lit_textclf.classifier) == ["TextClassifier"]
    with pytest.raises(AttributeError, match="module 'lit_textclf' has no attribute 'nothing'"):
        _ = lit_textclf.nothing  # type: ignore[attr-defined]


def test_steps_keep_their_signatures() -> None:
    """Lightning looks at them to decide what it passes."""
    for name, first in (("training_step", Batch), ("predict_step", Batch)):
        parameters: Any = inspect.signature(getattr(TextClassifier, name)).parameters
        assert list(parameters) == ["self", "batch", "batch_idx"]
        assert parameters["batch"].annotation == first.__name__
    assert (Prediction._fields, set(Evaluated.__annotations__)) == (("row", "logits"), {"row", "logits", "target"})
