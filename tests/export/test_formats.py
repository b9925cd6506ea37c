"""Exporters by name and by the path of a class, and the model card of one of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from lit_textclf import main

OWN = """
from lit_textclf.export.exporter import Exporter


class LabelsOnly(Exporter):
    library = "none"

    def write(self, stored, folder):
        (folder / "labels.txt").write_text(" ".join(stored.target.labels))
        return stored

    def usage(self, stored):
        return "Read `labels.txt`."

    def report(self, stored, output):
        return [f"next: cat {output}/labels.txt"]
"""


@pytest.fixture
def _own_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:  # type: ignore[misc]
    (tmp_path / "own_exporter.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_exporter", None)


@pytest.mark.usefixtures("_own_module")
def test_an_exporter_of_the_users(
    fit_args: list[str], fails: Callable[[Sequence[str]], str], capfd: pytest.CaptureFixture[str]
) -> None:
    metrics = main([*fit_args, "--trainer.max_epochs", "1", "--data.long_text", "window"])
    export = ["export", "--ckpt_path", "last", "--output", "model"]
    main([*export, "--format", "own_exporter.LabelsOnly"])
    assert "next: cat model/labels.txt" in capfd.readouterr().err
    assert Path("model/labels.txt").read_text(encoding="utf-8") == "negative positive"
    head, body = Path("model/README.md").read_text(encoding="utf-8").removeprefix("---\n").split("\n---\n")
    assert yaml.safe_load(head)["library_name"] == "none"
    parts = [
        "# model\n\nGives each text one label out of 2; fine-tuned with lit_textclf",
        "## Use\n\nRead `labels.txt`.\n\n## Labels\n\n0. `negative`\n1. `positive`\n\n## Metrics\n\n",
        "| | |\n|---|---|\n| val_loss | ",
        f" |\n| val_accuracy | {metrics['val_accuracy']:.4f} |\n",
        "\n\n## Training\n\n| option | value |\n|---|---|\n| `model.model_name_or_path` | tiny_bert0 |\n",
        "\n| `data.validation_file` | validation.csv |\n\n## Limits\n\n- Texts longer than 16 tokens are cut off; pass",
        "\n- It was trained with `data.long_text: window`, which this format does not carry",
        "\n\n## Versions\n\ntorch ",
    ]
    places = [body.find(part) for part in parts]
    assert -1 not in places, (places, body)
    assert places == sorted(places)
    assert "\n\n\n" not in body
    assert "--quantize int8 is for --format onnx" in fails([*export, "--quantize", "int8"])
    assert "--quantize: must be int8" in fails([*export, "--format", "onnx", "--quantize", "int4"])
    assert "--format 'onxx': unknown; did you mean 'onnx'?" in fails([*export, "--format", "onxx"])
