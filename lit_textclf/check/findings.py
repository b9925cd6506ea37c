"""What `check` finds: single findings, and the examination that collects them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows

if TYPE_CHECKING:
    from lit_textclf.data.text_data import TextData
    from lit_textclf.data.tokens.tokenizer import TextTokenizer


Severity = Literal["severe", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("severe", "warning", "note")
EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One problem in the data.

    Attributes:
        severity: `severe` if metrics would be wrong or training would fail, `warning` if quality suffers, else `note`.
        kind: a name for programs, such as `leak`.
        split: the split it was found in.
        count: the number of rows (of texts, for conflicts; of labels, for problems of label names).
        message: what is wrong, in one sentence.
        remedy: what to do.
        examples: up to three, each with file and row.
    """

    severity: Severity
    kind: str
    split: str
    count: int
    message: str
    remedy: str
    examples: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The finding in one line."""
        first = f" (first: {self.examples[0]})" if self.examples else ""
        return f"{self.split}: {self.message}{first}; {self.remedy}"


@dataclass
class Examination:
    """The data that is examined, and what the checks found.

    Attributes:
        rows: the rows by split, in the order train, validation, test.
        target: task and labels, None if they cannot be decided.
        data: the data module, for `max_length`, `long_text` and the cache.
        tokenizer: None counts words.
        splits: the numbers of each split: rows, labels, blank, duplicates, conflicts, near_duplicates, tokens,
            truncated.
        leaks: for each split, how many of its rows are also in an earlier split.
        findings: the most severe first.
        lengths: for each split, the tokens of its rows, `(rows,)`, or those of a sample.
        text_codes: the codes of the texts of each split, exact (False) and near (True); see `duplicates.py`.
    """

    rows: dict[str, Rows]
    target: Target | None
    data: TextData
    tokenizer: TextTokenizer | None = None
    splits: dict[str, dict[str, Any]] = field(init=False)
    leaks: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    lengths: dict[str, np.ndarray] = field(default_factory=dict)
    text_codes: dict[bool, dict[str, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.splits = {split: {"rows": len(rows)} for split, rows in self.rows.items()}

    def run(self, checks: Iterable[Check]) -> None:
        """Runs checks and sorts the findings: the most severe first, in the order of the checks otherwise."""
        for check in checks:
            self.findings += check(self)
        self.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))

    @property
    def unit(self) -> str:
        """What `lengths` counts: `tokens`, or `words` without a tokenizer."""
        return "words" if self.tokenizer is None else "tokens"

    def severe(self) -> list[Finding]:
        """The severe findings."""
        return [finding for finding in self.findings if finding.severity == "severe"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"splits": self.splits, "leaks": self.leaks, "findings": [asdict(finding) for finding in self.findings]}


Check = Callable[[Examination], Iterator[Finding]]
"""Yields findings about the rows, and stores its numbers in `splits`, `leaks` or `lengths`."""


def examples(rows: Rows, indices: Iterable[int]) -> list[str]:
    """Up to three rows, each with its file, row number and the beginning of its text."""
    shown = []
    for index in list(indices)[:EXAMPLES]:
        text = rows.text[int(index)].as_py()
        shown.append(f"{rows.where(int(index))}: {text[:60]!r}{'...' if len(text) > 60 else ''}")
    return shown
