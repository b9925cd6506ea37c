"""JSON lines, and JSON files with one list of objects."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from lit_textclf.data.readers.open_text import note_cp1252, open_text, pick_encoding_aloud
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions, nested_field, number_field, string_table
from lit_textclf.utils.messages import UserError, note, plural


def read_json(path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads JSON lines, or a JSON list if the file begins with `[`.

    The columns are the keys of all objects; a key that an object lacks is null, as is JSON's null. Numbers, booleans,
    lists and objects become strings as JSON writes them. JSON lines of more than a chunk are read twice, first for
    their keys alone, so that only one chunk is in memory.

    Raises:
        UserError: naming file and line of the first mistake.
    """
    encoding = pick_encoding_aloud(path, options.tried)
    listed = _listed(path, encoding)
    records = _lines(path, encoding) if listed is None else iter(listed)
    pending = list(itertools.islice(records, CHUNK_ROWS))
    if not pending:
        raise UserError(f"{path}: the file has no rows; it needs one object a line, or a list of objects")
    names = keys_of(pending)
    if len(pending) == CHUNK_ROWS:
        names = keys_of(itertools.chain(pending, records))
        records = _lines(path, encoding, quiet=True) if listed is None else iter(listed)
        pending = list(itertools.islice(records, CHUNK_ROWS))
    done = 0
    while pending:
        yield records_table(pending, names, path, encoding, done)
        done += len(pending)
        pending = list(itertools.islice(records, CHUNK_ROWS))


def _listed(path: Path, encoding: str) -> list[dict[str, Any]] | None:
    """The objects of a file with one list, or None for JSON lines."""
    with open_text(path, encoding) as file:
        begin: list[str] = []
        for line in file:
            begin.append(line)
            if line.strip():
                break
        if not begin or not begin[-1].lstrip("\ufeff \t").startswith("["):
            return None
        content = "".join(begin) + file.read()
        note_cp1252(path, file)
    records = _parse(content.removeprefix("\ufeff"), str(path), "fix it")
    return [_object(record, f"{path}: row {row}") for row, record in enumerate(records)]


def _lines(path: Path, encoding: str, *, quiet: bool = False) -> Iterator[dict[str, Any]]:
    blank_lines = 0
    remedy = "fix it (one complete object per line, or all objects in one list)"
    with open_text(path, encoding) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}: line {number}"
                yield _object(_parse(line.removeprefix("\ufeff"), where, remedy), where)
            else:
                blank_lines += 1
        if not quiet:
            note_cp1252(path, file)
    if blank_lines and not quiet:
        note(f"{path}: {plural(blank_lines, 'blank line')} skipped")


class _Refused(Exception):
    """Accepted by Python's decoder, but not by us."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"the key {twice!r} appears twice in one object; remove one")
    return record


def _refuse_constant(constant: str) -> NoReturn:
    raise _Refused(f"{constant:.40} is not valid JSON; use null or a finite number")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse_constant(number)


# One decoder for all lines; json.loads would make one for each (200,000 short lines, read twice: 2.1 s, not 1.2 s).
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def _parse(text: str, where: str, remedy: str) -> Any:
    try:
        return _DECODER.decode(text)
    except _Refused as error:
        raise UserError(f"{where}: {error}") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise UserError(f"{where}: not JSON ({error.msg} at {line}column {error.colno}); {remedy}") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise UserError(f"{where}: not readable JSON ({error}); fix it") from None
    except RecursionError:
        raise UserError(f"{where}: not readable JSON (nested too deeply)") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f'{where}: expected an object such as {{"text": ..., "label": ...}}, got {value!r:.60}')
    return value


def keys_of(records: Iterable[dict[str, Any]]) -> list[str]:
    """The keys of all objects, in order of appearance."""
    return list(dict.fromkeys(key for record in records for key in record))


def records_table(records: list[dict[str, Any]], names: list[str], path: Path, encoding: str, start: int) -> pa.Table:
    """A table of strings from objects, one for each row; the first row's number in the file is for messages.

    Raises:
        UserError: naming row and column of the first value that cannot be a string.
    """
    try:
        columns = {name: [_as_string(record.get(name)) for record in records] for name in names}
    except RecursionError:  # what is just shallow enough to be read may be nested too deeply to be written
        raise UserError(f"{path}: row {start} or one after it: not readable JSON (nested too deeply)") from None
    table = string_table(columns, path, encoding, start)
    for index, name in enumerate(names):
        nested = (row for row, record in enumerate(records) if isinstance(record.get(name), (list, dict)))
        if (row := next(nested, None)) is not None:
            kind = "a list" if isinstance(records[row][name], list) else "an object"
            table = table.set_column(index, nested_field(name, f"{kind} in row {start + row}"), table[name])
        elif all(type(record.get(name)) in (int, float, type(None)) for record in records):
            table = table.set_column(index, number_field(name), table[name])
    return table


def _as_string(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
