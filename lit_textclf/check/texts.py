"""Problems of texts: blank, mojibake, invisible characters, HTML; and columns that do not contain texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.check.findings import Examination, Finding, Severity, examples
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import plural

ID_SHARE = 0.9


class Pattern(NamedTuple):
    """A regular expression (RE2) and what a text that matches it contains."""

    kind: str
    severity: Severity
    expression: str
    what: str
    remedy: str


_TAIL = rf"[\x{{80}}-\x{{BF}}{bytes(range(0x80, 0xC0)).decode('cp1252', 'ignore')}]"
"""What a continuation byte of UTF-8 (80 to BF) becomes in Latin-1 or Windows-1252."""
PATTERNS = (
    # UTF-8 read as Latin-1 or Windows-1252: the letter of a lead byte, then what continuation bytes look like. Leads
    # that are common letters (é”—) count only twice in a row.
    Pattern(
        "mojibake",
        "warning",
        rf"[ÂÃ]{_TAIL}|â(€.|\x{{201A}}¬|\x{{80}}{_TAIL})|(Ð{_TAIL}|Ñ{_TAIL}){{2}}|([ã-ï]{_TAIL}{_TAIL}){{2}}|ðŸ{_TAIL}|ï»¿|\x{{FFFD}}",
        "mojibake (characters decoded with the wrong encoding)",
        "decode the source again, or repair them (ftfy)",
    ),
    Pattern(
        "control_characters",
        "warning",
        r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]",
        "control characters",
        "remove them, or check whether the encoding is windows-1252",
    ),
    Pattern(
        "invisible_characters",
        "note",
        r"[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{FEFF}]",
        "zero-width or other invisible characters",
        "remove them where they are within words",
    ),
    Pattern(
        "html",
        "warning",
        r"&(#[0-9]{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-zA-Z]{2,8});|</?[a-zA-Z][a-zA-Z0-9]*(\s[^<>]*)?/?>",
        "HTML tags or entities",
        "turn them into plain text (html.unescape)",
    ),
    Pattern("line_breaks", "note", r"[\r\n]", "line breaks", "nothing to do, the tokenizer reads them as spaces"),
)


def check_texts(found: Examination) -> Iterator[Finding]:
    """Blank texts, and texts that match one of the patterns."""
    for split, rows in found.rows.items():
        blank = rows.blank()
        found.splits[split]["blank"] = len(blank)
        if len(blank):
            severity: Severity = "severe" if split == "train" else "warning"  # fit refuses them
            message = f"{plural(len(blank), 'text is', 'texts are')} blank"
            remedy = "remove them or type --data.allow_blank_text true"
            if found.data.allow_blank_text:
                severity, remedy = "note", "nothing to do, data.allow_blank_text is true"
            yield Finding(severity, "blank", split, len(blank), message, remedy, examples(rows, blank))
        for kind, severity, expression, what, remedy in PATTERNS:
            matching = np.flatnonzero(_matches(rows, expression))
            if len(matching):
                message = f"{plural(len(matching), 'text has', 'texts have')} {what}"
                yield Finding(severity, kind, split, len(matching), message, remedy, examples(rows, matching))


def _matches(rows: Rows, expression: str) -> np.ndarray:
    found = pc.match_substring_regex(rows.text, expression)
    if rows.text_pair is not None:
        found = pc.or_(found, pc.match_substring_regex(rows.text_pair, expression))
    return np.asarray(found.to_numpy())


def check_columns(found: Examination) -> Iterator[Finding]:
    """Text columns of the training rows that are constant or look like ids, and columns with longer values."""
    rows = found.rows.get("train")
    if rows is None:
        return
    remedy = "name another column with --data.text_column"
    for name, texts in ((rows.columns.text, rows.text), (rows.columns.text_pair, rows.text_pair)):
        if texts is None or len(texts) < 2:
            continue
        if pc.all(pc.equal(texts, texts[0])).as_py():
            message = f"all {len(rows):,} rows have the same text in column {name!r}"
            yield Finding("severe", "constant_text", "train", len(rows), message, remedy, examples(rows, [0]))
        elif pc.mean(pc.match_substring_regex(texts, r"^\S*\d\S*$")).as_py() >= ID_SHARE:
            message = f"{ID_SHARE:.0%} or more of {len(rows):,} texts in column {name!r} look like ids or numbers"
            yield Finding("severe", "id_like_text", "train", len(rows), message, remedy, examples(rows, [0]))
    yield from _longer_column(rows)


def _longer_column(rows: Rows) -> Iterator[Finding]:
    """The first other column whose values are far longer than the texts."""
    if rows.kept is None:
        return
    columns = rows.columns
    used = {columns.id, *columns.used}
    own_length = _mean_length(rows.text)
    for name in rows.kept.column_names:
        if name not in used and (length := _mean_length(rows.kept[name])) > max(3 * own_length, 40):
            message = (
                f"column {name!r} (mean {length:.0f} characters) has longer values than the text column "
                f"{columns.text!r} ({own_length:.0f})"
            )
            example = f"{rows.where(0)}: {rows.kept[name][0].as_py()!r:.80}"
            remedy = "check that --data.text_column names the right one"
            yield Finding("warning", "longer_column", "train", len(rows), message, remedy, [example])
            return


def _mean_length(texts: pa.ChunkedArray) -> float:
    return float(pc.mean(pc.utf8_length(texts)).as_py() or 0)
