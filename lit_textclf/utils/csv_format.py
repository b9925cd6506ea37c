"""How rows and numbers are formatted in every CSV we write."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from torch import Tensor


def csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    r"""CSV lines that end in `\n`, RFC 4180.

    `csv` quotes what contains a character of the line end: with "\r\n" a lone "\r" in a text is quoted too.
    """
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(lines)


class _Lines(list[str]):
    """A file to `csv.writer`."""

    def write(self, line: str) -> None:
        self.append(line[:-2] + "\n")


def format_float32(values: Tensor) -> list[str]:
    """The shortest decimal that reads back as the same float32, for each of `(batch,)`."""
    return pc.cast(pa.array(values.float().numpy()), pa.string()).to_pylist()  # type: ignore[no-any-return]
