"""The number of positions, from a configuration and from its JSON alone."""

from __future__ import annotations

import pytest
from transformers import AutoConfig

from lit_textclf.models.config import max_positions, max_positions_of


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
