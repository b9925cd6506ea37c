"""The most telling words, by hand."""

from __future__ import annotations

from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.evaluation.explanations import Explanations


def answer(label: str | None, error: float | None = None, **words: float) -> dict[str, object]:
    found = [{"word": word, "start": 0, "end": 1, "weight": weight} for word, weight in words.items()]
    return {"explained": label, "words": found, **({} if error is None else {"error": error})}


def explanations(target: Target, *answers: dict[str, object]) -> Explanations:
    found = Explanations(target, ColumnNames())
    found.count(answers)
    return found


def test_most_telling_words() -> None:
    target = Target("single_label", ("bad", "good"))
    found = explanations(
        target,
        answer("good", Fine=1.0, fine=0.5, film=-0.25),
        answer("good", fine=0.5, great=1.5, film=0.25),
        answer("bad", fine=0.125, awful=2.0),
    )
    assert found.most_telling("good") == [("fine", 1.0, 2), ("great", 1.5, 1)]
    assert found.most_telling("good", 1) == [("fine", 1.0, 2)]
    assert found.most_telling("bad") == [("awful", 2.0, 1), ("fine", 0.125, 1)]


def test_completeness_is_reported() -> None:
    target = Target("regression")
    assert explanations(target, answer(None, a=1.0)).report() == []
    found = explanations(target, answer(None, 0.001, a=1.0), answer(None, 0.015), answer(None, 0.25))
    line = (
        "completeness error: median 1.50%, at most 25.00% of the sum of absolute weights; in 1 row it is more than 2%"
    )
    assert found.report() == [line]
    assert found.metrics() == {"rows": 3, "completeness_error": 0.25}
    assert found.most_telling("prediction") == [("a", 1.0, 1)]
