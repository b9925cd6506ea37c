"""Formats of predictions by name and by the path of a class."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lit_textclf import main
from lit_textclf.prediction.csv_output import CsvFormat
from lit_textclf.prediction.formats import find_format
from lit_textclf.utils.messages import UserError

OWN = """
import json
from collections.abc import Mapping

from torch import Tensor

from lit_textclf.prediction.output_format import OutputFormat


class JsonLines(OutputFormat):
    def __init__(self, labels, calibration):
        self.labels, self.calibration = labels, calibration

    @classmethod
    def from_options(cls, options, model, data):
        return cls(data.target.labels, model.calibration)

    def header(self):
        return ""

    def lines(self, rows, logits):
        best = self.calibration.apply(logits).softmax(-1).max(-1)
        found = zip(rows.text.to_pylist(), best.indices.tolist(), strict=True)
        return "".join(json.dumps({"text": text, "label": self.labels[index]}) + "\\n" for text, index in found)

    def tally(self, logits):
        return {"first_label": int((logits.argmax(-1) == 0).sum())}

    def report(self, tally, *, measured):
        return [f"{tally['first_label']} of {tally['rows']} rows have the first label"]


class NotAFormat:
    pass
"""


@pytest.fixture
def _own_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:  # type: ignore[misc]
    (tmp_path / "own_format.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_format", None)


@pytest.mark.usefixtures("_own_module", "fitted")
def test_a_format_of_the_users(reviews: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    predict = ["predict", "--ckpt_path", "last", "--data.predict_file", str(reviews["test"])]
    main([*predict, "--format", "own_format.JsonLines", "--output", "p.jsonl"])
    main([*predict, "--output", "p.csv"])
    lines = [line.split(",") for line in Path("p.csv").read_text(encoding="utf-8").splitlines()[1:]]
    texts = [line.split(",")[0] for line in reviews["test"].read_text(encoding="utf-8").splitlines()[1:]]
    expected = [f'{{"text": "{text}", "label": "{line[1]}"}}' for text, line in zip(texts, lines, strict=True)]
    assert Path("p.jsonl").read_text(encoding="utf-8").splitlines() == expected
    first = sum(line[1] == "negative" for line in lines)
    assert f"predict: {first} of 15 rows have the first label" in capfd.readouterr().err


@pytest.mark.usefixtures("_own_module")
def test_names() -> None:
    assert find_format("csv") is CsvFormat
    assert find_format("lit_textclf.prediction.csv_output.CsvFormat") is CsvFormat
    with pytest.raises(UserError, match=r"--format 'gleu': unknown; did you mean 'glue'\?; use csv or glue, or the"):
        find_format("gleu")
    with pytest.raises(UserError, match=r"--format own_format\.NotAFormat: must be a subclass of .*OutputFormat"):
        find_format("own_format.NotAFormat")
    with pytest.raises(UserError, match=r"--format own_format\.None_: own_format has no 'None_'"):
        find_format("own_format.None_")


@pytest.mark.usefixtures("fitted")
def test_an_unknown_format_is_noticed_before_anything_is_read(fails: Callable[[Sequence[str]], str]) -> None:
    line = fails(["predict", "--ckpt_path", "last", "--data.predict_file", "none.csv", "--format", "tsv"])
    assert "--format 'tsv': unknown" in line
