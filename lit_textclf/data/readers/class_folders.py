"""A folder with one sub-folder of `.txt` files for each class, or with only `.txt` files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from lit_textclf.data.readers.open_text import (
    as_in,
    cp1252_word,
    open_text,
    pick_encoding,
    read_as_cp1252,
    reason_of,
    undecodable,
)  # fmt: skip
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions, string_table
from lit_textclf.utils.messages import UserError, note, plural


def read_folder(folder: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads one row per file, sorted by class and file name: `text`, `label` (the sub-folder's name) and `file`.

    Raises:
        UserError: if the folder has no `.txt` file, or a file cannot be read or decoded.
    """
    encodings = options.tried
    files, others = _find_files(folder)
    labelled = bool(files) and files[0].parent != folder
    if not files:
        raise UserError(f"{folder}: no .txt files in this folder; it needs one sub-folder of .txt files for each class")
    for path in files:
        if reason := undecodable(str(path.relative_to(folder)), "utf-8"):
            raise UserError(f"{str(path)!a}: the file's or folder's name: {reason.partition(';')[0]}; rename it")
    if others:
        note(f"{folder}: {plural(others, 'file')} skipped (not a .txt file in a class's folder)")
    replaced: dict[str, int] = {}
    word = ""
    for start in range(0, len(files), CHUNK_ROWS):
        part = files[start : start + CHUNK_ROWS]
        texts = []
        for path in part:
            encoding = pick_encoding(path, encodings)
            if encoding != encodings[0]:
                replaced[encoding] = replaced.get(encoding, 0) + 1
            with open_text(path, encoding) as file:
                texts.append(file.read())
                if read_as_cp1252(file):
                    replaced["cp1252"] = replaced.get("cp1252", 0) + 1
                    word = word or cp1252_word(file)
        columns: dict[str, Sequence[str | None]] = {"text": texts}
        if labelled:
            columns["label"] = [path.parent.name for path in part]
        columns["file"] = [path.relative_to(folder).as_posix() for path in part]
        yield string_table(columns, folder, encodings[0], start, part)
    for encoding, number in replaced.items():
        remedy = "" if options.encoding_is_known else as_in(word)
        note(f"{folder}: {plural(number, 'file')} read as {encoding}, not {options.encodings[0]}{remedy}")


def _find_files(folder: Path) -> tuple[list[Path], int]:
    """The `.txt` files to read, and the number of other files.

    `Path.glob` would treat a folder without read permission as empty.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({reason_of(error)})")

    by_depth: dict[int, list[Path]] = {1: [], 2: []}
    number = 0
    for name, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        parent = Path(name)
        depth = len(parent.relative_to(folder).parts) + 1
        number += len(names)
        if depth in by_depth:
            by_depth[depth] += [parent / name for name in names if name.endswith(".txt")]
        if depth > 1:  # a class may be a link; a link further down could lead back up
            folders[:] = [name for name in folders if not (parent / name).is_symlink()]
    files = by_depth[2] or by_depth[1]
    return sorted(files), number - len(files)
