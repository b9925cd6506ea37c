"""Problems of texts: blank, mojibake, invisible characters, HTML; and columns that do not contain texts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.check.findings import Finding, Severity, examples
from lit_textclf.data.rows.rows import Rows

ID_SHARE = 0.9


class Pattern(NamedTuple):
    """A regular expression (RE2) for texts that have something in them."""

    kind: str
    severity: Severity
    expression: str
    message: str
    remedy: str


_TAIL = rf"[\x{{80}}-\x{{BF}}{bytes(range(0x80, 0xC0)).decode('cp1252', 'ignore')}]"
"""What a continuation byte of UTF-8 (80 to BF) becomes in Latin-1 or Windows-1252."""
PATTERNS = (
    # UTF-8 read as Latin-1 or Windows-1252: a lead byte's letter, then what continuation bytes look like. Leads that
    # are common letters (é”—) count only twice in a row.
    Pattern(
        "mojibake",
        "warning",
        rf"[ÂÃ]{_TAIL}|â(€.|\x{{201A}}¬|\x{{80}}{_TAIL})|(Ð{_TAIL}|Ñ{_TAIL}){{2}}|([ã-ï]{_TAIL}{_TAIL}){{2}}|ðŸ{_TAIL}|ï»¿|\x{{FFFD}}",
        "texts have mojibake, characters of a wrong decoding",
        "decode the source again, or repair them (ftfy)",
    ),
    Pattern(
        "control_characters",
        "warning",
        r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]",
        "texts have control characters",
        "remove them, or see whether the encoding is windows-1252",
    ),
    Pattern(
        "invisible_characters",
        "note",
        r"[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{FEFF}]",
        "texts have zero-width or other invisible characters",
        "remove them where they stand within words",
    ),
    Pattern(
        "html",
        "warning",
        r"&(#[0-9]{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-zA-Z]{2,8});|</?[a-zA-Z][a-zA-Z0-9]*(\s[^<>]*)?/?>",
        "texts have HTML tags or entities",
        "turn them into plain text (html.unescape)",
    ),
    Pattern(
        "line_breaks", "note", r"[\r\n]", "texts have line breaks", "none is needed, the tokenizer reads them as spaces"
    ),
)


def texts_of(split: str, rows: Rows, *, trained_on: bool) -> tuple[dict[str, int], list[Finding]]:
    """Blank texts, and those that a pattern finds.

    Args:
        split: its name.
        rows: its rows.
        trained_on: whether `fit` would refuse blank texts.
    """
    findings = []
    blank = rows.blank()
    if len(blank):
        findings.append(
            Finding(
                "severe" if trained_on else "warning",
                "blank",
                split,
                len(blank),
                "texts are blank",
                "remove them or set data.allow_blank_text",
                examples(rows, blank),
            )
        )
    for pattern in PATTERNS:
        found = np.flatnonzero(_matches(rows, pattern.expression))
        if len(found):
            findings.append(
                Finding(
                    pattern.severity,
                    pattern.kind,
                    split,
                    len(found),
                    pattern.message,
                    pattern.remedy,
                    examples(rows, found),
                )
            )
    return {"blank": len(blank)}, findings


def _matches(rows: Rows, expression: str) -> np.ndarray:
    found = pc.match_substring_regex(rows.text, expression)
    if rows.text_pair is not None:
        found = pc.or_(found, pc.match_substring_regex(rows.text_pair, expression))
    return np.asarray(found.to_numpy())


def columns_of(rows: Rows) -> list[Finding]:
    """Text columns that are constant or look like ids, and other columns that look more like the text."""
    findings = []
    for name, texts in ((rows.columns.text, rows.text), (rows.columns.text_pair, rows.text_pair)):
        if texts is None or len(texts) < 2:
            continue
        if pc.all(pc.equal(texts, texts[0])).as_py():
            findings.append(_column("severe", "constant_text", rows, f"rows have the same text in column {name!r}"))
        elif pc.mean(pc.match_substring_regex(texts, r"^\S*\d\S*$")).as_py() >= ID_SHARE:
            findings.append(
                _column("severe", "id_like_text", rows, f"texts of column {name!r} look like ids or numbers")
            )
    findings += _longer_column(rows)
    return findings


def _column(severity: Severity, kind: str, rows: Rows, message: str) -> Finding:
    return Finding(severity, kind, "train", len(rows), message, "name another data.text_column", examples(rows, [0]))


def _longer_column(rows: Rows) -> list[Finding]:
    """Another column whose values are far longer than the texts."""
    if rows.kept is None:
        return []
    columns = rows.columns
    used = {columns.text, columns.text_pair, columns.label, columns.id, *columns.labels}
    ours = _mean_length(rows.text)
    for name in rows.kept.column_names:
        if name not in used and (theirs := _mean_length(rows.kept[name])) > max(3 * ours, 40):
            message = (
                f"rows have longer values in column {name!r} (mean {theirs:.0f} characters) than in the text column "
                f"{columns.text!r} ({ours:.0f})"
            )
            example = f"{rows.where(0)}: {rows.kept[name][0].as_py()!r:.80}"
            remedy = "see that data.text_column is the right one"
            return [Finding("warning", "longer_column", "train", len(rows), message, remedy, [example])]
    return []


def _mean_length(texts: pa.ChunkedArray) -> float:
    return float(pc.mean(pc.utf8_length(texts)).as_py() or 0)
