"""The tokenizer: loaded, and carried by a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_textclf.utils.messages import UserError
from lit_textclf.utils.paths import is_local, local_or_hub

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")


def load_tokenizer(name_or_path: str, option: str, *, local_only: bool = False) -> PreTrainedTokenizerFast:
    """Loads a fast tokenizer from a folder or by its Hub name; a folder with only a `vocab.txt` is WordPiece.

    Args:
        name_or_path: a folder, `package:NAME/PATH` or a Hub name.
        option: the option that names it, for messages.
        local_only: whether a Hub name is looked for on this machine only.

    Raises:
        UserError: if it cannot be loaded, or is not a fast tokenizer.
    """
    from transformers import AutoTokenizer, BertTokenizer

    source = local_or_hub(name_or_path, option)
    folder = Path(source)
    try:
        if (folder / "vocab.txt").is_file() and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
            # The argument is `vocab`: transformers 5 takes `vocab_file` too, without a word, and knows 5 tokens.
            return BertTokenizer(vocab=str(folder / "vocab.txt"))
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local_only)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        remedy = "name a folder with a tokenizer's files"
        if not is_local(name_or_path):
            remedy = (
                "give the name of a model on the Hub and a way to it, or a folder or package:NAME/PATH on this machine"
            )
        raise UserError(f"{option} {name_or_path!r}: no tokenizer could be loaded ({reason}); {remedy}") from None
    if not tokenizer.is_fast:
        raise UserError(
            f"{option} {name_or_path!r}: {type(tokenizer).__name__} is not a fast tokenizer; choose a model with a "
            "tokenizer.json"
        )
    return tokenizer  # type: ignore[no-any-return,return-value]


def tokenizer_to_files(tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """A tokenizer as the text files that `save_pretrained` writes, by name, for a checkpoint to carry."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}


def tokenizer_from_files(files: dict[str, str]) -> PreTrainedTokenizerFast:
    """The inverse of :func:`tokenizer_to_files`.

    Raises:
        UserError: if its files cannot be written to the temporary folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, text in files.items():
                (Path(folder) / Path(name).name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{folder}: the tokenizer cannot be put there ({error.strerror}); set TMPDIR") from None
        return load_tokenizer(folder, "the checkpoint's tokenizer")


def special_values(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What padding needs of a tokenizer: its padding id, type id and side."""
    if tokenizer.pad_token_id is None:
        raise UserError("the tokenizer has no padding token; choose a model whose tokenizer has one")
    return {
        "pad_id": tokenizer.pad_token_id,
        "pad_type_id": tokenizer.pad_token_type_id,
        "left": tokenizer.padding_side == "left",
    }
