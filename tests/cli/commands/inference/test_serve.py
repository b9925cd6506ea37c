from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from lit_textclf import load
from tests.serving.running import Running

Fails = Callable[[Sequence[str]], str]


@pytest.mark.usefixtures("exported")
def test_answers_as_classify_does_without_torch(tmp_path: Path) -> None:
    for name in ("torch", "transformers", "lightning"):
        (tmp_path / "absent").mkdir(exist_ok=True)
        (tmp_path / "absent" / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})", encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path / "absent"), *sys.path[1:]])
    texts = ["the film was good", "<script>alert(1)</script>", ""]
    expected = load("model").classify(texts)
    with Running("--engine", "onnx", "--model_dir", "model", "--max_texts", "3", PYTHONPATH=paths) as server:
        assert server.request("/health").body == "ok"
        reply = server.request("/predict", {"texts": texts})
        assert reply.status == 200
        assert reply.headers["content-type"] == "application/json"
        found = reply.body
        assert [answer["label"] for answer in found] == [answer["label"] for answer in expected]
        for answer, wanted in zip(found, expected, strict=True):
            assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)
        assert server.request("/predict", {"text": texts[0]}).body["label"] == expected[0]["label"]
        refused = server.request("/predict", {"texts": ["a", 3]})
        assert (refused.status, refused.body) == (422, {"error": "texts[1]: a number, must be a string"})
        assert server.request("/predict", {"texts": ["a"] * 4}).status == 413
        assert server.request("/predict").status == 405
        assert server.request("/no/such/path").body == {"error": "Not Found"}
        info = server.request("/info").body
        assert (info["engine"], info["labels"], info["limits"]["max_texts"]) == ("onnx", ["negative", "positive"], 3)
        metrics = server.request("/metrics").body
        assert "lit_textclf_rows_total 4.0" in metrics
        assert 'lit_textclf_requests_total{status="422"} 1.0' in metrics
        schema = server.request("/openapi.json").body
        assert schema["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
        assert server.stop() == 0
        assert "Traceback" not in "".join(server.log)
        assert "film" not in "".join(server.log)


@pytest.mark.usefixtures("exported")
def test_mistakes_are_one_line(fails: Fails) -> None:
    assert "serve needs --ckpt_path" in fails(["serve"])
    assert "--min_score 2.0: must be" in fails(["serve", "--ckpt_path", "last", "--min_score", "2"])
    assert "no such checkpoint" in fails(["serve", "--ckpt_path", "no.ckpt"])
    onnx = ["serve", "--engine", "onnx", "--model_dir", "model"]
    assert "--execution_provider 'NoSuch': there are" in fails([*onnx, "--execution_provider", "NoSuch"])
    assert "--threshold 1.5: must be" in fails([*onnx, "--threshold", "1.5"])
    assert "no option --maxqueue; did you mean 'max_queue'?" in fails([*onnx, "--maxqueue", "3"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"--port {port}: Address already in use" in fails([*onnx, "--port", port])


@pytest.mark.usefixtures("exported")
def test_the_extra_is_named(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "litserve" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    line = fails(["serve", "--engine", "onnx", "--model_dir", "model"])
    assert line == "error: litserve is not installed; pip install 'lit-textclf[serve]'"
