"""Token ids of complete texts, without special tokens, cached in memory-mapped Arrow files.

Truncation and special tokens are applied later (`batches/`), so one cache serves every `max_length` and `long_text`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import tokenizers

from lit_textclf.data.rows.rows import text_digest
from lit_textclf.data.tokens.special_tokens import read_completely
from lit_textclf.utils.atomic import atomic_file
from lit_textclf.utils.messages import note

if TYPE_CHECKING:
    from lit_textclf.data.tokens.tokenizer import TextTokenizer


CHUNK_TEXTS = 4096
_FORMAT = "1"
_SCHEMA = pa.schema([("ids", pa.list_(pa.int32()))])


class TokenColumn:
    """Token ids of many texts, memory-mapped or in memory; a row is a view, not a copy.

    Attributes:
        lengths: the number of tokens of each text, `(texts,)`, int64.
    """

    def __init__(self, table: pa.Table) -> None:
        self._values: list[np.ndarray] = []
        self._offsets: list[np.ndarray] = []
        for chunk in table["ids"].chunks:
            if len(chunk):
                self._offsets.append(chunk.offsets.to_numpy())
                self._values.append(chunk.values.to_numpy())
        self._starts = np.cumsum([0] + [len(offsets) - 1 for offsets in self._offsets])
        self.lengths = np.concatenate([np.diff(offsets) for offsets in self._offsets] or [np.empty(0)]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def count(self, token: int) -> np.ndarray:
        """How often each text has a token, `(texts,)`, int64."""
        counts = [np.empty(0, np.int64)]
        for values, offsets in zip(self._values, self._offsets, strict=True):
            up_to = np.concatenate([[0], np.cumsum(values == token)])
            counts.append(up_to[offsets[1:]] - up_to[offsets[:-1]])
        return np.concatenate(counts)

    def __getitem__(self, index: int) -> np.ndarray:
        """Token ids of one text, `(tokens,)`, int32."""
        chunk = int(np.searchsorted(self._starts, index, side="right")) - 1
        offsets = self._offsets[chunk]
        row = index - int(self._starts[chunk])
        return self._values[chunk][offsets[row] : offsets[row + 1]]


def tokenize(texts: pa.ChunkedArray, tokenizer: TextTokenizer, cache_dir: Path | None = None) -> TokenColumn:
    """Tokenizes texts, or reads their tokens from the cache.

    The key is a hash of the texts, the tokenizer and the version of its library. An Arrow file ends with a footer, so a
    truncated one is detected, reported and written again.

    Args:
        texts: strings, `(texts,)`, without nulls.
        tokenizer: the fast tokenizer.
        cache_dir: the folder of the token files; None does not write any.
    """
    read_completely(tokenizer)  # before the key, which would differ otherwise
    if cache_dir is None:
        return TokenColumn(pa.Table.from_batches(_encoded(texts, tokenizer), _SCHEMA))
    path = cache_dir / f"{_content_key(texts, tokenizer)}.arrow"
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _mapped(path, len(texts))
    except (pa.ArrowInvalid, OSError) as error:
        note(f"{path}: token cache unusable ({str(error).splitlines()[0]}), written again")
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            os.fchmod(sink.fileno(), 0o600)  # tokens are as private as their texts
            for batch in _encoded(texts, tokenizer):
                writer.write_batch(batch)
    except OSError as error:
        note(f"{cache_dir}: tokens are not cached ({error.strerror})")
        return tokenize(texts, tokenizer)
    return _mapped(path, len(texts))


def _mapped(path: Path, rows: int) -> TokenColumn:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    if len(table) != rows:
        raise pa.ArrowInvalid(f"{len(table)} texts for {rows}")
    return TokenColumn(table)


def token_ids(texts: Sequence[str], tokenizer: TextTokenizer) -> list[list[int]]:
    """Token ids of each text, without special tokens; the tokenizer's own threads share the texts."""
    read_completely(tokenizer)
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _encoded(texts: pa.ChunkedArray, tokenizer: TextTokenizer) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(texts), CHUNK_TEXTS):
        rows = token_ids(texts.slice(start, CHUNK_TEXTS).to_pylist(), tokenizer)
        offsets = np.cumsum([0] + [len(row) for row in rows]).astype(np.int32)
        values = np.fromiter((token for row in rows for token in row), np.int32, int(offsets[-1]))
        ids = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        yield pa.record_batch([ids], schema=_SCHEMA)


def _content_key(texts: pa.ChunkedArray, tokenizer: TextTokenizer) -> str:
    parts = (text_digest(texts), tokenizer.backend_tokenizer.to_str(), tokenizers.__version__, _FORMAT)
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def default_cache_dir() -> Path:
    """`lit_textclf/tokens` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lit_textclf" / "tokens"
