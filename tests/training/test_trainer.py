"""Precision by name and by `auto`."""

from __future__ import annotations

import pytest
import torch

from lit_textclf import UserError
from lit_textclf.training.hardware import choose_precision, cpu_has_bf16, device_kind


def test_auto_on_this_machine() -> None:
    expected = "bf16-mixed" if cpu_has_bf16() else "32-true"
    assert choose_precision("auto", "cpu") == expected
    assert choose_precision("auto", "mps") == "32-true"
    assert device_kind("cpu") == "cpu"
    if not torch.cuda.is_available():
        assert device_kind("auto") in ("cpu", "mps", "tpu")


def test_cpu_flags_agree_with_torch() -> None:
    """torch's own word for it, where it has one (private, hence only here)."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if supported is None or torch.backends.cpu.get_cpu_capability() not in ("AVX512", "AVX2", "DEFAULT"):
        pytest.skip("no x86 processor")
    assert not supported() or cpu_has_bf16()


def test_16_mixed_on_a_cpu_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_precision("16-mixed", "cpu") == "bf16-mixed"
    assert capsys.readouterr().err == "trainer.precision: a CPU does not support 16-mixed; using bf16-mixed instead\n"


def test_what_is_named_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("32-true", "bf16-mixed", "64-true"):
        assert choose_precision(name, "cpu") == name
    assert choose_precision("16-mixed", "cuda") == "16-mixed"
    assert capsys.readouterr().err == ""


def test_16_true_on_a_cpu_is_refused() -> None:
    with pytest.raises(UserError, match="NaN losses"):
        choose_precision("16-true", "cpu")
