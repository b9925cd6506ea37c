"""Device, precision and memory allocator of this machine."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator

from lit_textclf.utils.messages import UserError, note


def device_kind(accelerator: Any) -> str:
    """The device that Lightning uses for a value of `trainer.accelerator`: `cuda`, `mps`, `tpu` or `cpu`."""
    if accelerator in ("auto", "gpu"):
        found: Mapping[str, bool] = {
            "tpu": accelerator == "auto" and XLAAccelerator.is_available(),
            "mps": MPSAccelerator.is_available(),
            "cuda": CUDAAccelerator.is_available(),
        }
        return next((kind for kind, available in found.items() if available), "cpu")
    return str(accelerator)


def choose_precision(precision: str | int, kind: str) -> str:
    """Resolves `auto`, and refuses or replaces precisions that would silently fail on a :func:`device_kind`.

    Raises:
        UserError: for 16-true on a CPU, where losses become NaN.
    """
    precision = str(precision)
    if precision == "auto":
        if kind == "cuda":
            return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        return "bf16-mixed" if kind == "cpu" and cpu_has_bf16() else "32-true"
    if kind == "cpu" and precision == "16-true":
        raise UserError("trainer.precision 16-true gives NaN losses on a CPU; use bf16-mixed, 32-true or auto")
    if kind == "cpu" and precision in ("16-mixed", "16"):
        note(f"trainer.precision: a CPU does not support {precision}; using bf16-mixed instead")
        return "bf16-mixed"
    return precision


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 natively: AVX512_BF16 or AMX on x86, BF16 on Arm."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "").split()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 2**31 - 1
_NEVER = -1


def keep_freed_memory() -> bool:
    """Makes glibc's allocator reuse memory for large tensors.

    By default glibc maps every tensor over 32 MiB again, with a page fault for every 4 KiB. That takes a third of a
    training step at 256 tokens, and nothing measurable on short texts. In return, the process keeps its peak memory
    until it ends. Returns whether it took effect, as it does on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl does not have it
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
