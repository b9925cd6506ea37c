"""The machine that the figures are of: its name, the precision that it is best at, and how fast it multiplies."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

PRECISIONS = {"bf16-mixed": "bf16", "16-mixed": "fp16", "32-true": "fp32"}
"""Lightning's names of precisions, and the short ones of `peer.py`."""


def best_precision() -> str:
    """What `trainer.precision auto` means here, in Lightning's name.

    It imports Lightning, for seconds: a process whose time is measured gets the name as an argument.
    """
    from lit_textclf.training.hardware import choose_precision, device_kind

    return choose_precision("auto", device_kind("auto"))


def has_bf16() -> bool:
    """Whether products in bf16 are faster than in float32; where they are emulated, they take minutes."""
    return best_precision() == "bf16-mixed"


def describe() -> str:
    """The GPU, or the processor with the number of its cores that this process may use."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.processor()}, {cores} cores, {torch.backends.cpu.get_cpu_capability()}"


def matrix_product_peak(precision: str, device: str = "cpu") -> float:
    """The most that a device multiplies in a precision, in FLOP/s: the best of 30 times ten products.

    Args:
        precision: a key of :data:`PRECISIONS`.
        device: `cpu`, with matrices of 1,024 x 1,024, or `cuda`, with 8,192 x 8,192.
    """
    import torch

    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16, "32-true": torch.float32}[precision]
    size = 1024 if device == "cpu" else 8192
    one, other = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    best = 0.0
    for _ in range(30):
        started = time.perf_counter()
        for _ in range(10):
            one @ other
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - started))
    return best
