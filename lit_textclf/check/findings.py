"""What was found in the data, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lit_textclf.data.rows.rows import Rows

Severity = Literal["severe", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("severe", "warning", "note")
EXAMPLES = 3


_SINGULAR = (
    ("texts have", "text has"),
    ("texts are", "text is"),
    ("texts stand", "text stands"),
    ("rows have", "row has"),
    ("rows repeat", "row repeats"),
    ("more rows repeat", "more row repeats"),
    ("more rows are", "more row is"),
    ("labels have", "label has"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: `severe` where numbers would be wrong or training would fail, `warning` where quality suffers, `note`.
        kind: a name for machines, as `leak`.
        split: where.
        count: how many rows (texts, for conflicts).
        message: what it is, in a sentence without the count.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """The count with its message."""
        message = self.message
        if self.count == 1:
            for several, one in _SINGULAR:
                if message.startswith(several):
                    message = message.replace(several, one, 1)
                    break
        return f"{self.count:,} {message}"

    def line(self) -> str:
        """The finding in one line."""
        first = f" (first: {self.examples[0]})" if self.examples else ""
        return f"{self.split}: {self.sentence()}{first}; {self.remedy}"


def examples(rows: Rows, indices: Iterable[int]) -> list[str]:
    """Names up to three rows, each with file, row and the beginning of its text."""
    shown = []
    for index in list(indices)[:EXAMPLES]:
        text = rows.text[int(index)].as_py()
        shown.append(f"{rows.where(int(index))}: {text[:60]!r}{'...' if len(text) > 60 else ''}")
    return shown
