"""Nothing in a step or in an evaluation batch waits for the GPU: CUDA raises an error where something does.

`16-mixed` is left out: its scaler asks whether the gradients are finite.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from lit_textclf import PredictionWriter, TextClassifier, TextDataModule, Trainer
from tests.gpu.conftest import DEVICE, ON_GPU


class NoWaiting(pl.Callback):
    """Lets CUDA raise an error from the start to the end of each batch."""

    def __init__(self) -> None:
        self.batches = 0

    def _begin(self, *args: Any) -> None:
        if ON_GPU:
            torch.cuda.set_sync_debug_mode("error")

    def _end(self, *args: Any) -> None:
        if ON_GPU:
            torch.cuda.set_sync_debug_mode("default")
        self.batches += 1

    on_train_batch_start = on_validation_batch_start = on_test_batch_start = on_predict_batch_start = _begin
    on_train_batch_end = on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _end
    on_exception = _end


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("pooling", ["own", "mean"])
def test_no_batch_waits(tiny_bert: Path, reviews: dict[str, Path], precision: str, pooling: str) -> None:
    files: dict[str, Any] = {f"{split}_file": str(path) for split, path in reviews.items()}
    data = TextDataModule(**files, predict_file=str(reviews["test"]), max_length=16, batch_size=8)
    waiting = NoWaiting()
    trainer = Trainer(
        accelerator=DEVICE, devices=1, max_epochs=2, precision=precision, logger=False, log_every_n_steps=1000,
        enable_checkpointing=False, enable_progress_bar=False, callbacks=[waiting, PredictionWriter()],
    )  # type: ignore[arg-type] # fmt: skip
    model = TextClassifier(str(tiny_bert), learning_rate=1e-3, head_init="random", pooling=pooling)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data)
    trainer.predict(model, datamodule=data, return_predictions=False)
    assert waiting.batches >= 2 * 6 + 2 + 1 + 1


@pytest.mark.skipif(not ON_GPU, reason="a CPU does not wait")
def test_the_test_finds_what_waits() -> None:
    value = torch.ones(3, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchronizing"):
            value.sum().item()
    finally:
        torch.cuda.set_sync_debug_mode("default")
