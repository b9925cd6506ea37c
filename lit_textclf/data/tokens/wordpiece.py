"""BERT's WordPiece tokenizer, built from its files without transformers, whose import takes seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

_TOKENS = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
"""BERT's special tokens, by the names of their settings."""
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
"""How BERT's special tokens are found in a text."""
_OTHERS = (
    "auto_map", "additional_special_tokens", "extra_special_tokens", "fast_tokenizer_files", "max_len",
    "split_special_tokens",
)  # fmt: skip
"""Settings of tokenizers that are more than BERT's."""
_NO_LIMIT = int(1e30)
"""The `model_max_length` of a tokenizer without one, in transformers."""


@dataclass(frozen=True)
class WordPiece:
    """A tokenizer with those attributes of transformers' tokenizers that turn texts into token ids.

    Attributes:
        backend_tokenizer: the tokenizer.
        model_max_length: the longest sequence of its model, in tokens.
        unk_token_id: the id of unknown words.
    """

    backend_tokenizer: Tokenizer
    model_max_length: int
    unk_token_id: int

    @classmethod
    def from_folder(cls, folder: Path) -> WordPiece | None:
        """Builds the tokenizer of a folder as transformers 5.23 builds a `BertTokenizer`.

        Returns:
            None for any other tokenizer, and for files that cannot be read: transformers says what is wrong with them.
        """
        try:
            settings = _read(folder / "tokenizer_config.json")
            named, config = (
                _read(path) if (path := folder / name).is_file() else {}
                for name in ("special_tokens_map.json", "config.json")
            )
            if (
                settings.get("tokenizer_class") not in ("BertTokenizer", "BertTokenizerFast")
                or config.get("model_type", "bert") != "bert"
                or any(value and _is_other(name) for name, value in settings.items())
                or (folder / "added_tokens.json").is_file()
                or any(settings.get(name) != token for name, token in named.items())
            ):
                return None
            content = _read(folder / "tokenizer.json")
            tokens = {name: settings.get(name, token) for name, token in _TOKENS.items()}
            added = [*content["added_tokens"], *settings.get("added_tokens_decoder", {}).values()]
            if any({**token, **_PLAIN} != token or token["content"] not in tokens.values() for token in added):
                return None
            vocabulary = content["model"]["vocab"]
            backend = _built(vocabulary, settings, **tokens)
            limit = int(settings.get("model_max_length", _NO_LIMIT))
            return cls(backend, limit, vocabulary[tokens["unk_token"]])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None


def _is_other(setting: str) -> bool:
    """Whether a setting is more than BERT's: transformers adds the token of each `..._token`."""
    return setting in _OTHERS or (setting.endswith("_token") and setting not in _TOKENS)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _built(vocabulary: dict[str, int], settings: Mapping[str, Any], **tokens: str) -> Tokenizer:
    """What `BertTokenizer.__init__` does."""
    unknown, first, end = (tokens[f"{name}_token"] for name in ("unk", "cls", "sep"))
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    by_id = sorted(tokens.values(), key=lambda token: vocabulary[token])
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in by_id])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {end}:0",
        pair=f"{first}:0 $A:0 {end}:0 $B:1 {end}:1",
        special_tokens=[(token, vocabulary[token]) for token in (first, end)],
    )
    return backend
