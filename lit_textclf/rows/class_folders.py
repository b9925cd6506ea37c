"""A folder with one sub-folder of `.txt` files for each class, or with `.txt` files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from lit_textclf.errors import UserError, count, say
from lit_textclf.rows.delimited import CHUNK_ROWS, string_table
from lit_textclf.rows.text_files import open_text, pick_encoding


def read_folder(folder: Path, encodings: Sequence[str]) -> Iterator[pa.Table]:
    """Reads one row a file, sorted by class and file name: `text`, `label` (the sub-folder's name) and `file`.

    Yields:
        Tables of up to :data:`CHUNK_ROWS` rows.

    Raises:
        UserError: if there is no `.txt` file, or one cannot be decoded.
    """
    files = sorted(folder.glob("*/*.txt"))
    labelled = bool(files)
    files = files or sorted(folder.glob("*.txt"))
    if not files:
        raise UserError(f"{folder}: a folder without .txt files; it needs one sub-folder of .txt files for each class")
    others = len({path for path in folder.rglob("*") if path.is_file()} - set(files))
    if others:
        say(f"{folder}: {count(others, 'file')} left out (not a .txt file in a class's folder)")
    replaced: dict[str, int] = {}
    for start in range(0, len(files), CHUNK_ROWS):
        part = files[start : start + CHUNK_ROWS]
        texts = []
        for path in part:
            encoding = pick_encoding(path, encodings)
            if encoding != encodings[0]:
                replaced[encoding] = replaced.get(encoding, 0) + 1
            with open_text(path, encoding) as file:
                texts.append(file.read())
        columns: dict[str, Sequence[str | None]] = {"text": texts}
        if labelled:
            columns["label"] = [path.parent.name for path in part]
        columns["file"] = [path.relative_to(folder).as_posix() for path in part]
        yield string_table(columns, folder, encodings[0], start, part)
    for encoding, number in replaced.items():
        say(f"{folder}: {count(number, 'file')} read as {encoding}, not {encodings[0]}")
