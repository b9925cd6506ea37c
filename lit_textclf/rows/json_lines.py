"""JSON lines, and JSON files that hold one list of objects."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from lit_textclf.errors import UserError, count, say
from lit_textclf.rows.delimited import CHUNK_ROWS, nested_field, string_table
from lit_textclf.rows.text_files import open_text


def read_json(path: Path, encoding: str) -> Iterator[pa.Table]:
    """Reads JSON lines, or a JSON list where the file begins with `[`.

    The columns are the keys of the first :data:`CHUNK_ROWS` objects; a key that an object lacks, and JSON's null, are
    null. Numbers and booleans become strings as JSON spells them, lists and objects become JSON.

    Yields:
        Tables of up to :data:`CHUNK_ROWS` rows.

    Raises:
        UserError: naming file and line of the first thing that is wrong.
    """
    names: list[str] = []
    pending: list[dict[str, Any]] = []
    done = 0
    for record in _records(path, encoding):
        pending.append(record)
        if len(pending) == CHUNK_ROWS:
            names = names or _keys(pending)
            yield _table(pending, names, path, encoding, done)
            done += len(pending)
            pending = []
    if pending or not done:
        yield _table(pending, names or _keys(pending), path, encoding, done)


def _records(path: Path, encoding: str) -> Iterator[dict[str, Any]]:
    blank_lines = 0
    with open_text(path, encoding) as file:
        begin: list[str] = []
        for line in file:
            begin.append(line)
            if line.strip():
                break
        if begin and begin[-1].lstrip("\ufeff \t").startswith("["):
            content = "".join(begin) + file.read()
            for row, record in enumerate(_parse(content.removeprefix("\ufeff"), str(path))):
                yield _object(record, f"{path}: row {row}")
            return
        for number, line in enumerate(itertools.chain(begin, file), start=1):
            if line.strip():
                yield _object(_parse(line.removeprefix("\ufeff"), f"{path}: line {number}"), f"{path}: line {number}")
            else:
                blank_lines += 1
    if blank_lines:
        say(f"{path}: {count(blank_lines, 'blank line')} skipped")


def _parse(text: str, where: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise UserError(f"{where}: the key {twice!r} stands twice in one object; remove one")
        return dict(pairs)

    def refuse(constant: str) -> NoReturn:
        raise UserError(f"{where}: {constant} is no number; use null or a finite one")

    def finite(number: str) -> float:
        return float(number) if math.isfinite(float(number)) else refuse(number)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise UserError(f"{where}: not JSON ({error.msg} at {line}column {error.colno}); mend it") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise UserError(f"{where}: not readable JSON ({error}); mend it") from None
    except RecursionError:
        raise UserError(f"{where}: not readable JSON (nested too deeply)") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f'{where}: expected an object such as {{"text": ..., "label": ...}}, got {value!r:.60}')
    return value


def _keys(records: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


def _table(records: list[dict[str, Any]], names: list[str], path: Path, encoding: str, start: int) -> pa.Table:
    columns = {name: [_spelled(record.get(name)) for record in records] for name in names}
    table = string_table(columns, path, encoding, start)
    for place, name in enumerate(names):
        nested = (row for row, record in enumerate(records) if isinstance(record.get(name), (list, dict)))
        if (row := next(nested, None)) is not None:
            kind = "a list" if isinstance(records[row][name], list) else "an object"
            table = table.set_column(place, nested_field(name, f"{kind} in row {start + row}"), table[name])
    return table


def _spelled(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
