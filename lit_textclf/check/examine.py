"""All looks at the data in turn, and what they found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lit_textclf.check.duplicates import leaks_of, repeats_of, text_codes
from lit_textclf.check.findings import SEVERITIES, Finding
from lit_textclf.check.labels import balance_of, labels_of, unseen_labels
from lit_textclf.check.lengths import Lengths, findings_of, lengths_of
from lit_textclf.check.texts import columns_of, texts_of
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lit_textclf.data.datamodule import TextDataModule


@dataclass
class Examination:
    """What there is to say of the data.

    Attributes:
        splits: by split the numbers of the contract: rows, labels, blank, duplicates, conflicts, near_duplicates,
            tokens, truncated.
        leaks: by split the rows whose text stands in an earlier one.
        findings: the most severe first.
        target: task and labels, None where they cannot be decided.
        lengths: token numbers by split.
        rows: the rows by split.
    """

    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    leaks: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    target: Target | None = None
    lengths: dict[str, Lengths] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "splits": self.splits,
            "leaks": self.leaks,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def severe(self) -> list[Finding]:
        """The severe findings."""
        return [finding for finding in self.findings if finding.severity == "severe"]


def examine(
    splits: Mapping[str, Rows],
    target: Target | None,
    data: TextDataModule,
    tokenizer: PreTrainedTokenizerFast | None,
) -> Examination:
    """Looks at rows.

    Args:
        splits: by name, in the order train, validation, test.
        target: task and labels, None where they cannot be decided.
        data: gives `max_length`, `long_text` and the cache.
        tokenizer: counts the tokens; None counts words.
    """
    found = Examination(target=target, rows=dict(splits))
    look_at_rows(found, splits)
    for split, rows in splits.items():
        lengths = lengths_of(rows, tokenizer, data.max_length, data.cache_dir)
        found.lengths[split] = lengths
        found.splits[split] |= lengths.to_dict()
        found.findings += findings_of(split, lengths, len(rows), data.max_length, data.long_text)
    sort(found)
    return found


def look_at_rows(found: Examination, splits: Mapping[str, Rows]) -> None:
    """All that needs no tokenizer: labels, repeated texts, leaks, characters."""
    for split, rows in splits.items():
        labels, of_labels = labels_of(split, rows, found.target)
        found.splits[split] = {"rows": len(rows), **labels}
        found.findings += of_labels
        blank, of_texts = texts_of(split, rows, trained_on=split == "train")
        found.splits[split] |= blank
        found.findings += of_texts
    exact, near = text_codes(splits, near=False), text_codes(splits, near=True)
    for split, rows in splits.items():
        numbers, of_repeats = repeats_of(split, rows, exact[split], near[split], found.target)
        found.splits[split] |= numbers
        found.findings += of_repeats
    found.leaks, of_leaks = leaks_of(splits, exact, near)
    found.findings += of_leaks
    if "train" in splits:
        found.findings += columns_of(splits["train"])
        counts = {split: numbers["labels"] for split, numbers in found.splits.items()}
        if found.target is not None and counts["train"]:
            found.findings += balance_of(splits["train"], counts["train"], found.target)
            found.findings += unseen_labels(counts)


def sort(found: Examination) -> None:
    """Puts the most severe findings first, otherwise in the order in which they were found."""
    found.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
