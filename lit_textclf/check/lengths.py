"""How long texts are in tokens, how many are truncated, and how many tokens the tokenizer does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from lit_textclf.check.findings import Examination, Finding, Severity, examples
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.tokens.special_tokens import SpecialTokens
from lit_textclf.data.tokens.token_cache import TokenColumn, tokenize
from lit_textclf.utils.messages import agree, plural

if TYPE_CHECKING:
    from lit_textclf.data.tokens.tokenizer import TextTokenizer


SAMPLE = 100_000
"""The most rows of a split whose tokens are counted; of a larger split, a sample is."""
SEVERE_UNKNOWN = 0.2
"""The share of unknown tokens that indicates a tokenizer for another language."""
SHARES = {"p5": 5, "p50": 50, "p95": 95, "p99": 99}


class Unknown(NamedTuple):
    """The share of tokens that the tokenizer does not know, and the number of rows that have any."""

    share: float
    rows: int


class Lengths(NamedTuple):
    """How many tokens the rows of a split have, special tokens included.

    Attributes:
        rows: the rows that were counted.
        lengths: their tokens, `(rows,)`.
        truncated: how many rows of the split are longer than `data.max_length`, scaled up from a sample.
        unknown: tokens that the tokenizer does not know; None without a tokenizer, or if it knows all.
        sampled: how many rows were counted, None for all.
    """

    rows: Rows
    lengths: np.ndarray
    truncated: int
    unknown: Unknown | None
    sampled: int | None

    def to_dict(self) -> dict[str, Any]:
        """The numbers of the split, as `check --format json` prints them."""
        of = {name: int(np.percentile(self.lengths, share, method="inverted_cdf")) for name, share in SHARES.items()}
        tokens: dict[str, Any] = {**of, "max": int(self.lengths.max())}
        if self.unknown is not None:
            tokens["unknown_share"] = self.unknown.share
        if self.sampled is not None:
            tokens["sampled_rows"] = self.sampled
        return {"tokens": tokens, "truncated": self.truncated}


def lengths_of(
    rows: Rows, tokenizer: TextTokenizer | None, max_length: int, cache_dir: Path | None, sample: int = SAMPLE
) -> Lengths:
    """Counts the tokens of a split, or the words between spaces without a tokenizer.

    Of more than `sample` rows, a seeded sample is counted. The tokens of complete splits are kept in `cache_dir`, where
    `fit` finds them.
    """
    part, sampled = sample_of(rows, sample), None
    if len(part) < len(rows):
        sampled, cache_dir = sample, None
    columns = [part.text] if part.text_pair is None else [part.text, part.text_pair]
    unknown = None
    if tokenizer is None:
        counts = [pc.list_value_length(pc.utf8_split_whitespace(column)).to_numpy() for column in columns]
        lengths = np.sum(counts, axis=0) + len(columns) + 1
    else:
        tokens = [tokenize(column, tokenizer, cache_dir) for column in columns]
        special = len(SpecialTokens.from_tokenizer(tokenizer, pair=len(columns) == 2))
        lengths = np.sum([column.lengths for column in tokens], axis=0) + special
        unknown = unknown_of(tokens, tokenizer)
        if unknown is not None:
            unknown = Unknown(unknown.share, round(unknown.rows * len(rows) / len(part)))
    truncated = round(int((lengths > max_length).sum()) * len(rows) / len(part))
    return Lengths(part, lengths, truncated, unknown, sampled)


def sample_of(rows: Rows, size: int) -> Rows:
    """A seeded sample of rows, in their order; all rows if `size` is enough."""
    if len(rows) <= size:
        return rows
    return rows.take(np.sort(np.random.default_rng(0).choice(len(rows), size, replace=False)))


def unknown_of(columns: list[TokenColumn], tokenizer: TextTokenizer) -> Unknown | None:
    """Counts tokens of text columns that the tokenizer does not know; None for byte-level ones, which know all."""
    if tokenizer.unk_token_id is None:
        return None
    of_row = np.sum([column.count(tokenizer.unk_token_id) for column in columns], axis=0)
    total = sum(int(column.lengths.sum()) for column in columns)
    return Unknown(float(of_row.sum() / max(1, total)), int((of_row > 0).sum()))


def check_lengths(found: Examination) -> Iterator[Finding]:
    """Texts that are truncated, and tokens that the tokenizer does not know; counts the tokens of each row."""
    data = found.data
    for split, rows in found.rows.items():
        counted = lengths_of(rows, found.tokenizer, data.max_length, data.cache_dir)
        found.lengths[split] = counted.lengths
        found.splits[split] |= counted.to_dict()
        if number := counted.truncated:
            mode, share = data.long_text.mode, number / len(rows)
            done = "truncated" if mode == "truncate" else f"read as data.long_text {mode}"
            severity: Severity = "warning" if share >= 0.05 and mode == "truncate" else "note"
            message = (
                f"{number:,} of {plural(len(rows), 'text')} ({share:.1%}) {agree(number, 'has', 'have')} more than "
                f"{data.max_length} tokens and {agree(number, 'is', 'are')} {done}"
            )
            remedy = "raise --data.max_length, or set --data.long_text"
            shown = examples(counted.rows, np.flatnonzero(counted.lengths > data.max_length))
            yield Finding(severity, "truncated", split, number, message, remedy, shown)
        yield from unknown_tokens(split, counted.unknown)


def unknown_tokens(split: str, unknown: Unknown | None) -> Iterator[Finding]:
    """The finding that a percent or more of the tokens are unknown to the tokenizer."""
    if unknown is not None and unknown.share >= 0.01:
        severity: Severity = "severe" if unknown.share >= SEVERE_UNKNOWN else "warning"
        message = (
            f"{plural(unknown.rows, 'row has', 'rows have')} tokens that are unknown to the tokenizer: "
            f"{unknown.share * 100:.1f} % of all tokens"
        )
        remedy = "choose a model for the texts' language (--model.model_name_or_path)"
        yield Finding(severity, "unknown_tokens", split, unknown.rows, message, remedy)


def histogram(lengths: np.ndarray, bins: int = 10) -> list[tuple[int, int, int]]:
    """Bins of lengths, as `(first, last, rows)`; the last bin includes the longest percent."""
    top = max(int(np.percentile(lengths, 99, method="inverted_cdf")), bins)
    edges = np.unique(np.linspace(0, top, bins + 1).astype(int))
    ends = [*edges[1:-1].tolist(), int(lengths.max())]
    starts = [1, *(end + 1 for end in ends[:-1])]
    return [
        (start, end, int(((lengths >= start) & (lengths <= end)).sum()))
        for start, end in zip(starts, ends, strict=True)
    ]
