"""The severe findings that `fit` reports before it trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_textclf import TextDataModule, main
from lit_textclf.check import quick
from lit_textclf.data.tokens.tokenizer import load_tokenizer
from tests.conftest import sentences, write_csv
from tests.integration.test_bad_input import with_option


def test_fit_reports_leaks_and_conflicts(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    rows = sentences(40)
    write_csv(Path("t.csv"), ["text", "label"], [*rows, (rows[1][0], "positive")])
    write_csv(Path("v.csv"), ["text", "label"], [rows[3], *sentences(52)[40:]])
    main(with_option(fit_args, data__train_file="t.csv", data__validation_file="v.csv", trainer__max_epochs="1"))
    err = capfd.readouterr().err.splitlines()
    severe = [line for line in err if line.startswith("severe: ")]
    assert len(severe) == 2
    assert "severe: train: 1 text has more than one label (first: t.csv: row 1: " in severe[0]
    assert "severe: validation: 1 of 13 rows (7.7%) is also in train (first: v.csv: row 0: " in severe[1]
    assert not any("for severe findings" in line for line in err)


def test_fit_reports_nothing_about_good_rows(fit_args: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    main(with_option(fit_args, trainer__max_epochs="1"))
    assert "severe" not in capfd.readouterr().err


def test_sampling_is_reported(
    tiny_bert: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick, "SAMPLE", 10)
    rows = sentences(60)
    write_csv(Path("t.csv"), ["text", "label"], rows[:40])
    write_csv(Path("v.csv"), ["text", "label"], rows[20:60])
    data = TextDataModule(train_file="t.csv", validation_file="v.csv", tokenizer=load_tokenizer(str(tiny_bert), "x"))
    data.setup("fit")
    capfd.readouterr()
    (leak,) = quick.report_severe_findings(data)
    assert leak.kind == "leak"
    assert 1 <= leak.count <= 9
    err = capfd.readouterr().err
    assert "checked 20 rows of 80 for severe findings; lit-textclf check examines all rows" in err
