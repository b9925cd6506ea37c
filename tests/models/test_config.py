"""The number of positions, from a configuration and from its JSON alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoConfig

from lit_textclf.models.config import load_config, max_positions, max_positions_of, positions_of
from lit_textclf.utils.messages import UserError


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        ("bert", 512), ("roberta", 512), ("xlm-roberta", 512), ("mpnet", 510), ("distilbert", 512), ("gpt2", 1024),
        ("modernbert", 8192), ("xlnet", None), ("longformer", 510), ("t5", None),
    ],
)  # fmt: skip
def test_without_transformers(model_type: str, expected: int | None) -> None:
    """As saved: without what equals the default of every model."""
    config = AutoConfig.for_model(model_type)
    if model_type in ("roberta", "xlm-roberta"):
        config.max_position_embeddings = 514
    assert max_positions(config) == max_positions_of(config.to_json_string()) == expected


def test_positions_with_and_without_transformers(tiny_bert: Path, tmp_path: Path) -> None:
    assert positions_of(str(tiny_bert)) == max_positions(load_config(str(tiny_bert))) == 48
    settings = json.loads((tiny_bert / "config.json").read_text(encoding="utf-8"))
    for name, change in {
        "default": {"max_position_embeddings": None},
        "roberta": {"model_type": "roberta", "pad_token_id": 1},
        "electra": {"model_type": "electra"},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        changed = {key: value for key, value in {**settings, **change}.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(changed), encoding="utf-8")
        assert positions_of(str(folder)) == max_positions(load_config(str(folder)))
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="no model"):
        positions_of(str(tmp_path))
