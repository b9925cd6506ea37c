"""Tables in a file or a pipe."""

from __future__ import annotations

import pytest

from lit_textclf.evaluation.report.tables import table_of_numbers
from lit_textclf.utils.console import stdout_console


def test_a_table_is_not_cut_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten folds are wider than the 80 columns of a log."""
    monkeypatch.setenv("COLUMNS", "80")
    folds = [f"fold {number}" for number in range(10)]
    table = table_of_numbers("metric", folds)
    table.add_row("val_precision_weighted", *["0.5000"] * len(folds))
    stdout_console().print(table)
    shown = capsys.readouterr().out.splitlines()
    assert all(fold in shown[1] for fold in folds)
    assert "val_precision_weighted" in shown[3]
    assert shown[3].count("0.5000") == len(folds)
