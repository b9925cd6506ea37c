"""How long texts are in tokens, how many are truncated, and how many tokens the tokenizer does not know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from lit_textclf.check.findings import Finding, Severity, examples
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.tokens.long_text import LongText
from lit_textclf.data.tokens.special_tokens import SpecialTokens
from lit_textclf.data.tokens.token_cache import TokenColumn, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


SAMPLE = 100_000
"""Rows beyond which lengths are those of a sample."""
SEVERE_UNKNOWN = 0.2
"""The share of unknown tokens that indicates a tokenizer for another language."""
SHARES = {"p5": 5, "p50": 50, "p95": 95, "p99": 99}


class Unknown(NamedTuple):
    """The share of tokens that the tokenizer does not know, and the number of rows that have any."""

    share: float
    rows: int


@dataclass(frozen=True)
class Lengths:
    """Token numbers of the rows of a split, special tokens counted.

    Attributes:
        rows: the rows that were counted, in the split.
        lengths: their tokens, `(rows,)`.
        truncated: how many of all rows are longer than `data.max_length`, scaled up from a sample.
        unknown: tokens that the tokenizer does not know; None without a tokenizer, or if it knows all.
        sampled: how many rows were counted, None for all.
    """

    rows: Rows
    lengths: np.ndarray
    truncated: int
    unknown: Unknown | None
    sampled: int | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        of = {name: int(np.percentile(self.lengths, share, method="inverted_cdf")) for name, share in SHARES.items()}
        tokens: dict[str, Any] = {**of, "max": int(self.lengths.max())}
        if self.unknown is not None:
            tokens["unknown_share"] = self.unknown.share
        if self.sampled is not None:
            tokens["sampled_rows"] = self.sampled
        return {"tokens": tokens, "truncated": self.truncated}


def lengths_of(
    rows: Rows, tokenizer: PreTrainedTokenizerFast | None, max_length: int, cache_dir: Path | None, sample: int = SAMPLE
) -> Lengths:
    """Counts tokens, of white-space words without a tokenizer.

    Args:
        rows: the rows.
        tokenizer: the tokenizer, or None.
        max_length: tokens that the model would read.
        cache_dir: where tokens of whole splits are kept, for `fit` to find; None keeps none.
        sample: the most rows that are counted; of more a seeded sample is taken.
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
        special = SpecialTokens.from_tokenizer(tokenizer).special_tokens(pair=len(columns) == 2)
        lengths = np.sum([column.lengths for column in tokens], axis=0) + special
        unknown = unknown_of(tokens, tokenizer)
        if unknown is not None:
            unknown = unknown._replace(rows=round(unknown.rows * len(rows) / len(part)))
    truncated = round(int((lengths > max_length).sum()) * len(rows) / len(part))
    return Lengths(part, lengths, truncated, unknown, sampled)


def sample_of(rows: Rows, size: int) -> Rows:
    """A seeded sample of rows in their order; all rows if there are not more."""
    if len(rows) <= size:
        return rows
    return rows.take(np.sort(np.random.default_rng(0).choice(len(rows), size, replace=False)))


def unknown_of(columns: list[TokenColumn], tokenizer: PreTrainedTokenizerFast) -> Unknown | None:
    """The tokens that the tokenizer does not know; None if it knows all, as byte-level tokenizers do.

    Args:
        columns: the tokens of each text column.
        tokenizer: the tokenizer.
    """
    if tokenizer.unk_token_id is None:
        return None
    of_row = np.sum([column.count(tokenizer.unk_token_id) for column in columns], axis=0)
    total = sum(int(column.lengths.sum()) for column in columns)
    return Unknown(float(of_row.sum() / max(1, total)), int((of_row > 0).sum()))


def findings_of(split: str, found: Lengths, rows: int, max_length: int, long_text: LongText) -> list[Finding]:
    """Texts that are cut, and tokens that are not known."""
    findings = []
    if found.truncated:
        over = np.flatnonzero(found.lengths > max_length)
        share = found.truncated / rows
        done = "truncated" if long_text.mode == "truncate" else f"read as data.long_text {long_text.mode}"
        findings.append(
            Finding(
                "warning" if share >= 0.05 and long_text.mode == "truncate" else "note",
                "truncated",
                split,
                found.truncated,
                f"of {rows:,} texts ({share:.1%}) have more than {max_length} tokens and are {done}",
                "raise data.max_length, or set data.long_text",
                examples(found.rows, over),
            )
        )
    return findings + unknown_tokens(split, found.unknown)


def unknown_tokens(split: str, unknown: Unknown | None) -> list[Finding]:
    """The finding that many tokens are unknown, if they are."""
    if unknown is None or unknown.share < 0.01:
        return []
    severity: Severity = "severe" if unknown.share >= SEVERE_UNKNOWN else "warning"
    message = f"rows have tokens that are unknown to the tokenizer: {unknown.share * 100:.1f} % of all tokens"
    remedy = "choose a model for the texts' language (--model.model_name_or_path)"
    return [Finding(severity, "unknown_tokens", split, unknown.rows, message, remedy)]


def histogram(lengths: np.ndarray, bins: int = 10) -> list[tuple[int, int, int]]:
    """Rows by length: each bin's first and last length and its rows; the last bin takes the longest percent."""
    top = max(int(np.percentile(lengths, 99, method="inverted_cdf")), bins)
    edges = np.unique(np.linspace(0, top, bins + 1).astype(int))
    ends = [*edges[1:-1].tolist(), int(lengths.max())]
    starts = [1, *(end + 1 for end in ends[:-1])]
    return [
        (start, end, int(((lengths >= start) & (lengths <= end)).sum()))
        for start, end in zip(starts, ends, strict=True)
    ]
