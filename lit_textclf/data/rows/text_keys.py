"""Which texts count as equal: exactly, or ignoring case, punctuation and the width of spaces; and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import plural

_TEXTS_AT_A_TIME = 65_536
_DROPPED = r"\p{P}+"
_SPACES = r"[\s\p{Z}\x{85}]{2,}|[\t-\r\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"
"""All white space except a single space, because replacing each of those by itself would take most of the time."""


def normalized(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Case-folds texts, drops punctuation (Unicode's category P), and makes each run of white space one space.

    Symbols (emoji, currencies, +) are kept, because two texts may differ in nothing else. A text of only punctuation
    keeps it.
    """
    folded = pc.utf8_lower(texts)
    other = pc.invert(pc.string_is_ascii(texts))
    if pc.any(other).as_py():  # for ASCII, lower() equals casefold(), and Arrow's is twenty times as fast
        folds = [text.casefold() for text in pc.filter(texts, other).to_pylist()]
        folded = pa.chunked_array(
            [pc.replace_with_mask(folded.combine_chunks(), other.combine_chunks(), pa.array(folds))]
        )
    dropped = pc.replace_substring_regex(folded, _DROPPED, "")
    dropped = pc.utf8_trim_whitespace(pc.replace_substring_regex(dropped, _SPACES, " "))
    return pc.if_else(pc.equal(dropped, ""), folded, dropped)


def joined(texts: pa.ChunkedArray, pairs: pa.ChunkedArray | None) -> pa.ChunkedArray:
    """Joins the two texts of each pair with a control character; single texts stay as they are."""
    return texts if pairs is None else pc.binary_join_element_wise(texts, pairs, "\x1f")


def equal_codes(texts: Sequence[pa.ChunkedArray]) -> list[np.ndarray]:
    """A number for each text, `(texts,)` for each column, the same for equal texts in all columns."""
    chunks = [chunk for column in texts for chunk in column.chunks]
    encoded = pa.chunked_array(chunks, pa.string()).dictionary_encode()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks] or [np.empty(0, np.int32)])
    return np.split(codes, np.cumsum([len(column) for column in texts])[:-1])


def text_keys(rows: Rows) -> np.ndarray:
    """A 64-bit hash for each row, `(rows,)`, equal for texts that differ only in case, spaces and punctuation.

    It is the same on every machine and in every run: BLAKE2b of the :func:`normalized` text.
    """
    return rows.once("text keys", lambda: _hashes(rows))


def describe_known(rows: Rows, keys: np.ndarray, split: str) -> str | None:
    """Says how many rows of a split have one of the keys, those of training rows, and names the first; None if none."""
    known = np.flatnonzero(np.isin(text_keys(rows), keys))
    if not len(known):
        return None
    return f"{split}: {len(known):,} of {plural(len(rows), 'row')} were trained on (first: {rows.where(int(known[0]))})"


def _hashes(rows: Rows) -> np.ndarray:
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _TEXTS_AT_A_TIME):
        texts = normalized(rows.text.slice(start, _TEXTS_AT_A_TIME)).to_pylist()
        pairs = [""] * len(texts)
        if rows.text_pair is not None:
            pairs = normalized(rows.text_pair.slice(start, _TEXTS_AT_A_TIME)).to_pylist()
        for index, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
            digest = hashlib.blake2b(f"{text}\x1f{pair}".encode(), digest_size=8).digest()
            keys[start + index] = int.from_bytes(digest, "little")
    return keys
