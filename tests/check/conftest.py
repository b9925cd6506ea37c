"""Splits written as CSV files and read as `check` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_textclf import TextDataModule
from lit_textclf.check.findings import Examination
from tests.conftest import write_csv


def examination(
    splits: Mapping[str, Iterable[Sequence[str]]], columns: Sequence[str] = ("text", "label"), **options: Any
) -> Examination:
    """The examination of rows by split, before any check has run."""
    files = {f"{split}_file": str(write_csv(Path(f"{split}.csv"), columns, rows)) for split, rows in splits.items()}
    data = TextDataModule(**files, **options)
    rows, _ = data.read_leniently()
    return Examination(rows, data.target, data)
