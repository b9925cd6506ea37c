"""Training steps and evaluation batches read no value from the device, for which a GPU would wait.

They run on torch's meta device, whose tensors have shapes and no values: whatever reads one raises an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_textclf import TextClassifier
from lit_textclf.classifier.losses import FiniteLosses
from lit_textclf.data.batches.collate import Batch
from lit_textclf.data.labels.target import Target

TARGETS = {
    "two labels": Target("single_label", ("no", "yes"), "yes"),
    "three labels": Target("single_label", ("a", "b", "c")),
    "label sets": Target("multi_label", ("a", "b", "c")),
    "values": Target("regression"),
}
READS = {
    "bool": lambda value: bool(value.sum()),
    "item": lambda value: value.sum().item(),
    "tolist": Tensor.tolist,
    "cpu": Tensor.cpu,
    "nonzero": Tensor.nonzero,
    "index": lambda value: value[value > 0],
    "bincount": lambda value: value.bincount(minlength=4),
    "repeat_interleave": lambda value: value.repeat_interleave(value),
}


@pytest.mark.parametrize("name", READS)
def test_the_meta_device_has_no_values(name: str) -> None:
    value = torch.ones(3, dtype=torch.long, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        READS[name](value)


def batch_of(target: Target, *, windows: bool) -> Batch:
    """A batch of four rows without padding, of two windows each if wanted."""
    sizes = {"single_label": (4,), "multi_label": (4, target.num_outputs), "regression": (4,)}
    dtype = torch.long if target.task == "single_label" else torch.float32
    inputs = {name: torch.ones(8 if windows else 4, 5, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    batch = Batch(inputs=inputs, target=torch.zeros(sizes[target.task], dtype=dtype), row=torch.arange(4), tokens=20)
    if windows:
        batch["windows"] = torch.full((4,), 2)
    return batch


def on_meta(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: on_meta(each) for name, each in value.items()}
    return value.to("meta") if isinstance(value, Tensor) else value


@pytest.fixture(scope="module")
def models(tiny_bert: Path) -> dict[str, TextClassifier]:
    """Classifiers on the meta device, by target."""
    found = {}
    for name, target in TARGETS.items():
        classifier = TextClassifier(model_name_or_path=str(tiny_bert), target=target)
        classifier.configure_model()
        assert classifier.model is not None
        classifier.model.classifier.__class__ = torch.nn.Linear  # ours switches autocast off, which meta has not
        classifier.finite_losses = FiniteLosses(every=10)  # as on a GPU
        found[name] = classifier.to("meta")
    return found


@pytest.mark.parametrize("windows", [False, True], ids=["rows", "windows"])
@pytest.mark.parametrize("name", TARGETS)
def test_steps_do_not_wait(models: dict[str, TextClassifier], name: str, windows: bool) -> None:
    classifier, batch = models[name], on_meta(batch_of(TARGETS[name], windows=windows))
    loss = classifier.training_step(batch)
    loss.backward()
    for _ in range(2):
        classifier.validation_step(batch)
    classifier.thresholds = dict.fromkeys(TARGETS[name].labels, 0.4)
    try:
        classifier.test_step(batch)
    finally:
        classifier.thresholds = None
    assert classifier.predict_step(batch).logits.device.type == "meta"
