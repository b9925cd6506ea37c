"""The outcomes of an evaluation are those of each row, in the rows' order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from lit_textclf import TextClassifier, main
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from tests.conftest import sentences

pytestmark = pytest.mark.usefixtures("no_figures")


class Keep(CollectOutcomes):
    """The callback that the tool uses, once more."""


@pytest.mark.usefixtures("fitted")
def test_rows_in_order_with_their_losses(reviews: dict[str, Path]) -> None:
    keep = Keep()
    metrics = main(
        ["test", "--ckpt_path", "last", "--data.test_file", str(reviews["test"]), "--trainer.precision", "32-true"],
        callbacks=[keep],
    )
    outcomes = keep.outcomes
    assert outcomes is not None
    texts = [text for text, _ in sentences(79)[64:]]
    assert outcomes.rows.text.to_pylist() == texts
    classifier = TextClassifier.load_from_checkpoint(next(Path("lightning_logs").rglob("last.ckpt")))
    answers = classifier.classify(texts)
    chances = classifier.calibration.probabilities(outcomes.target, outcomes.logits)
    for row, answer in zip(chances.tolist(), answers, strict=True):
        assert row == pytest.approx(list(answer["probabilities"].values()), abs=1e-6)
    expected = -log_softmax(outcomes.logits, -1)[np.arange(len(texts)), outcomes.targets]
    losses = Evaluation(outcomes).losses
    assert losses == pytest.approx(expected, rel=1e-5)
    assert float(losses.mean()) == pytest.approx(metrics["test_loss"], abs=1e-6)
    # [CLS], four words and the number's pieces, as many "very" as the row has, [SEP]; "the" stands once in each.
    assert outcomes.lengths.tolist() == [len(text.split()) + 2 for text in texts]


@pytest.mark.usefixtures("fitted")
def test_fewer_batches(reviews: dict[str, Path]) -> None:
    keep = Keep()
    main(
        ["test", "--ckpt_path", "last", "--data.test_file", str(reviews["test"]), "--data.eval_batch_size", "4",
         "--trainer.limit_test_batches", "2"],
        callbacks=[keep],
    )  # fmt: skip
    assert keep.outcomes is not None
    assert len(keep.outcomes.rows) == len(keep.outcomes.logits) == 8
    names = [keep.outcomes.target.labels[index] for index in keep.outcomes.targets.tolist()]
    assert keep.outcomes.rows.label is not None
    assert keep.outcomes.rows.label.to_pylist() == names


def test_sets_and_numbers_have_losses_too() -> None:
    from lit_textclf.classifier.tasks.table import RULES

    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 3, generator=generator)
    sets = torch.rand(5, 3, generator=generator).round()
    values = torch.randn(5, generator=generator)
    torch.testing.assert_close(
        RULES["multi_label"].row_losses(logits, sets).mean(), RULES["multi_label"].loss(logits, sets)
    )
    assert RULES["regression"].row_losses(logits[:, :1], values)[2] == (logits[2, 0] - values[2]) ** 2
