"""The model card of an exported model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lit_textclf import Target
from lit_textclf.classifier.checkpoint import read_checkpoint
from lit_textclf.export.huggingface import HuggingFaceExporter
from lit_textclf.export.model_card import model_card


def test_label_names_stay_on_their_lines(fitted: Path) -> None:
    stored = read_checkpoint(fitted / "checkpoints/last.ckpt")
    odd = replace(stored, target=Target("single_label", ("two\nlines", "\x1b[31mred")))
    card = model_card(odd, "model", HuggingFaceExporter())
    assert "## Labels\n\n0. `two\\nlines`\n1. `\\x1b[31mred`\n" in card
