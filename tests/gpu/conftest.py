"""What runs on a GPU: `make test-gpu`. Without one, a single skipped test says so.

`GPU_TESTS_ON=cpu` runs what a CPU can do of it, to test the tests.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.conftest import sentences, write_csv

FOLDER = Path(__file__).parent
DEVICE = os.environ.get("GPU_TESTS_ON", "gpu")
ON_GPU = DEVICE == "gpu"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks these tests, and keeps one of them, skipped, where there is no GPU."""
    ours = [item for item in items if item.path.is_relative_to(FOLDER)]
    for item in ours:
        item.add_marker(pytest.mark.gpu)
    if ON_GPU and not torch.cuda.is_available() and ours:
        reason = f"NO GPU: torch finds no CUDA device; all {len(ours)} tests of tests/gpu are skipped"
        ours[0].add_marker(pytest.mark.skip(reason=reason))
        items[:] = [item for item in items if item not in ours[1:]]


@pytest.fixture
def gpu_args(fit_args: list[str], tmp_path: Path) -> list[str]:
    """The `fit` of `fit_args` on a GPU, with as many rows and steps as the tiny model needs to learn the labels."""
    train = write_csv(tmp_path / "many.csv", ["text", "label"], sentences(400))
    changed = {"--trainer.accelerator": DEVICE, "--trainer.max_epochs": "3", "--data.train_file": str(train)}
    for option, value in changed.items():
        fit_args[fit_args.index(option) + 1] = value
    return [*fit_args, "--model.pooling", "mean"]
