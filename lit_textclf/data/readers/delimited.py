"""Strict CSV and TSV: a row that is too long, too short or misquoted is an error that names it.

Python's `csv` in strict mode does the parsing. `pyarrow.csv` is twice as fast (1,000,000 short rows: 0.8 s, not 1.6 s),
but silently reads `"abc"def` as `abcdef`, takes the second of two columns with one name, and ignores NULs.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from lit_textclf.data.readers.open_text import note_cp1252, open_text, pick_encoding_aloud, undecodable
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions, string_table
from lit_textclf.utils.messages import UserError, either, note, plural

_OTHER_DELIMITERS = ";\t|"
_HINT = re.compile(r'("?)sep=([^\r\n])\1[\r\n]+', re.IGNORECASE)
"""The first line by which a file tells Excel its delimiter."""
_SAMPLE, _SAMPLE_ROWS = 1 << 16, 100
csv.field_size_limit(2**31 - 1)  # the default of 131,072 characters is too short for long documents


def read_delimited(path: Path, options: ReadOptions, usual: str = ",") -> Iterator[pa.Table]:
    """Reads a file with a header row; every value is a string.

    Without a delimiter in the options it is that of a first line `sep=;`, or `usual`; or, if that is a comma and the
    header has none, another one that header and first rows have.

    Raises:
        UserError: naming file, row (from 0, without the header) and line of the first mistake, or the option that
            cannot be a delimiter or quote character.
    """
    encoding = pick_encoding_aloud(path, options.tried)
    blank_lines = 0
    with open_text(path, encoding) as file:
        lines = _first_lines(file)
        delimiter, hint = options.delimiter, _HINT.fullmatch(lines[0]) if lines else None
        if hint is not None:
            del lines[0]
            ignored = delimiter not in (None, hint[2])
            note(f"{path}: its first line names the delimiter {hint[2]!r}{', which data.delimiter replaces' * ignored}")
            delimiter = delimiter or hint[2]
        if delimiter is None:
            delimiter = usual if usual != "," else _found_delimiter(lines, options.quote_char, path)
        reader = _reader(itertools.chain(lines, file), delimiter, options.quote_char)
        names = _header(reader, path, encoding)
        records: list[list[str]] = []
        done = 0
        try:
            for record in reader:
                if len(record) != len(names):
                    if not record:
                        blank_lines += 1
                        continue
                    raise UserError(
                        f"{path}: row {done + len(records)} (line {reader.line_num + (hint is not None)}) has "
                        f"{plural(len(record), 'field')}, the header has {len(names)}; "
                        "fix the row (quote fields that contain the delimiter) or set --data.delimiter, as "
                        "--data.delimiter ';'"
                    )
                records.append(record)
                if len(records) == CHUNK_ROWS:
                    yield _table(records, names, path, encoding, done)
                    done += len(records)
                    records = []
        except csv.Error as error:
            raise UserError(
                f"{path}: row {done + len(records)} (line {reader.line_num + (hint is not None)}): {_readable(error)}; "
                "fix the quotes, or set --data.quote_char '' if quotes have no meaning in this file"
            ) from None
        if records or not done:
            yield _table(records, names, path, encoding, done)
        note_cp1252(path, file)
    if blank_lines:
        note(f"{path}: {plural(blank_lines, 'blank line')} skipped")


def _first_lines(file: TextIO) -> list[str]:
    """The complete lines of a file's first characters; those that follow are still to be read."""
    sample = file.read(_SAMPLE)
    while sample.endswith("\r") and (more := file.read(1)):  # the first half of a line end, perhaps
        sample += more
    lines = list(io.StringIO(sample, newline=""))
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += file.readline()
    return lines


def _found_delimiter(lines: Sequence[str], quote_char: str, path: Path) -> str:
    """The delimiter of a file by its header and first rows: a comma, or else the one that splits them alike.

    Raises:
        UserError: if two of them do; set `data.delimiter`.
    """
    if max(_widths(lines, ",", quote_char)[:1], default=1) > 1:
        return ","
    fitting = []
    for delimiter in _OTHER_DELIMITERS.replace(quote_char or ",", ""):
        header, *rows = _widths(lines, delimiter, quote_char) or [1]
        if header > 1 and 2 * rows.count(header) >= len(rows):
            fitting.append(delimiter)
    if len(fitting) > 1:
        raise UserError(
            f"{path}: the delimiter may be {either(map(repr, fitting))}; type --data.delimiter {fitting[0]!r}"
        )
    if fitting:
        note(f"{path}: delimiter {fitting[0]!r} (found in the header; set --data.delimiter to change it)")
    return fitting[0] if fitting else ","


def _widths(lines: Sequence[str], delimiter: str, quote_char: str) -> list[int]:
    """The number of fields of the first records, up to one that cannot be read or is not complete."""
    widths = []
    with contextlib.suppress(csv.Error):
        for record in itertools.islice(_reader(lines, delimiter, quote_char), _SAMPLE_ROWS):
            if record:
                widths.append(len(record))
    return widths


def _reader(file: Iterable[str], delimiter: str, quote_char: str) -> Any:
    """Python's strict reader, without the characters that it accepts but misreads (before Python 3.13)."""
    for option, value in (("data.delimiter", delimiter), ("data.quote_char", quote_char)):
        if value and value in "\r\n\0\ufeff":
            raise UserError(f"{option} {value!r}: cannot be a line end, a NUL or a byte order mark; change it")
    if delimiter == quote_char:
        raise UserError(f"data.quote_char {quote_char!r}: must differ from data.delimiter; change one of them")
    quoting: dict[str, Any] = (
        {"quotechar": quote_char} if quote_char else {"quotechar": None, "quoting": csv.QUOTE_NONE}
    )
    try:
        return csv.reader(file, delimiter=delimiter, strict=True, **quoting)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"data.delimiter {delimiter!r} or data.quote_char {quote_char!r} cannot be used ({error}); "
            "each must be one character, and data.quote_char may be empty"
        ) from None


def _header(reader: Iterator[list[str]], path: Path, encoding: str) -> list[str]:
    try:
        names = next(reader, None)
    except csv.Error as error:
        raise UserError(f"{path}: the header row: {_readable(error)}") from None
    if not names:
        raise UserError(f"{path}: the file is empty or begins with a blank line; add a header row")
    for name in names:
        if reason := undecodable(name, encoding):
            raise UserError(f"{path}: the header row: {reason}")
        if name and names.count(name) > 1:
            raise UserError(f"{path}: the header names the column {name!r} {names.count(name)} times; rename one")
    return names


def _table(records: list[list[str]], names: list[str], path: Path, encoding: str, start: int) -> pa.Table:
    columns = [list(column) for column in zip(*records, strict=True)] or [[] for _ in names]
    return string_table(dict(zip(names, columns, strict=True)), path, encoding, start)


def _readable(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "a quoted field is never closed"
    if "expected after" in text:
        return "text follows a closing quote (double a quote inside a quoted field)"
    return text
