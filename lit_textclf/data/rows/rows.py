"""Rows as read: texts, labels, ids, and the file and row each came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.readers.tables import is_nested
from lit_textclf.data.rows.columns import ColumnNames, lists_of_columns
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
        row_numbers: each row's index in the input, `(rows,)`; None if that is its index in this table.
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
    row_numbers: np.ndarray | None = None
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
        number = index if self.row_numbers is None else int(self.row_numbers[index])
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
        numbers = np.arange(len(self)) if self.row_numbers is None else self.row_numbers
        derived = {name: values[index] for name, values in self.derived.items()}
        return replace(self, **parts, row_numbers=numbers[index], derived=derived)

    @classmethod
    def of_parts(cls, parts: Sequence[Rows]) -> Rows:
        """Concatenates parts of the same rows (from :meth:`take` or :meth:`slice`)."""
        first = parts[0]
        if len(parts) == 1:
            return first

        def joined(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            return None if columns[0] is None else pa.chunked_array([c for column in columns for c in column.chunks])

        return cls(
            joined("text"), joined("text_pair"), joined("label"), joined("id"),
            None if first.kept is None else pa.concat_tables([p.kept for p in parts], promote_options="default"),
            first.columns, parts[-1].sources, np.concatenate([part.row_numbers for part in parts]),
            any(part.label_lists for part in parts),
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
    return rows_from_tables([select_columns(table, names, False, "--text", 0)], names, [("--text", 0)], keep=False)


def select_columns(table: pa.Table, columns: ColumnNames, keep: bool, where: str, start: int) -> pa.Table:
    """Renames the used columns to `text`, `text_pair`, `label`, `id`; with `keep`, all columns follow as `kept.NAME`.

    Labels that are lists, or columns of zeros and ones, become `label_lists` instead of `label`.
    """
    for name in (columns.text, columns.text_pair, columns.id):
        if name in table.column_names and (kind := is_nested(table.schema.field(name))):
            raise UserError(f"{where}: column {name!r} contains {kind}, not strings or numbers; name another column")
    selected = {"text": columns.text, "text_pair": columns.text_pair, "label": columns.label, "id": columns.id}
    present = set(table.column_names)  # an empty JSON chunk has no columns at all
    arrays = {role: table[name] for role, name in selected.items() if name is not None and name in present}
    if "label" in arrays and is_nested(table.schema.field(columns.label)):
        arrays["label_lists"] = arrays.pop("label")
    if columns.labels and table.column_names:
        arrays["label_lists"] = lists_of_columns(table, columns.labels, where, start)
    for role in ("text", "text_pair"):
        if role in arrays and arrays[role].null_count:
            arrays[role] = pc.fill_null(arrays[role], "")
    if keep:
        arrays.update({f"kept.{name}": table[name] for name in table.column_names if name})
    return pa.table(arrays)


def rows_from_tables(parts: list[pa.Table], columns: ColumnNames, sources: list[tuple[str, int]], keep: bool) -> Rows:
    """Concatenates tables that :func:`select_columns` made into rows."""
    table = pa.concat_tables(parts, promote_options="default")
    kept = None
    if keep:
        names = [name for name in table.column_names if name.startswith("kept.")]
        kept = table.select(names).rename_columns([name.removeprefix("kept.") for name in names])

    def column(name: str) -> pa.ChunkedArray | None:
        return table[name] if name in table.column_names else None

    label, lists = column("label"), column("label_lists")
    if lists is not None and label is not None:
        # A file may have lists in some rows and names in others: encoding the labels refuses the names, by row.
        lists = pc.coalesce(lists, label)
    return Rows(
        table["text"], column("text_pair"), label if lists is None else lists, column("id"), kept, columns,
        tuple(sources), label_lists=lists is not None,
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
