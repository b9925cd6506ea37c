"""A model's configuration: loading it, and storing it in a checkpoint."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lit_textclf.utils.messages import UserError, first_line
from lit_textclf.utils.paths import local_or_hub

if TYPE_CHECKING:
    from transformers import PretrainedConfig


DEFAULT_MODEL = "google-bert/bert-base-uncased"
PoolingOption = Literal["auto", "own", "cls", "mean", "max"]
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet", "data2vec-text")
"""Models whose first position is `pad_token_id + 1` (transformers, `create_position_ids_from_input_ids`)."""
_NUMBER_OF_POSITIONS = ("max_position_embeddings", "n_positions")
"""The names that configurations have for it (transformers, `attribute_map`)."""


def config_from_json(text: str) -> PretrainedConfig:
    """The inverse of :func:`config_to_json`.

    Raises:
        UserError: if the installed transformers does not know the architecture.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, __version__

    values = json.loads(text)
    if (kind := values.pop("model_type")) not in CONFIG_MAPPING:
        raise UserError(
            f"the checkpoint's model is a {kind!r}, which transformers {__version__} does not know: it needs a newer "
            "transformers; run pip install -U transformers"
        )
    return AutoConfig.for_model(kind, **values)  # type: ignore[no-any-return]


def config_to_json(config: PretrainedConfig) -> str:
    """A configuration as JSON: as a dict it would have integer keys, which `weights_only=True` refuses to load."""
    values = json.loads(config.to_json_string(use_diff=False))
    values.pop("_name_or_path", None)  # a folder on the machine that trained it
    return json.dumps(values)


def load_config(name_or_path: str) -> PretrainedConfig:
    """Loads the configuration of a folder or Hub name.

    Raises:
        UserError: if it cannot be loaded.
    """
    from transformers import AutoConfig

    source = local_or_hub(name_or_path, "model.model_name_or_path")
    try:
        return AutoConfig.from_pretrained(source)  # type: ignore[no-any-return]
    except Exception as error:
        raise UserError(f"model.model_name_or_path {name_or_path!r}: no model ({first_line(error)})") from None


def positions_of(name_or_path: str) -> int | None:
    """:func:`max_positions` of a local folder; BERT's without transformers, which knows the defaults of the others.

    Raises:
        UserError: if the configuration cannot be loaded.
    """
    path = Path(local_or_hub(name_or_path, "model.model_name_or_path")) / "config.json"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # transformers says what is wrong
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
        if values["model_type"] == "bert" and values["max_position_embeddings"] > 0:
            return max_positions_of(text)
    return max_positions(load_config(name_or_path))


def max_positions(config: PretrainedConfig) -> int | None:
    """The longest sequence the model has positions for, in tokens; None if its configuration sets no limit."""
    return _positions(getattr(config, "max_position_embeddings", None), config.model_type, config.pad_token_id)


def max_positions_of(text: str) -> int | None:
    """:func:`max_positions` of a configuration as JSON, without transformers."""
    values = json.loads(text)
    limit = next((values[name] for name in _NUMBER_OF_POSITIONS if name in values), None)
    return _positions(limit, values.get("model_type"), values.get("pad_token_id"))


def _positions(limit: int | None, model_type: str | None, pad_token_id: int | None) -> int | None:
    if limit is not None and model_type in _OFFSET_POSITIONS:
        limit -= (pad_token_id or 0) + 1
    return limit if limit is not None and limit > 0 else None
