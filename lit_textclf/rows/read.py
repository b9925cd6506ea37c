"""One way in for every input: files by their ending, folders and data sets become :class:`Rows`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.errors import UserError, count, nearest, say
from lit_textclf.rows.class_folders import read_folder
from lit_textclf.rows.columnar import as_strings, read_arrow, read_parquet
from lit_textclf.rows.columns import ColumnNames
from lit_textclf.rows.delimited import read_delimited
from lit_textclf.rows.json_lines import read_json
from lit_textclf.rows.label_lists import is_nested, lists_of_columns
from lit_textclf.rows.paths import expanded, resolve_files
from lit_textclf.rows.text_files import pick_encoding

DELIMITERS = {".csv": ",", ".tsv": "\t"}
COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class ReadOptions:
    """How files are read: `data.encoding`, `data.delimiter` and `data.quote_char`."""

    encodings: tuple[str, ...] = ("utf-8",)
    delimiter: str | None = None
    quote_char: str = '"'


@dataclass(frozen=True)
class Rows:
    """Rows as read.

    Attributes:
        text: the first texts, strings, `(rows,)`.
        text_pair: the second texts, or None for single texts.
        label: the labels' names (null where there is none), or None without a label column.
        id: the values of the id column, or None.
        kept: all columns of the input, or None unless they were asked for.
        columns: which column was which.
        sources: each file's name with the number of its first row in this table.
        row_numbers: for each row its place in the input, `(rows,)`, or None where it is the row's index.
        label_lists: whether the labels are lists of names, spelled as JSON.
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

    def __len__(self) -> int:
        return len(self.text)

    def where(self, index: int) -> str:
        """Names the file and the row (from 0) of a row of this table."""
        name, number = self.place(index)
        return f"{name}: row {number}"

    def place(self, index: int) -> tuple[str, int]:
        """The file of a row of this table, and which of its rows it is, from 0."""
        number = index if self.row_numbers is None else int(self.row_numbers[index])
        name, start = next(source for source in reversed(self.sources) if source[1] <= number)
        return name, number - start

    def take(self, indices: np.ndarray) -> Rows:
        """Returns the rows at these indices, which still know where they came from."""

        def taken(column: Any) -> Any:
            return None if column is None else column.take(pa.array(indices))

        numbers = indices if self.row_numbers is None else self.row_numbers[indices]
        return Rows(
            taken(self.text), taken(self.text_pair), taken(self.label), taken(self.id), taken(self.kept),
            self.columns, self.sources, numbers, self.label_lists,
        )  # fmt: skip

    def slice(self, start: int, length: int) -> Rows:
        """Returns some rows one after the other, which still know where they came from; nothing is copied."""

        def cut(column: Any) -> Any:
            return None if column is None else column.slice(start, length)

        numbers = np.arange(len(self)) if self.row_numbers is None else self.row_numbers
        return Rows(
            cut(self.text), cut(self.text_pair), cut(self.label), cut(self.id), cut(self.kept),
            self.columns, self.sources, numbers[start : start + length], self.label_lists,
        )  # fmt: skip

    @classmethod
    def of_parts(cls, parts: Sequence[Rows]) -> Rows:
        """Puts parts of one set of rows (from :meth:`take` or :meth:`slice`) one after the other."""
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
        """Indices of the rows in which a text is empty or white space only."""
        blank = pc.equal(pc.utf8_trim_whitespace(self.text), "")
        if self.text_pair is not None:
            blank = pc.or_(blank, pc.equal(pc.utf8_trim_whitespace(self.text_pair), ""))
        return np.flatnonzero(blank.to_numpy())

    def unlabelled(self, *, blank: bool = True) -> np.ndarray:
        """Indices of the rows without a label; a blank one counts as none, or, with `blank=False`, as an empty set."""
        if self.label is None:
            return np.arange(len(self))
        missing = pc.is_null(self.label)
        if blank:
            missing = pc.or_kleene(missing, pc.equal(pc.utf8_trim_whitespace(self.label), ""))
        return np.flatnonzero(missing.to_numpy())


def text_digest(texts: pa.ChunkedArray) -> str:
    """BLAKE2b of strings and their lengths; the same however they are cut into chunks."""
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


def read_files(
    files: str | Sequence[str],
    columns: ColumnNames,
    options: ReadOptions,
    *,
    option: str,
    label_required: bool = True,
    keep_columns: bool = False,
) -> Rows:
    """Reads one or several files or folders, in order, into one set of rows.

    Args:
        files: what the option says: a path, a glob or a list of them.
        columns: the columns to read; text columns left open are found and said.
        options: encodings and delimiters.
        option: the option's name, for messages.
        label_required: whether a missing label column is an error.
        keep_columns: whether to hold all other columns too.

    Raises:
        UserError: naming the file and row of the first thing that is wrong.
    """
    sources: list[tuple[str, int]] = []
    parts = list(_selected(files, columns, options, sources, option, label_required, keep_columns))
    return _rows([part for part, _ in parts], parts[-1][1], sources, keep_columns)


def stream_files(
    files: str | Sequence[str], columns: ColumnNames, options: ReadOptions, *, option: str, keep_columns: bool = False
) -> Iterator[Rows]:
    """Reads files as :func:`read_files` does, labels not required, and holds no more than a chunk of them.

    Yields:
        Rows that know their places in the whole input; other columns of the files (`kept`) are those of one file.
    """
    sources: list[tuple[str, int]] = []
    start = 0
    for part, found in _selected(files, columns, options, sources, option, False, keep_columns):
        if len(part):
            numbers = np.arange(start, start + len(part))
            yield replace(_rows([part], found, sources, keep_columns), row_numbers=numbers)
            start += len(part)


def _selected(
    files: str | Sequence[str], columns: ColumnNames, options: ReadOptions, sources: list[tuple[str, int]],
    option: str, label_required: bool, keep_columns: bool,
) -> Iterator[tuple[pa.Table, ColumnNames]]:  # fmt: skip
    """The files' tables as :func:`_select` makes them, with the columns found; adds to `sources` as it goes."""
    asked, total = columns, 0
    for path in resolve_files(files, option):
        sources.append((str(path), total))
        rows_of_file = 0
        for position, table in enumerate(_tables(path, options)):
            if position == 0:
                found = asked.found_in(table.column_names, str(path), label_required=label_required)
                if len(sources) > 1:
                    _same_columns(columns, found, sources[0][0], str(path))
                columns = found
            yield _select(table, columns, keep_columns, str(path), rows_of_file), columns
            rows_of_file += len(table)
        if not rows_of_file:
            raise UserError(f"{path}: no rows below the header; change {option}")
        total += rows_of_file
    if asked.text is None and (columns.text, columns.text_pair) != ("text", None):
        chosen = columns.text if columns.text_pair is None else f"{columns.text} and {columns.text_pair}"
        say(f"{sources[0][0]}: text column: {chosen} (found; data.text_column would change it)")


def _same_columns(first: ColumnNames, other: ColumnNames, first_file: str, file: str) -> None:
    """Refuses files of one set of rows of which one lacks a column that another has."""
    for name in ("text", "text_pair", "label", "id"):
        ours, theirs = getattr(first, name), getattr(other, name)
        if ours != theirs:
            one, two, column = (first_file, file, ours) if ours is not None else (file, first_file, theirs)
            raise UserError(f"{one} has a column {column!r} to be read, {two} has not; read them one by one")


def rows_of_texts(texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> Rows:
    """Makes rows of texts in memory, as for `--text`."""
    columns = {"text": pa.array(texts, pa.string())}
    if text_pairs is not None:
        columns["text_pair"] = pa.array(text_pairs, pa.string())
    table = pa.table(columns)
    names = ColumnNames("text", "text_pair" if text_pairs is not None else None, None)
    return _rows([_select(table, names, False, "--text", 0)], names, [("--text", 0)], keep=False)


def load_dataset(name: str, config_name: str | None) -> Mapping[str, Any]:
    """The splits of a data set of the Hub, or of a folder saved by `datasets`; no rows are read yet.

    Raises:
        UserError: if the data set cannot be had.
    """
    import datasets  # takes a second, and only this input needs it

    try:
        folder = expanded(name, "data.dataset_name")
        if config_name is not None and (folder / config_name / "dataset_dict.json").exists():
            folder, config_name = folder / config_name, None
        if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            loaded = datasets.load_from_disk(str(folder))
            return loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
        return datasets.load_dataset(name, config_name)  # type: ignore[no-any-return]
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"data.dataset_name {name!r} cannot be loaded: {reason[0]}") from None


def read_dataset(
    name: str, config_name: str | None, split: str, columns: ColumnNames, *, label_required: bool = True,
    keep_columns: bool = False, split_required: bool = False,
) -> Rows | None:  # fmt: skip
    """Reads a split of a data set of the Hub, or of a folder that `datasets` can load.

    Class numbers become their names; -1, which stands for 'no label', becomes null.

    Returns:
        The rows, or None if there is no such split.

    Raises:
        UserError: if the data set cannot be had, or has no split that it must have.
    """
    import datasets

    loaded = load_dataset(name, config_name)
    if split not in loaded:
        if split_required:
            raise UserError(
                f"data.dataset_splits: {name} has no split {split!r}{nearest(split, loaded)}; it has "
                f"{', '.join(map(str, loaded))}"
            )
        return None
    dataset = loaded[split]
    table = dataset.with_format("arrow")[:]
    where = f"{name}[{split}]"
    columns = columns.found_in(table.column_names, where, label_required=label_required)
    for place, column in enumerate(table.column_names):
        feature = dataset.features[column]
        if isinstance(feature, datasets.ClassLabel):
            table = table.set_column(place, column, _class_names(table[column].combine_chunks(), feature.names))
        elif isinstance(getattr(feature, "feature", None), datasets.ClassLabel):
            lists = table[column].combine_chunks()
            names = _class_names(lists.flatten(), feature.feature.names)
            offsets = pc.subtract(lists.offsets, lists.offsets[0])
            table = table.set_column(
                place,
                column,
                pa.ListArray.from_arrays(offsets, names, mask=lists.is_null() if lists.null_count else None),
            )
    if columns.label in table.column_names and _all_minus_one(table[columns.label]):
        say(f"{where}: every label is -1, which stands for none")
        empty = pa.nulls(len(table), pa.string())
        table = table.set_column(table.column_names.index(columns.label), columns.label, empty)
    try:
        table = as_strings(table, where=where)
    except pa.ArrowException as error:
        raise UserError(f"{where}: a column cannot be read as text ({str(error).splitlines()[0]:.120})") from None
    return _rows([_select(table, columns, keep_columns, where, 0)], columns, [(where, 0)], keep_columns)


def _all_minus_one(labels: pa.ChunkedArray) -> bool:
    """Whether numbers are what GLUE's STS-B has for rows without a label, where no class could stand for that."""
    return len(labels) > 0 and pa.types.is_floating(labels.type) and bool(pc.all(pc.equal(labels, -1)).as_py())


def _class_names(codes: pa.Array, names: Sequence[str]) -> pa.Array:
    """The names of class numbers; -1, which stands for 'no label', becomes null."""
    return pa.array(names, pa.string()).take(pc.if_else(pc.less(codes, 0), None, codes))


def _tables(path: Path, options: ReadOptions) -> Iterator[pa.Table]:
    """Reads one file or folder by its ending; a new format is one line here and one file beside this one."""
    if path.is_dir():
        return read_folder(path, options.encodings)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return read_parquet(path)
    if suffix == ".arrow":
        return read_arrow(path)
    if suffix in COMPRESSED:
        suffix = Path(path.stem).suffix.lower()
    encoding = pick_encoding(path, options.encodings)
    if encoding != options.encodings[0]:
        say(f"{path}: 1 file read as {encoding}, not {options.encodings[0]}")
    if suffix in DELIMITERS or (options.delimiter and suffix not in (".json", ".jsonl")):
        delimiter = options.delimiter or DELIMITERS[suffix]
        return read_delimited(path, encoding, delimiter, options.quote_char)
    if suffix in (".jsonl", ".json"):
        return read_json(path, encoding)
    raise UserError(
        f"{path}: unknown kind of file {suffix!r}; use .csv, .tsv, .jsonl, .json (.gz and .zst "
        "too), .parquet, .arrow or a folder of classes"
    )


def _select(table: pa.Table, columns: ColumnNames, keep: bool, where: str, start: int) -> pa.Table:
    """Names the used columns by their role; all input columns follow, as `kept.NAME`, where they are asked for.

    A column of label lists is called `label_lists`, also where it is made of columns of zeros and ones.
    """
    for name in (columns.text, columns.text_pair, columns.id):
        if name in table.column_names and (holds := is_nested(table.schema.field(name))):
            raise UserError(f"{where}: column {name!r} holds {holds}, not strings or numbers")
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


def _rows(parts: list[pa.Table], columns: ColumnNames, sources: list[tuple[str, int]], keep: bool) -> Rows:
    table = pa.concat_tables(parts, promote_options="default")
    kept = None
    if keep:
        names = [name for name in table.column_names if name.startswith("kept.")]
        kept = table.select(names).rename_columns([name.removeprefix("kept.") for name in names])

    def column(name: str) -> pa.ChunkedArray | None:
        return table[name] if name in table.column_names else None

    label, lists = column("label"), column("label_lists")
    if lists is not None and label is not None:
        # In one file the labels are lists here and plain there: the plain ones are refused by row when they are read.
        lists = pc.coalesce(lists, label)
    return Rows(
        table["text"], column("text_pair"), label if lists is None else lists, column("id"), kept, columns,
        tuple(sources), label_lists=lists is not None,
    )  # fmt: skip


def report_blank(rows: Rows, split: str, *, refuse: bool) -> None:
    """Refuses blank texts, or says how many there are.

    Raises:
        UserError: naming the first row, if there is one and `refuse` is set.
    """
    blank = rows.blank()
    if not len(blank):
        return
    if refuse:
        raise UserError(
            f"{rows.where(int(blank[0]))}: the text is blank ({count(len(blank), 'such row')}); "
            "remove them or set data.allow_blank_text"
        )
    say(f"{split}: {count(len(blank), 'row')} with a blank text, kept (first: {rows.where(int(blank[0]))})")
