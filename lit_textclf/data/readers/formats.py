"""The readers of files, by ending: a new format is one file beside this one and one line here."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lit_textclf.data.readers.class_folders import read_folder
from lit_textclf.data.readers.columnar import read_arrow, read_parquet
from lit_textclf.data.readers.delimited import read_delimited
from lit_textclf.data.readers.json_lines import read_json
from lit_textclf.data.readers.open_text import COMPRESSED
from lit_textclf.data.readers.tables import Reader, ReadOptions
from lit_textclf.utils.messages import UserError

TEXT_READERS: dict[str, Reader] = {
    ".csv": read_delimited,
    ".tsv": partial(read_delimited, usual="\t"),
    ".jsonl": read_json,
    ".json": read_json,
}
"""Readers that decompress, by ending."""
READERS: dict[str, Reader] = {
    **TEXT_READERS,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    **{ending + packed: reader for ending, reader in TEXT_READERS.items() for packed in COMPRESSED},
}
"""All readers by ending."""


def known_endings() -> str:
    """The endings for messages, as `.csv, .tsv (also .gz, .zst), .parquet`."""
    others = [ending for ending in READERS if ending not in TEXT_READERS and not ending.endswith(tuple(COMPRESSED))]
    return f"{', '.join(TEXT_READERS)} (also {', '.join(COMPRESSED)}), {', '.join(others)}"


def reader_of(path: Path, options: ReadOptions) -> Reader:
    """The reader of a file or folder: the user's own, or ours, by the longest ending that fits.

    A file with an unknown ending is read as a table if `data.delimiter` is set.

    Raises:
        UserError: if the ending is unknown.
    """
    if path.is_dir():
        return read_folder
    readers = {**READERS, **options.readers}
    endings = [ending for ending in readers if path.name.lower().endswith(ending)]
    if endings:
        return readers[max(endings, key=len)]
    if options.delimiter is not None:
        return read_delimited
    raise UserError(
        f"{path}: unknown file ending {path.suffix!r}; use {known_endings()} or a folder of classes, or name a reader "
        "with --data.readers"
    )
