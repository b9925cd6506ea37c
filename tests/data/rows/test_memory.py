"""Rows from memory are the rows of the file that they were read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.csv
import pytest

from lit_textclf import TextDataModule, UserError

FORMS: dict[str, Callable[[pa.Table], Any]] = {
    "a list of dictionaries": pa.Table.to_pylist,
    "a dictionary of columns": pa.Table.to_pydict,
    "a dictionary of arrays": lambda table: {name: np.array(table[name].to_pylist()) for name in table.column_names},
    "pandas": lambda table: pd.DataFrame(table.to_pydict()),
    "pandas with an index and categories": lambda table: pd.DataFrame(
        table.to_pydict(), index=[f"i{row}" for row in range(len(table))]
    ).astype({"label": "category"}),
    "pyarrow": lambda table: table,
    "a reader that can be read once": lambda table: table.to_reader(),
    "polars": polars.from_arrow,
    "polars with categories": lambda table: polars.DataFrame(table).with_columns(
        label=polars.col("label").cast(polars.Categorical)
    ),
    "a data set": lambda table: datasets.Dataset.from_dict(table.to_pydict()),
    "a data set of class numbers": lambda table: datasets.Dataset.from_dict(table.to_pydict()).class_encode_column(
        "label"
    ),
}


def rows_of(data: TextDataModule) -> dict[str, list[tuple[str, str]]]:
    data.read("fit")
    data.read("predict")
    (_, predict), *_ = data.stream.parts(1000, {0})  # type: ignore[union-attr]
    found = {**data.rows, "predict": predict}
    return {
        name: list(zip(rows.text.to_pylist(), rows.label.to_pylist(), strict=True))  # type: ignore[union-attr]
        for name, rows in found.items()
    }


@pytest.mark.parametrize("form", FORMS)
def test_same_rows_as_the_file(form: str, reviews: dict[str, Path]) -> None:
    path = str(reviews["train"])
    expected = rows_of(TextDataModule(path, predict_file=path, validation_split=0.25))
    made = [FORMS[form](pa.csv.read_csv(path)) for _ in range(2)]
    assert rows_of(TextDataModule(made[0], predict_file=made[1], validation_split=0.25)) == expected


def test_numbers_and_missing_values() -> None:
    """Label numbers are names, as in a file; a key that a row lacks is a missing value."""
    rows = [{"text": "good", "label": 1}, {"text": "bad", "label": 0}, {"text": "none"}]
    data = TextDataModule(rows[:2])
    data.read("fit")
    assert data.target is not None
    assert data.target.labels == ("0", "1")
    with pytest.raises(UserError, match=r"data\.train_file: row 2"):
        TextDataModule(rows).read("fit")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (3, "data.train_file: int cannot be read as rows; give a path, a list of paths, a list of dictionaries"),
        (["a.csv", 3], "list cannot be read as rows"),
        ({"text": "one text"}, "column 'text' is one string; give a list of them"),
        ({"text": ["a", "b"], "label": ["x"]}, "cannot be read as rows"),
        ([{"text": "a", "label": 1}, {"text": "b", "label": "x"}], "column 'label' has values of different types"),
        ({"text": ["a", 1], "label": ["x", "y"]}, "column 'text' has values of different types"),
        (datasets.DatasetDict(train=datasets.Dataset.from_dict({"text": ["a"]})), "several data sets (train)"),
        ({"b": ["a"], "label": ["x"]}, "data.train_file: no text column"),
        ([], "data.train_file is an empty list"),
        (pd.Series(["a", "b"]), "Series cannot be read as rows"),
    ],
)
def test_refused(rows: Any, expected: str) -> None:
    with pytest.raises(UserError) as error:
        TextDataModule(rows).read("fit")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_paths(reviews: dict[str, Path], tiny_bert: Path) -> None:
    """`pathlib.Path` wherever a path is taken."""
    data = TextDataModule(reviews["train"], [reviews["validation"]], cache_dir=Path("tokens"), tokenizer=tiny_bert)
    data.setup()
    assert len(data.rows["train"]) == 48
    assert len(next(iter(data.val_dataloader()))["row"]) == 16


def test_later_changes_of_the_arrays_do_not_change_the_rows() -> None:
    labels, frame = np.array([0, 1, 0, 1]), pd.DataFrame({"text": list("abcd"), "label": [0, 1, 0, 1]})
    by_array, by_frame = TextDataModule({"text": list("abcd"), "label": labels}), TextDataModule(frame)
    labels[:] = 1
    frame.loc[:, "label"] = 1
    for data in (by_array, by_frame):
        data.read("fit")
        assert data.rows["train"].label.to_pylist() == ["0", "1", "0", "1"]  # type: ignore[union-attr]


def test_labels_of_minus_one_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    """The test split of STS-B, as it comes from the Hub."""
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [-1.0, -1.0]})
    data = TextDataModule([{"text": "a", "label": 0.5}, {"text": "b", "label": 1.5}], test_file=rows)
    data.read("fit")
    data.read("test")
    assert data.rows["test"].unlabelled().tolist() == [0, 1]
    assert "every label is -1, which means no label" in capsys.readouterr().err
