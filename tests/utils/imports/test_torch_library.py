"""Loading torch's library beside other imports: each script runs in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lit_textclf.utils.imports.torch_library import begin_loading
from tests.utils.imports.test_postponed import run


@pytest.mark.skipif(sys.platform != "linux", reason="the library has another name")
def test_the_library_is_loaded_before_torch_is_imported() -> None:
    run("""
from pathlib import Path
from lit_textclf.utils.imports.torch_library import begin_loading
thread = begin_loading()
assert thread is not None and "torch" not in sys.modules
thread.join()
assert "libtorch_cpu.so" in Path("/proc/self/maps").read_text() and "torch" not in sys.modules
import torch
assert torch.mm(torch.full((2, 3), 2.0), torch.ones(3, 2)).tolist() == [[6, 6], [6, 6]]
""")


def test_a_process_may_end_before_the_library_is_loaded() -> None:
    run("""
from lit_textclf.utils.imports.torch_library import begin_loading
begin_loading()
""")


def test_a_folder_named_torch_is_not_the_library(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    run(f"""
from lit_textclf.utils.imports.torch_library import begin_loading
sys.path[:] = [{str(tmp_path)!r}]
assert begin_loading() is None
""")


def test_a_process_of_the_user_loads_nothing() -> None:
    assert begin_loading() is None
