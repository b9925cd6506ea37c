"""The severe findings alone, on a sample, for `fit` to say before it trains: two seconds at the most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lit_textclf.check.duplicates import SEVERE_SHARE, text_codes
from lit_textclf.check.examine import Examination, look_at_rows
from lit_textclf.check.findings import Finding, examples
from lit_textclf.check.lengths import sample_of, unknown_of, unknown_tokens
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import note, plural

if TYPE_CHECKING:
    from lit_textclf.data.datamodule import TextDataModule


SAMPLE = 20_000
"""Rows of each split that are looked at: what they cost does not grow with the data."""
MOST_FOR_LEAKS = 1_000_000
"""Training rows beyond which leaks are looked for in a sample, too."""


def say_severe_findings(data: TextDataModule) -> list[Finding]:
    """Says each severe finding of the rows that are about to be trained on, and whether only a sample was looked at.

    Args:
        data: with the rows of `fit` read and encoded.

    Returns:
        The findings.
    """
    splits = {split: sample_of(rows, SAMPLE) for split, rows in data.rows.items() if split in ("train", "validation")}
    found = Examination(target=data.target)
    look_at_rows(found, splits)
    findings = [finding for finding in found.severe() if "leak" not in finding.kind]
    findings += _leaks(data.rows, splits)
    findings += _unknown_tokens(data)
    for finding in findings:
        note(f"severe: {finding.line()}")
    looked_at = sum(map(len, splits.values()))
    rows = sum(len(data.rows[split]) for split in splits)
    if looked_at < rows:
        note(f"looked for severe findings in {plural(looked_at, 'row')} of {rows:,}; lit-textclf check looks at all")
    return findings


def _leaks(whole: dict[str, Rows], sampled: dict[str, Rows]) -> list[Finding]:
    """Validation rows, of a sample, whose text stands anywhere in the training rows."""
    if "validation" not in sampled:
        return []
    rows = sampled["validation"]
    codes = text_codes({"train": sample_of(whole["train"], MOST_FOR_LEAKS), "validation": rows}, near=False)
    leaked = np.flatnonzero(np.isin(codes["validation"], codes["train"]))
    if len(leaked) < max(1, SEVERE_SHARE * len(rows)):
        return []
    message = f"of {len(rows):,} rows ({len(leaked) / len(rows):.1%}) also stand in train"
    remedy = "the metrics of validation are better than the model; remove them"
    return [Finding("severe", "leak", "validation", len(leaked), message, remedy, examples(rows, leaked))]


def _unknown_tokens(data: TextDataModule) -> list[Finding]:
    encoded = data.encoded["train"]
    columns = [encoded.tokens] if encoded.pair_tokens is None else [encoded.tokens, encoded.pair_tokens]
    found = unknown_tokens("train", unknown_of(columns, data.tokenizer))
    return [finding for finding in found if finding.severity == "severe"]
