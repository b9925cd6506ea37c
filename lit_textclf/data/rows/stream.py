"""Rows that are looked at once, to be counted and checked, and read again part by part: inputs larger than memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator

import pyarrow as pa

from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows, text_digest
from lit_textclf.utils.messages import UserError, note, plural, quietly


class RowStream:
    """Rows to be predicted, of which no more than a part and a chunk are held.

    All rows are read once to begin with, which takes two seconds for a million short ones: a mistake in the last row
    shows before anything is computed, and how many rows there are is known.

    Args:
        read: begins to read the rows, in chunks that know their places in the input; it can be called again.
        split: what to call the rows in messages.
        limit: use at most this many rows, the first ones.

    Attributes:
        total: how many rows there are.
        columns: which column is which.
        kept: the names of all columns of the input, where they were asked for, each once.
        digest: of all rows' contents, by which they are known again.

    Raises:
        UserError: naming the first thing that is wrong in the input.
    """

    def __init__(self, read: Callable[[], Iterator[Rows]], split: str, limit: int | None = None) -> None:
        self._read = read
        self.total, self.columns = 0, ColumnNames()
        self.kept: list[str] = []
        blank, first = 0, ""
        content = hashlib.blake2b(digest_size=16)
        for rows in read():
            self.total += len(rows)
            self.columns = rows.columns
            self.kept = list(dict.fromkeys([*self.kept, *([] if rows.kept is None else rows.kept.column_names)]))
            if len(found := rows.blank()):
                first = first or rows.where(int(found[0]))
                blank += len(found)
            for column in _all_columns(rows):
                content.update(text_digest(column).encode())
        self.digest = content.hexdigest()
        if blank:
            note(f"{split}: {plural(blank, 'row')} with a blank text, kept (first: {first})")
        if limit is not None and limit < self.total:
            note(f"{split}: {limit:,} of {plural(self.total, 'row')} used (data.max_*_samples)")
            self.total = limit
        self.split = split

    def parts(self, size: int, wanted: Container[int]) -> Iterator[tuple[int, Rows]]:
        """Reads the rows again, and gives the wanted ones of their parts of `size` rows.

        Yields:
            The number of a part, from 0, and its rows; the last part may be smaller.

        Raises:
            UserError: if there are no longer as many rows as there were.
        """
        index, held, have = 0, list[Rows](), 0
        seen = 0
        for chunk in quietly(self._read()):  # what there is to say was said the first time
            rows = chunk.slice(0, min(len(chunk), self.total - seen))
            seen += len(rows)
            while len(rows):
                taken = rows.slice(0, size - have)
                rows = rows.slice(len(taken), len(rows))
                have += len(taken)
                if index in wanted:
                    held.append(taken)
                if have == size or (seen == self.total and not len(rows)):
                    if index in wanted:
                        yield index, Rows.of_parts(held)
                    index, held, have = index + 1, [], 0
            if seen == self.total:
                return
        raise UserError(f"{self.split}: the input had {plural(self.total, 'row')} and now has {seen:,}: it was changed")


def _all_columns(rows: Rows) -> list[pa.ChunkedArray]:
    kept = [] if rows.kept is None else rows.kept.columns
    return [column for column in (rows.text, rows.text_pair, rows.label, rows.id, *kept) if column is not None]


def one_chunk(rows: Rows) -> Iterator[Rows]:
    """Rows in memory in the form of a stream."""
    yield rows.slice(0, len(rows))
