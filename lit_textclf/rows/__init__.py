"""The first room: rows of labelled or unlabelled text, read strictly from files, folders and data sets."""

from lit_textclf.rows.columns import ColumnNames
from lit_textclf.rows.read import ReadOptions, Rows, read_dataset, read_files, rows_of_texts

__all__ = ["ColumnNames", "ReadOptions", "Rows", "read_dataset", "read_files", "rows_of_texts"]
