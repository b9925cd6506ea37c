"""Which epoch `best.ckpt` has."""

from __future__ import annotations

from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_textclf import main


def test_of_equal_epochs_the_one_with_the_lowest_loss(fit_args: list[str]) -> None:
    main([*fit_args, "--trainer.max_epochs", "3", "--model.head_init", "random"])
    events = EventAccumulator("lightning_logs/version_0").Reload()
    losses, f1 = ([event.value for event in events.Scalars(name)] for name in ("val_loss", "val_f1_macro"))
    assert len(set(f1)) == 1
    lowest = losses.index(min(losses))
    assert lowest > 0  # Lightning's own class keeps the first
    assert torch.load(Path("lightning_logs/version_0/checkpoints/best.ckpt"), weights_only=True)["epoch"] == lowest
