from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from lit_textclf import UserError, load
from lit_textclf.export.onnx_runtime import read_model_folder
from lit_textclf.serving.options import ServeOptions
from lit_textclf.serving.served_model import ServedModel

TEXTS = ["the film was good", "bad", ""]


def served(folder: Path, threshold: object = None, **options: object) -> ServedModel:
    chosen = ServeOptions(**options)  # type: ignore[arg-type]
    return ServedModel.of(read_model_folder(folder), "onnx", "digest", chosen, threshold)


@pytest.mark.slow  # the export of an ONNX model takes ten seconds
def test_answers_as_classify_does(exported_model: Path) -> None:
    sent = pickle.loads(pickle.dumps(served(exported_model)))
    model = sent.load("cpu")
    assert sent.answers(model, TEXTS, None) == load(exported_model).classify(TEXTS)


@pytest.mark.slow  # the export of an ONNX model takes ten seconds
def test_options_decide(exported_model: Path) -> None:
    positive = "positive"
    strict, lenient = served(exported_model, 1.0), served(exported_model, 0.0)
    model = strict.load("cpu")
    assert {answer["label"] for answer in strict.answers(model, TEXTS, None)} == {"negative"}
    assert {answer["label"] for answer in lenient.answers(model, TEXTS, None)} == {positive}
    for answer in served(exported_model, min_score=1.0, top_k=1).answers(model, TEXTS, None):
        assert answer["label"] is None
        assert answer["abstained"] is True
        assert list(answer["probabilities"].values()) == [answer["score"]]
    assert not any(answer["abstained"] for answer in served(exported_model, min_score=0.0).answers(model, TEXTS, None))


@pytest.mark.slow  # the export of an ONNX model takes ten seconds
def test_says_what_it_is(exported_model: Path) -> None:
    info = served(exported_model, 0.7).info()
    assert info["labels"] == ["negative", "positive"]
    assert (info["task"], info["digest"], info["threshold"]) == ("single_label", "digest", {"positive": 0.7})
    assert info["versions"]["lit_textclf"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": 70_000}, "--port 70000"),
        ({"min_score": 2.0}, "--min_score 2.0"),
        ({"top_k": 0}, "--top_k 0: must be at least 1"),
        ({"timeout": float("inf")}, "--timeout inf"),
        ({"batch_timeout": 40.0}, "--batch_timeout 40.0"),
        ({"api_key_env": "NO_SUCH_KEY"}, "--api_key_env NO_SUCH_KEY: this environment variable is not set"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ServeOptions(**options)  # type: ignore[arg-type]
