"""What `fit` suggests with few or no validation rows, and that the suggested command runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lit_textclf import main
from tests.conftest import sentences, write_csv


def suggested(err: str) -> list[str]:
    return re.findall(r"next: (lit-textclf cross_validate .*), which measures on all training rows", err)


@pytest.fixture
def few(fit_args: list[str]) -> list[str]:
    """A fit on 20 rows, without validation rows."""
    file = write_csv(Path("few.csv"), ["text", "label"], sentences(20))
    position = fit_args.index("--data.validation_file")
    rest = [*fit_args[:position], *fit_args[position + 2 :], "--trainer.max_epochs", "1"]
    rest[rest.index("--data.train_file") + 1] = str(file)
    return rest


@pytest.mark.parametrize("options", [[], ["--data.validation_split", "0.2"], ["--config", "split.yaml"]])
def test_the_command_measures_on_all_rows(
    few: list[str], options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("split.yaml").write_text("data: {validation_split: 0.2}", encoding="utf-8")
    main([*few, *options, "--metrics.baseline", "false"])
    err = capfd.readouterr().err
    assert ("rows choose best.ckpt little better than chance" in err) == bool(options)
    (command,) = suggested(err)
    assert ("--data.validation_split=null" in command) == ("--config" in options)
    metrics = main([*shlex.split(command)[1:], "--data.folds", "2"])
    assert "val_accuracy_mean" in metrics
    assert not suggested(capfd.readouterr().err)


def test_enough_validation_rows(few: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main([*few, "--data.validation_split", "0.5"])
    err = capfd.readouterr().err
    assert "10 rows validation" in err
    assert not suggested(err)
    assert "little better than chance" not in err


def test_too_few_rows_give_no_verdict(few: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    metrics = main([*few, "--data.validation_split", "0.2"])
    assert "baseline_tfidf_accuracy" in metrics
    lines = re.findall(r"baseline: TF-IDF .*", capfd.readouterr().err)
    assert [line.rpartition(": ")[2] for line in lines] == ["4 rows cannot show a difference"]
