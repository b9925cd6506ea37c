"""Windows pooled into documents: by hand, with a gradient, and to the same numbers in numpy as in torch."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from lit_textclf.data.batches import collate, padding
from lit_textclf.data.tokens.long_text import Pooling


def test_by_hand() -> None:
    logits, windows = torch.tensor([[1.0, -5.0], [3.0, -4.0], [-2.0, 0.5]]), torch.tensor([2, 1])
    assert collate.pool(logits, windows, "mean").tolist() == [[2.0, -4.5], [-2.0, 0.5]]
    assert collate.pool(logits, windows, "max").tolist() == [[3.0, -4.0], [-2.0, 0.5]]


def test_the_gradient_is_passed_on() -> None:
    logits = torch.tensor([[1.0], [3.0], [-2.0]], requires_grad=True)
    collate.pool(logits, torch.tensor([2, 1]), "mean").sum().backward()
    assert logits.grad is not None
    assert logits.grad.ravel().tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_arrays_are_pooled_as_tensors_are(pooling: Pooling) -> None:
    random = np.random.default_rng(0)
    windows = random.integers(1, 40, 200)
    logits = random.normal(0, 9, (int(windows.sum()), 7)).astype(np.float32)
    found = padding.pool(logits, windows, pooling)
    expected = collate.pool(torch.from_numpy(logits), torch.from_numpy(windows), pooling)
    assert found.dtype == np.float32
    assert found.tolist() == expected.tolist()
