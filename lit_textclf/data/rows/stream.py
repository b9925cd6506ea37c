"""Rows to predict from inputs larger than memory: read once to count and check them, and again part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator

import pyarrow as pa

from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows, note_blank, note_limit, text_digest
from lit_textclf.utils.messages import UserError, plural, quietly


class RowStream:
    """Rows to predict; at most one part and one chunk are in memory.

    All rows are read once at first (two seconds for a million short ones), so that an error in the last row is reported
    before anything is computed, and the number of rows is known.

    Args:
        read: reads the rows in chunks; called once for each pass.
        split: the name of the rows, for messages.
        limit: use only the first `limit` rows.

    Attributes:
        total: the number of rows.
        columns: the names of the columns.
        kept: the names of all columns of the input if they were asked for, without repetitions.
        digest: a hash of the content of all rows, which identifies the input.

    Raises:
        UserError: for the first error in the input.
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
            note_blank(split, blank, first)
        if limit is not None and limit < self.total:
            note_limit(split, limit, self.total)
            self.total = limit
        self.split = split

    def parts(self, size: int, wanted: Container[int]) -> Iterator[tuple[int, Rows]]:
        """Reads the rows again, and yields index and rows of the wanted parts; the last part may be smaller.

        Raises:
            UserError: if the input has fewer rows than before; do not change it while predicting.
        """
        index, seen, pieces = 0, 0, list[Rows]()
        for chunk in quietly(self._read()):  # the first pass has printed all notes
            rows = chunk.slice(0, min(len(chunk), self.total - seen))
            while len(rows):
                end = min((index + 1) * size, self.total)
                piece = rows.slice(0, end - seen)
                rows = rows.slice(len(piece), len(rows))
                seen += len(piece)
                if index in wanted:
                    pieces.append(piece)
                if seen == end:
                    if index in wanted:
                        yield index, Rows.of_parts(pieces)
                    index, pieces = index + 1, []
            if seen == self.total:
                return
        raise UserError(
            f"{self.split}: the input had {plural(self.total, 'row')} and now has {seen:,}: it was changed; run the "
            "command again"
        )


def _all_columns(rows: Rows) -> list[pa.ChunkedArray]:
    kept = [] if rows.kept is None else rows.kept.columns
    return [column for column in (rows.text, rows.text_pair, rows.label, rows.id, *kept) if column is not None]
