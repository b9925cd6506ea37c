"""What `fit` says about calibration."""

from __future__ import annotations

import numpy as np
import pytest

from lit_textclf import Target
from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.training.callbacks.calibrate import note_calibration


def evaluation(threshold: float) -> Evaluation:
    """Of a model that is right about all 40 rows; its scores of `spam` are 0.018 and 0.982."""
    target, targets = Target("single_label", ("ham", "spam"), "spam"), np.arange(40) % 2
    logits = np.stack([np.zeros(40), np.where(targets == 1, 4.0, -4.0)], 1).astype(np.float32)
    rows = rows_of_texts([f"text {row}" for row in range(40)])
    outcomes = Outcomes("validation", target, rows, logits, targets, np.ones(40, np.int64), 8)
    return Evaluation(outcomes, Calibration(1.0, {"spam": threshold}))


@pytest.mark.parametrize(("threshold", "to_all"), [(0.0123456, True), (0.3, False)])
def test_a_threshold_that_gives_a_label_to_all_rows_says_so(
    threshold: float, to_all: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    note_calibration({}, evaluation(threshold), 40, calibrate=True)
    first, *others = capfd.readouterr().err.splitlines()
    assert first == f"thresholds from the validation rows, used only with --threshold best: spam {threshold:.3g}"
    assert others == (["threshold spam 0.0123: would give 'spam' to all 40 validation rows"] if to_all else [])


def test_a_temperature_says_what_it_is_for(capfd: pytest.CaptureFixture[str]) -> None:
    best = {"val_temperature": 1.06, "val_ece_uncalibrated": 0.026, "val_ece": 0.058}
    note_calibration(best, evaluation(0.5), 40, calibrate=True)
    assert capfd.readouterr().err == (
        "calibration: temperature 1.06 for the probabilities, which lowers the loss of 40 validation rows; expected "
        "calibration error 0.026 without it, 0.058 with it\n"
    )
