"""Which epoch is best, by task."""

from __future__ import annotations

from lit_textclf.training.callbacks.checkpoints import monitor_of


def test_the_monitored_metric_of_each_task() -> None:
    assert monitor_of("single_label") == monitor_of("multi_label") == ("val_f1_macro", "max")
    assert monitor_of("regression") == ("val_loss", "min")
