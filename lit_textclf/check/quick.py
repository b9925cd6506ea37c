"""The severe findings that `fit` reports before it trains, from a sample: two seconds at the most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from lit_textclf.check import CHECKS
from lit_textclf.check.duplicates import SEVERE_SHARE, check_leaks, leak, text_codes
from lit_textclf.check.findings import Examination, Finding
from lit_textclf.check.lengths import check_lengths, sample_of, unknown_of, unknown_tokens
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import note, plural

if TYPE_CHECKING:
    from lit_textclf.data.datamodule import TextDataModule


SAMPLE = 20_000
"""The most rows of a split that are checked, so that the time does not grow with the data."""
MOST_FOR_LEAKS = 1_000_000
"""The most training rows in which leaks are searched."""
# Leaks are searched in more training rows than the sample's, and `fit` has counted the tokens already.
QUICK_CHECKS = tuple(check for check in CHECKS if check not in (check_leaks, check_lengths))


def report_severe_findings(data: TextDataModule) -> list[Finding]:
    """Reports each severe finding about the rows of `fit`, already encoded, and whether only a sample was checked."""
    splits = {split: sample_of(rows, SAMPLE) for split, rows in data.rows.items() if split in ("train", "validation")}
    found = Examination(splits, data.target, data)
    found.run(QUICK_CHECKS)
    findings = found.severe()
    if "validation" in splits:
        findings += _leaks(data.rows["train"], splits["validation"])
    findings += _unknown_tokens(data)
    for finding in findings:
        note(f"severe: {finding.line()}")
    checked, rows = sum(map(len, splits.values())), sum(len(data.rows[split]) for split in splits)
    if checked < rows:
        note(f"checked {plural(checked, 'row')} of {rows:,} for severe findings; lit-textclf check examines all rows")
    return findings


def _leaks(train: Rows, validation: Rows) -> Iterator[Finding]:
    """Reports sampled validation rows whose text is also in the training rows."""
    codes = text_codes({"train": sample_of(train, MOST_FOR_LEAKS), "validation": validation}, near=False)
    leaked = np.flatnonzero(np.isin(codes["validation"], codes["train"]))
    if len(leaked) >= max(1, SEVERE_SHARE * len(validation)):
        yield leak("validation", validation, "train", leaked)


def _unknown_tokens(data: TextDataModule) -> Iterator[Finding]:
    encoded = data.encoded["train"]
    columns = [encoded.tokens] if encoded.pair_tokens is None else [encoded.tokens, encoded.pair_tokens]
    found = unknown_tokens("train", unknown_of(columns, data.tokenizer))
    return (finding for finding in found if finding.severity == "severe")
