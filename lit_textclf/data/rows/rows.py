"""Rows as read: texts, labels, ids, and the file and row each came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.readers.tables import is_nested, is_number_field, what_is_wrong
from lit_textclf.data.rows.columns import ColumnNames, joined_texts, lists_of_columns
from lit_textclf.utils.messages import UserError, note, plural


@dataclass(frozen=True)
class Rows:
    """Rows as read.

    Attributes:
        text: the first texts, strings, `(rows,)`.
        text_pair: the second texts, or None for single texts.
        label: the labels' names, null for rows without one; None without a label column.
        id: the values of the id column, or None.
        kept: all columns of the input if they were asked for, else None.
        columns: the names of the columns.
        sources: each file's name with the number of its first row in this table.
        row_numbers: each row's index in the input, from 0, int64 `(rows,)`.
        label_lists: whether the labels are lists of names, written as JSON.
        derived: the values that :meth:`once` computed.
    """

    text: pa.ChunkedArray
    text_pair: pa.ChunkedArray | None
    label: pa.ChunkedArray | None
    id: pa.ChunkedArray | None
    kept: pa.Table | None
    columns: ColumnNames
    sources: tuple[tuple[str, int], ...]
    row_numbers: np.ndarray
    label_lists: bool = False
    derived: dict[Hashable, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.text)

    def where(self, index: int) -> str:
        """The file and row number (from 0) of a row of this table, for messages."""
        name, number = self.source_of(index)
        return f"{name}: row {number}"

    def source_of(self, index: int) -> tuple[str, int]:
        """The file of a row of this table, and the row's number in that file, from 0."""
        number = int(self.row_numbers[index])
        name, start = next(source for source in reversed(self.sources) if source[1] <= number)
        return name, number - start

    def once(self, name: Hashable, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """A value for each row, `(rows,)` or `(rows, values)`, computed once and carried by `take` and `slice`.

        `compute` computes each row's value independently of the other rows.
        """
        if name not in self.derived:
            self.derived[name] = compute()
        return self.derived[name]

    def take(self, indices: np.ndarray) -> Rows:
        """The rows at these indices; they keep their sources."""
        return self._part(lambda column: column.take(pa.array(indices)), indices)

    def slice(self, start: int, length: int) -> Rows:
        """`length` consecutive rows from `start` on, without copying; they keep their sources."""
        return self._part(lambda column: column.slice(start, length), slice(start, start + length))

    def _part(self, cut: Callable[[Any], Any], index: Any) -> Rows:
        """Some of the rows: `cut` selects them from a column, `index` (indices or a slice) from an array."""
        columns = {name: getattr(self, name) for name in ("text", "text_pair", "label", "id", "kept")}
        parts: dict[str, Any] = {name: None if column is None else cut(column) for name, column in columns.items()}
        derived = {name: values[index] for name, values in self.derived.items()}
        return replace(self, **parts, row_numbers=self.row_numbers[index], derived=derived)

    @classmethod
    def of_parts(cls, parts: Sequence[Rows]) -> Rows:
        """Concatenates parts of one input, or of the same rows (from :meth:`take` or :meth:`slice`)."""
        first = parts[0]
        if len(parts) == 1:
            return first

        def joined(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            if all(column is None for column in columns):
                return None
            chunks: list[pa.Array] = []
            for part, column in zip(parts, columns, strict=True):  # one of several files may lack a column
                chunks += [pa.nulls(len(part), pa.string())] if column is None else column.chunks
            return pa.chunked_array(chunks)

        return cls(
            joined("text"), joined("text_pair"), joined("label"), joined("id"),
            None if first.kept is None else pa.concat_tables([p.kept for p in parts], promote_options="default"),
            parts[-1].columns, tuple(dict.fromkeys(source for part in parts for source in part.sources)),
            np.concatenate([part.row_numbers for part in parts]), any(part.label_lists for part in parts),
        )  # fmt: skip

    def blank(self) -> np.ndarray:
        """Indices of the rows that have an empty text, or one of white space only."""
        blank = pc.equal(pc.utf8_trim_whitespace(self.text), "")
        if self.text_pair is not None:
            blank = pc.or_(blank, pc.equal(pc.utf8_trim_whitespace(self.text_pair), ""))
        return np.flatnonzero(blank.to_numpy())

    def unlabelled(self, *, blank: bool = True) -> np.ndarray:
        """Indices of the rows without a label; with `blank=False`, a blank label counts as an empty label set."""
        if self.label is None:
            return np.arange(len(self))
        missing = pc.is_null(self.label)
        if blank:
            missing = pc.or_kleene(missing, pc.equal(pc.utf8_trim_whitespace(self.label), ""))
        return np.flatnonzero(missing.to_numpy())


def text_digest(texts: pa.ChunkedArray) -> str:
    """BLAKE2b of strings and their lengths; it does not depend on how they are chunked."""
    lengths, content = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    for chunk in texts.chunks:
        _, offset_buffer, data = chunk.buffers()
        if not len(chunk) or data is None:
            lengths.update(bytes(8 * len(chunk)))
            continue
        offsets = np.frombuffer(offset_buffer, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        lengths.update(np.diff(offsets).astype(np.int64).tobytes())
        content.update(memoryview(data)[offsets[0] : offsets[-1]])
    return lengths.hexdigest() + content.hexdigest()


def rows_of_texts(texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Rows:
    """Rows of texts in memory, as for `--text`."""
    columns = {"text": texts} if text_pairs is None else {"text": texts, "text_pair": text_pairs}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    names = ColumnNames("text", "text_pair" if text_pairs is not None else None, None)
    return rows_of_table(table, names, ("--text", 0))


def rows_of_table(
    table: pa.Table, columns: ColumnNames, source: tuple[str, int], start: int = 0, *, keep: bool = False
) -> Rows:
    """Rows of a table of strings.

    Args:
        table: rows that follow each other in one file.
        columns: the names of the columns to use, which the table has.
        source: the file's name, and the index of its first row in the input.
        start: the index of the table's first row in the input.
        keep: whether to keep all columns.
    """
    where, first_of_file = source
    for name in (*columns.used, columns.id):
        if name is not None and (wrong := what_is_wrong(table.schema.field(name))):
            raise UserError(f"{where}: {wrong}")
    for name in (*(columns.joined or (columns.text,)), columns.text_pair, columns.id):
        if name is not None and (kind := is_nested(table.schema.field(name))):
            raise UserError(f"{where}: column {name!r} contains {kind}, not strings or numbers; name another column")

    def column(name: str | None) -> pa.ChunkedArray | None:
        return None if name is None else table[name]

    label, pair = column(columns.label), column(columns.text_pair)
    lists = label is not None and bool(is_nested(table.schema.field(columns.label)))
    if label is not None and is_number_field(table.schema.field(columns.label)):
        label = pc.replace_substring_regex(label, r"^(-?\d+)\.0$", r"\1")
    if columns.labels:
        label, lists = lists_of_columns(table, columns.labels, where, start - first_of_file), True
    text = joined_texts(table, columns.joined) if columns.joined else table[columns.text]
    return Rows(
        pc.fill_null(text, ""), None if pair is None else pc.fill_null(pair, ""), label,
        column(columns.id), pa.table({name: table[name] for name in table.column_names if name}) if keep else None,
        columns, (source,), np.arange(start, start + len(table)), lists,
    )  # fmt: skip


def report_blank(rows: Rows, split: str, *, refuse: bool) -> None:
    """Refuses blank texts, or reports how many there are.

    Raises:
        UserError: naming the first row with a blank text, with `refuse`; remove it, or allow blank texts.
    """
    blank = rows.blank()
    if not len(blank):
        return
    if refuse:
        raise UserError(
            f"{rows.where(int(blank[0]))}: the text is blank ({plural(len(blank), 'such row')}); "
            "remove them or type --data.allow_blank_text true"
        )
    note_blank(split, len(blank), rows.where(int(blank[0])))


def note_blank(split: str, number: int, first: str) -> None:
    """Reports the number of rows with a blank text, and where the first one is."""
    note(f"{split}: {plural(number, 'row')} with a blank text, kept (first: {first})")


def note_limit(split: str, limit: int, total: int) -> None:
    """Reports that only `limit` of all rows are used."""
    note(f"{split}: {limit:,} of {plural(total, 'row')} used (data.max_*_samples)")
