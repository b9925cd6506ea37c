"""A tokenizer that transformers has saved, read without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

_PAD_LEFT = ("XLNetTokenizer",)
"""transformers' classes that pad on the left, and do not save it (transformers 5.23)."""


@dataclass(frozen=True)
class SavedTokenizer:
    """What batches need of a tokenizer, by the names of transformers.

    Attributes:
        backend_tokenizer: of the `tokenizers` library.
        model_max_length: the longest sequence of its model, in tokens; a huge number if it knows none.
        model_input_names: the model's arguments.
        pad_token_id: the padding token, None if there is none.
        pad_token_type_id: its segment id.
        padding_side: right or left.
        unk_token_id: the token of unknown words, None if there is none.
        mask_token_id: the token in place of a hidden word, None if there is none.
    """

    backend_tokenizer: Tokenizer
    model_max_length: int
    model_input_names: Sequence[str]
    pad_token_id: int | None
    pad_token_type_id: int
    padding_side: str
    unk_token_id: int | None
    mask_token_id: int | None = None

    @classmethod
    def from_files(cls, files: Mapping[str, str], model_input_names: Sequence[str]) -> SavedTokenizer:
        """Reads the files that `save_pretrained` wrote.

        Args:
            files: their texts by name.
            model_input_names: which the files do not name.

        Raises:
            ValueError: if a file is damaged.
            KeyError: if `tokenizer.json` or `tokenizer_config.json` is missing.
        """
        text, settings = files["tokenizer.json"], json.loads(files["tokenizer_config.json"])
        try:
            backend = Tokenizer.from_str(text)
        except Exception as error:  # the only type that the library has
            raise ValueError(f"tokenizer.json: {error}") from None
        padding, unknown, mask = (_id_of(settings.get(f"{name}_token"), backend) for name in ("pad", "unk", "mask"))
        side = "left" if settings.get("tokenizer_class") in _PAD_LEFT else "right"
        return cls(
            backend, int(settings.get("model_max_length", 10**30)), model_input_names, padding,
            settings.get("pad_token_type_id", 0), settings.get("padding_side", side), unknown, mask,
        )  # fmt: skip


def _id_of(token: str | Mapping[str, str] | None, backend: Tokenizer) -> int | None:
    """The id of a special token, which is saved as its text or with its properties."""
    if token is None:
        return None
    found: int | None = backend.token_to_id(token if isinstance(token, str) else token["content"])
    return found
