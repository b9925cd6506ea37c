"""Loads the tokenizer, from a folder, the Hub or a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tokenizers import Tokenizer

from lit_textclf.data.tokens.wordpiece import WordPiece
from lit_textclf.utils.messages import UserError, first_line
from lit_textclf.utils.paths import is_local, local_or_hub

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")


class TextTokenizer(Protocol):
    """What turns texts into token ids: a tokenizer of transformers, or a :class:`WordPiece`."""

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the `tokenizers` library."""

    @property
    def model_max_length(self) -> int:
        """The longest sequence of its model, in tokens."""

    @property
    def unk_token_id(self) -> int | None:
        """The id of unknown words; None if there are none."""


def read_tokenizer(name_or_path: str, option: str, *, local_only: bool = False) -> TextTokenizer:
    """Reads the tokenizer of :func:`load_tokenizer` for its token ids; BERT's without transformers.

    `local_only` searches for a Hub name only in this machine's cache.

    Raises:
        UserError: if it cannot be loaded or is not fast; choose a model with a tokenizer.json.
    """
    source = local_or_hub(name_or_path, option)
    if local_only and not is_local(name_or_path):
        from huggingface_hub import try_to_load_from_cache

        settings = try_to_load_from_cache(source, "tokenizer_config.json")
        if not isinstance(settings, str):
            raise UserError(f"{option} {name_or_path!r}: its tokenizer is not on this machine")
        name_or_path = source = str(Path(settings).parent)
    return WordPiece.from_folder(Path(source)) or load_tokenizer(name_or_path, option)


def load_tokenizer(name_or_path: str, option: str) -> PreTrainedTokenizerFast:
    """Loads a fast tokenizer from a folder or by its Hub name; a folder with only a `vocab.txt` is WordPiece.

    Raises:
        UserError: if it cannot be loaded or is not fast; choose a model with a tokenizer.json.
    """
    from transformers import AutoTokenizer, BertTokenizer

    source = local_or_hub(name_or_path, option)
    folder = Path(source)
    try:
        if (folder / "vocab.txt").is_file() and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
            # The argument is `vocab`: transformers 5 silently accepts `vocab_file` and then knows only 5 tokens.
            return BertTokenizer(vocab=str(folder / "vocab.txt"))
        tokenizer = AutoTokenizer.from_pretrained(source)
    except Exception as error:
        reason = first_line(error)
        remedy = "name a folder with a tokenizer's files"
        if not is_local(name_or_path):
            remedy = "check the name and the network, or name a folder or package:NAME/PATH on this machine"
        raise UserError(f"{option} {name_or_path!r}: no tokenizer could be loaded ({reason}); {remedy}") from None
    if not tokenizer.is_fast:
        raise UserError(
            f"{option} {name_or_path!r}: {type(tokenizer).__name__} is not a fast tokenizer; choose a model with a "
            "tokenizer.json"
        )
    return tokenizer  # type: ignore[no-any-return,return-value]


def tokenizer_to_files(tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """The text files that `save_pretrained` writes, by name, to be stored in a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}


def tokenizer_from_files(files: dict[str, str]) -> PreTrainedTokenizerFast:
    """The inverse of :func:`tokenizer_to_files`.

    Raises:
        UserError: if the files cannot be written to the temporary folder; set TMPDIR.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, text in files.items():
                (Path(folder) / Path(name).name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{folder}: the tokenizer cannot be written there ({error.strerror}); set TMPDIR") from None
        return load_tokenizer(folder, "the checkpoint's tokenizer")


def same_tokens(one: TextTokenizer, other: TextTokenizer) -> bool:
    """Whether two tokenizers give the same token ids."""
    return one is other or one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
