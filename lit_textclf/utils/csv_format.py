"""How rows and numbers are formatted in every CSV we write."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.utils.messages import UserError

if TYPE_CHECKING:
    from torch import Tensor


_OTHER = (
    ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".xlsx", ".xls", ".ods", ".gz", ".zst",
    ".bz2", ".xz", ".zip", ".pkl", ".html", ".xml", ".yaml", ".db", ".sqlite",
)  # fmt: skip
"""Endings of files that are not plain CSV."""


def check_csv_name(output: str) -> None:
    """Refuses a name of a file of predictions that says something else than CSV.

    Raises:
        UserError: name it .csv and convert it.
    """
    if output.lower().endswith(_OTHER):
        raise UserError(f"--output {output}: would be a CSV file; name it .csv, and convert or compress it afterwards")


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


def format_float32(values: np.ndarray | Tensor) -> list[str]:
    """The shortest decimal that reads back as the same float32, for each of `(batch,)`."""
    return pc.cast(pa.array(np.asarray(values, np.float32)), pa.string()).to_pylist()  # type: ignore[no-any-return]
