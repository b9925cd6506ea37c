"""Options of predict that are refused, and their help."""

from __future__ import annotations

from dataclasses import fields

import pytest

from lit_textclf import main
from lit_textclf.prediction.options import PredictOptions
from lit_textclf.utils.messages import UserError


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_least_score_that_is_not_a_probability(value: float) -> None:
    with pytest.raises(UserError, match=rf"--min_score {value}: must be a probability from 0 to 1"):
        PredictOptions(min_score=value)


def test_the_docstring_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"--{field.name} " in shown for field in fields(PredictOptions))
    assert "assign no label to rows whose score is below this probability" in shown
