"""Texts in memory, checked and in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lit_textclf.data.batches.dataset import Encoded, Encoder
from lit_textclf.data.batches.padding import ArrayBatch, BatchTokenizer, Padder
from lit_textclf.data.tokens.long_text import LongText
from lit_textclf.data.tokens.token_cache import CHUNK_TEXTS, token_ids
from lit_textclf.utils.messages import UserError, plural


def checked_texts(
    texts: Sequence[str], text_pairs: Sequence[str] | None, caller: str
) -> tuple[list[str], list[str] | None]:
    """Texts, and the second texts of pairs, as lists.

    Args:
        texts: first texts.
        text_pairs: second texts, or None.
        caller: the function that takes them, for messages.

    Raises:
        UserError: if a text is not a string, or there are not as many second texts as first ones.
    """
    one_string, firsts = isinstance(text_pairs, str), list(texts)
    seconds = None if text_pairs is None else list(text_pairs)
    for name, given in (("texts", firsts), ("text_pairs", seconds or ())):
        for index, text in enumerate(given):
            if not isinstance(text, str):
                raise UserError(f"{caller}: {name}[{index}] is {text!r:.80}: must be a string")
            text.encode()  # the tokenizer would say of half a surrogate pair that it has the wrong type
    if seconds is not None and (one_string or len(seconds) != len(firsts)):
        raise UserError(f"{caller}: {plural(len(firsts), 'text')} need as many text_pairs; give a list of them")
    return firsts, seconds


def long_text_of(read_as: Mapping[str, Any]) -> LongText:
    """How long texts are read, from `long_text`, `window_stride` and `max_windows`, where they are not the defaults."""
    return LongText(read_as.get("long_text", "truncate"), read_as.get("window_stride"), read_as.get("max_windows", 8))


def batches_of_texts(
    texts: Sequence[str],
    text_pairs: Sequence[str] | None,
    tokenizer: BatchTokenizer,
    max_length: int,
    read_as: Mapping[str, Any],
    batch_size: int,
) -> Iterator[ArrayBatch]:
    """Batches of texts or pairs of texts, sorted by length, the longest first.

    They have the inputs of :class:`TokenizedDataset` and a data loader, which take longer for one text than a small
    model does. `read_as` has `long_text`, `window_stride` and `max_windows`, as far as they are not the defaults.
    """
    long_text = long_text_of(read_as)
    encoder = Encoder(tokenizer, max_length, long_text, pair=text_pairs is not None)
    columns = [_tokens(column, tokenizer) for column in (texts, text_pairs) if column is not None]
    rows = list(zip(*columns, strict=True))
    lengths = encoder.lengths(np.array([sum(map(len, row)) for row in rows]))
    padder = Padder(tokenizer, windows=long_text.mode == "window")
    order = np.argsort(-lengths, kind="stable").tolist()
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        yield padder.pad([Encoded(row, encoder.sequences(*rows[row]), None) for row in batch])


def _tokens(texts: Sequence[str], tokenizer: BatchTokenizer) -> list[np.ndarray]:
    """Token ids of each text, `(tokens,)`, int32."""
    chunks = (texts[start : start + CHUNK_TEXTS] for start in range(0, len(texts), CHUNK_TEXTS))
    return [np.array(ids, np.int32) for chunk in chunks for ids in token_ids(chunk, tokenizer)]
