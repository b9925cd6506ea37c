"""Lines on standard error during long work."""

from __future__ import annotations

import sys
import time

import pytest
from lightning_utilities.core.rank_zero import rank_zero_only

from lit_textclf.utils import messages
from lit_textclf.utils.messages import long_quiet, note, rank, still_working


def test_a_line_ends_the_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "QUIET_SECONDS", 0.05)
    note("one line")
    assert not long_quiet()
    time.sleep(0.06)
    assert long_quiet()


def test_a_long_call_shows_that_it_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(messages, "QUIET_SECONDS", 0.05)
    with still_working("export"):
        time.sleep(0.2)
    shown = capsys.readouterr().err.splitlines()
    assert 1 <= len(shown) <= 4
    assert set(shown) == {"export: still working, 0:00:00 so far"}
    time.sleep(0.1)
    assert capsys.readouterr().err == ""  # it has stopped


def test_a_short_call_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with still_working("export"):
        pass
    assert capsys.readouterr().err == ""


def test_only_rank_0_prints_before_and_after_lightning_is_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "3")
    note("Lightning's rank counts")
    monkeypatch.setattr(rank_zero_only, "rank", 2)
    note("rank 2")
    assert rank() == 2
    monkeypatch.delitem(sys.modules, "lightning_utilities.core.rank_zero")
    note("rank 3")
    assert rank() == 3
    monkeypatch.delenv("LOCAL_RANK")
    note("one process")
    assert capsys.readouterr().err.splitlines() == ["Lightning's rank counts", "one process"]
