"""Reads data sets of the Hugging Face Hub, or saved by `datasets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.data.readers.columnar import as_strings
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows, rows_of_table
from lit_textclf.utils.messages import UserError, did_you_mean, first_line, note
from lit_textclf.utils.paths import expand_path


def load_dataset(name: str, config_name: str | None) -> Mapping[str, Any]:
    """The splits of a data set of the Hub, or of a folder saved by `datasets`; no rows are read yet.

    Raises:
        UserError: if the data set cannot be loaded; check the name and the network.
    """
    import datasets  # takes a second, and only this input needs it

    try:
        folder = expand_path(name, "data.dataset_name")
        if config_name is not None and (folder / config_name / "dataset_dict.json").exists():
            folder, config_name = folder / config_name, None
        if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            loaded = datasets.load_from_disk(str(folder))
            return loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
        return datasets.load_dataset(name, config_name)  # type: ignore[no-any-return]
    except Exception as error:
        raise UserError(f"data.dataset_name {name!r} cannot be loaded: {first_line(error)}") from None


def read_dataset(
    name: str, config_name: str | None, split: str, columns: ColumnNames, *, label_required: bool = True,
    keep_columns: bool = False, split_required: bool = False,
) -> Rows | None:  # fmt: skip
    """Reads a split of a data set of the Hub, or of a folder that `datasets` can load; None if it lacks the split.

    Class numbers become names; -1, which means 'no label', becomes null.

    Raises:
        UserError: if the data set cannot be loaded, or lacks a split that `data.dataset_splits` names.
    """
    loaded = load_dataset(name, config_name)
    if split not in loaded:
        if split_required:
            raise UserError(
                f"data.dataset_splits: {name} has no split {split!r}{did_you_mean(split, loaded)}; it has "
                f"{', '.join(map(str, loaded))}"
            )
        return None
    where = f"{name}[{split}]"
    table = table_of_dataset(loaded[split], where)
    table = table.rename_columns(columns.in_our_case(table.column_names, where))
    asked, columns = columns, columns.found_in(table, where, label_required=label_required)
    asked.report_found(columns, where, table.column_names)
    try:
        table = as_strings(_without_minus_one(table, columns.label, where), where=where)
    except pa.ArrowException as error:
        raise UserError(f"{where}: a column cannot be read as text ({str(error).splitlines()[0]:.120})") from None
    return rows_of_table(table, columns, (where, 0), keep=keep_columns)


def table_of_dataset(dataset: Any, where: str) -> pa.Table:
    """The columns of a `datasets.Dataset`: class numbers become names, and -1, which means 'no label', null.

    Raises:
        UserError: for a data set that is read row by row, or has several splits.
    """
    import datasets

    if not isinstance(dataset, datasets.Dataset):
        raise UserError(f"{where}: {type(dataset).__name__} is not a table; use one split of it, as a datasets.Dataset")
    table: pa.Table = dataset.with_format("arrow")[:]
    table = _without_minus_one(table, "label", where)
    for index, column in enumerate(table.column_names):
        feature = dataset.features[column]
        if isinstance(feature, datasets.ClassLabel):
            table = table.set_column(index, column, _class_names(table[column].combine_chunks(), feature.names))
        elif isinstance(getattr(feature, "feature", None), datasets.ClassLabel):
            lists = table[column].combine_chunks()
            names = _class_names(lists.flatten(), feature.feature.names)
            offsets = pc.subtract(lists.offsets, lists.offsets[0])
            table = table.set_column(
                index,
                column,
                pa.ListArray.from_arrays(offsets, names, mask=lists.is_null() if lists.null_count else None),
            )
    return table


def _without_minus_one(table: pa.Table, label: str | None, where: str) -> pa.Table:
    """A table with null in place of its labels if every one is the number -1, as in the test split of GLUE's STS-B."""
    labels = table[label] if label in table.column_names else pa.nulls(0)
    if not len(labels) or not pa.types.is_floating(labels.type) or not pc.all(pc.equal(labels, -1)).as_py():
        return table
    note(f"{where}: every label is -1, which means no label")
    return table.set_column(table.column_names.index(label), label, pa.nulls(len(table), pa.string()))


def _class_names(codes: pa.Array, names: Sequence[str]) -> pa.Array:
    """The names of class numbers; null for -1, which means 'no label'."""
    return pa.array(names, pa.string()).take(pc.if_else(pc.less(codes, 0), None, codes))
