"""The example of a search: trials in a file, gone on with, and pruned."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "configs" / "optuna_search.py"
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # SQLAlchemy's pool is closed when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def example() -> Iterator[ModuleType]:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("optuna_search", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["optuna_search"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["optuna_search"]


def states(file: str) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return [state for (state,) in connection.execute("select state from trials order by trial_id")]
    finally:
        connection.close()


@pytest.mark.slow
def test_goes_on_in_its_file(example: ModuleType, fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--study", "study.db", "--trials", "2", "--", *fit_args[1:], "--trainer.max_epochs", "1"]
    first = example.search(args)
    again = example.search(args)
    assert states("study.db") == ["COMPLETE"] * 4
    assert [trial.params for trial in again.trials[:2]] == [trial.params for trial in first.trials[:2]]
    assert "best of 4: val_f1_macro" in capsys.readouterr().out
    assert again.best_value == max(trial.value for trial in again.trials)
    # What was searched was used.
    config = Path("lightning_logs/version_0/config.yaml").read_text(encoding="utf-8")
    assert f"learning_rate: {first.trials[0].params['learning_rate']}" in config
    assert f"batch_size: {first.trials[0].params['batch_size']}" in config


def test_prunes(example: ModuleType, fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A pruner that gives up whatever is above 0 ends each trial after its first epoch."""
    from optuna.pruners import ThresholdPruner

    args = ["--study", "study.db", "--trials", "1", "--metric", "val_loss", "--", *fit_args[1:]]
    example.search(args, ThresholdPruner(upper=0.0))
    assert "none of 1 trials completed" in capsys.readouterr().out
    assert states("study.db") == ["PRUNED"]
    connection = sqlite3.connect("study.db")
    assert connection.execute("select count(*) from trial_intermediate_values").fetchone() == (1,)
    connection.close()
