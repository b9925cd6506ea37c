"""Predictions as CSV: columns, numbers, quotes, and a file that appears whole or not at all."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from lit_textclf.data.labels.target import Target
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files
from lit_textclf.data.rows.rows import Rows, rows_of_texts
from lit_textclf.prediction.csv_output import CsvFormat, check_min_score
from lit_textclf.prediction.output_file import PredictionFile
from lit_textclf.utils.csv_format import check_csv_name
from lit_textclf.utils.messages import UserError

BINARY = Target("single_label", ("no", "yes"), "yes")
REGRESSION = Target("regression")
OUTPUT = Path("out.csv")


def rows_with(columns: dict[str, list[str | None]], id_column: str | None = None) -> Rows:
    """Rows of a file `in.csv` whose columns are all kept; `text` is the text."""
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    ids = None if id_column is None else table[id_column]
    names = ColumnNames("text", None, None, id_column)
    return Rows(table["text"], None, None, ids, table, names, (("in.csv", 0),), np.arange(len(table)))


def logits_of(*probabilities: float) -> Tensor:
    """Logits of two classes whose second has this probability."""
    return torch.tensor([[0.0, math.log(p / (1 - p))] for p in probabilities])


def predict(
    target: Target, rows: Rows, logits: Tensor, *, batch_size: int = 2, overwrite: bool = False,
    encoding: str = "utf-8", with_logits: bool = False,
) -> str:  # fmt: skip
    """Writes the predictions batch by batch and returns the file's text."""
    file, kept = PredictionFile(OUTPUT, overwrite=overwrite, encoding=encoding), rows.kept
    columns = CsvFormat(
        target, rows.columns.id, [] if kept is None else kept.column_names, with_logits=with_logits, where=OUTPUT
    )
    with file.writing():
        file.append(file.encode(columns.header(), first=True))
        for start in range(0, len(rows), batch_size):
            end = min(start + batch_size, len(rows))
            file.append(file.encode(columns.lines(rows.slice(start, end - start), logits[start:end])))
    assert os.listdir() == [OUTPUT.name]
    return OUTPUT.read_bytes().decode(encoding)


def parsed(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines(keepends=True), strict=True))


def test_columns_and_rows() -> None:
    # Logits 0 and log 3 are probabilities 1/4 and 3/4, exact in float32.
    text = predict(BINARY, rows_of_texts(["a", "b", "c"]), torch.tensor([[0.0, 0.0], [9.0, 9.0], [-2.0, -2.0]]))
    assert text == "row,label,score,prob_no,prob_yes\n0,no,0.5,0.5,0.5\n1,no,0.5,0.5,0.5\n2,no,0.5,0.5,0.5\n"
    OUTPUT.unlink()
    header, *lines = parsed(predict(BINARY, rows_of_texts(["a", "b", "c"]), logits_of(0.75, 0.125, 0.9)))
    assert header == ["row", "label", "score", "prob_no", "prob_yes"]
    assert [line[:2] for line in lines] == [["0", "yes"], ["1", "no"], ["2", "yes"]]
    numbers = [[float(value) for value in line[2:]] for line in lines]
    expected = [[0.75, 0.25, 0.75], [0.875, 0.875, 0.125], [0.9, 0.1, 0.9]]
    assert numbers == [pytest.approx(values, rel=1e-6) for values in expected]


def test_all_columns_in_the_order_of_the_contract() -> None:
    target = Target("single_label", ("b", "a", "c"))
    rows = rows_with({"note": ["n0"], "text": ["t0"], "key": ["k0"], "more": ["m0"]}, "key")
    header, line = parsed(predict(target, rows, torch.tensor([[1.0, 2.5, -3.0]]), with_logits=True))
    assert header == [
        "row", "key", "label", "score", "prob_b", "prob_a", "prob_c", "logit_b", "logit_a", "logit_c",
        "note", "text", "more",
    ]  # fmt: skip
    assert line[:3] == ["0", "k0", "a"]
    assert line[3] == line[5]
    assert line[7:] == ["1", "2.5", "-3", "n0", "t0", "m0"] or line[7:] == ["1.0", "2.5", "-3.0", "n0", "t0", "m0"]


def test_regression() -> None:
    rows = rows_with({"text": ["a", "b", "c"], "key": ["x", "y", "z"]}, "key")
    header, *lines = parsed(predict(REGRESSION, rows, torch.tensor([[0.1], [-2.5], [1e-20]])))
    assert header == ["row", "key", "prediction", "text"]
    assert [[line[0], line[1], float(line[2]), line[3]] for line in lines] == [
        ["0", "x", 0.1, "a"],
        ["1", "y", -2.5, "b"],
        ["2", "z", 1e-20, "c"],
    ]


def test_numbers_are_the_shortest_that_read_back_as_the_same_float32() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 2000, np.uint32).view(np.float32)
    special = [0.1, 1 / 3, 1.0, 0.0, -0.0, 1e-45, 3.4028235e38, 16777216.0, 0.3, 1e7, 1e-5, 123456.79]
    values = np.concatenate(
        [bits[np.isfinite(bits)], np.array(special, np.float32), np.linspace(0, 1, 500, dtype="f4")]
    )
    header, *lines = parsed(
        predict(REGRESSION, rows_of_texts(["x"] * len(values)), torch.tensor(values)[:, None], batch_size=999)
    )
    assert header == ["row", "prediction"]
    for value, (_, written) in zip(values, lines, strict=True):
        assert np.float32(written).tobytes() == value.tobytes(), written
        digits = written.lower().lstrip("-").split("e")[0].replace(".", "").strip("0")
        with np.errstate(over="ignore"):  # the largest floats, rounded to few digits
            fewest = next(number for number in range(1, 10) if np.float32(f"{value:.{number - 1}e}") == value)
        assert len(digits) <= fewest, (written, value)


def test_probabilities_read_back_as_the_same_float32() -> None:
    target = Target("single_label", ("a", "b", "c"))
    logits = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 5
    _, *lines = parsed(predict(target, rows_of_texts(["x"] * 200), logits, batch_size=64))
    expected = logits.double().softmax(-1).float().numpy()
    assert np.array([line[3:] for line in lines], np.float32).tolist() == expected.tolist()
    assert np.array([line[2] for line in lines], np.float32).tolist() == expected.max(-1).tolist()
    assert [line[1] for line in lines] == [target.labels[best] for best in expected.argmax(-1)]


def test_batch_sizes_make_no_difference() -> None:
    logits = torch.randn(23, 2, generator=torch.Generator().manual_seed(1))
    rows = rows_with({"text": [f"t{row}" for row in range(23)]})
    texts = [predict(BINARY, rows, logits, batch_size=size, overwrite=True) for size in (1, 3, 7, 23)]
    assert len(set(texts)) == 1
    assert [line[5] for line in parsed(texts[0])[1:]] == [f"t{row}" for row in range(23)]


AWKWARD = [
    'say "so"',
    "a,b",
    "two\nlines",
    "carriage\rreturn",
    "both\r\n",
    "",
    " ",
    "\u2028 \x85",
    "caf\u00e9 \U0001f600",
    "'",
    "=1+1",
]


def test_awkward_texts_read_back_as_they_are() -> None:
    rows = rows_with({"text": AWKWARD, "key": AWKWARD[::-1]}, "key")
    text = predict(BINARY, rows, torch.zeros(len(AWKWARD), 2))
    for part in ('"say ""so"""', '"a,b"', '"two\nlines"', '"carriage\rreturn"', '"both\r\n"'):
        assert part in text
    read = read_files(str(OUTPUT), ColumnNames("text", None, "label", "key"), ReadOptions(), option="data.predict_file")
    assert read.text.to_pylist() == AWKWARD
    assert read.id is not None
    assert read.id.to_pylist() == AWKWARD[::-1]


def test_awkward_labels_and_missing_values() -> None:
    target = Target("single_label", ('a,"b"', "c\nd"))
    rows = rows_with({"text": ["t"], "note": [None]})
    header, line = parsed(predict(target, rows, torch.tensor([[3.0, 0.0]])))
    assert header == ["row", "label", "score", 'prob_a,"b"', "prob_c\nd", "text", "note"]
    assert (line[1], line[-1]) == ('a,"b"', "")


def test_kept_columns_that_have_our_names_are_renamed_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"row": ["r"], "text": ["t"], "input_label": ["il"], "label": ["l"], "prob_yes": ["p"]}
    header, line = parsed(predict(BINARY, rows_with(columns), torch.zeros(1, 2)))
    assert len(set(header)) == len(header)
    assert header[:5] == ["row", "label", "score", "prob_no", "prob_yes"]
    assert dict(zip(header[5:], line[5:], strict=True)) == {
        "input_row": "r",
        "text": "t",
        "input_label": "il",
        "input_input_label": "l",
        "input_prob_yes": "p",
    }
    said = capsys.readouterr().err
    assert said.count("\n") == 3
    assert "'label'" in said
    assert "'input_input_label'" in said


@pytest.mark.parametrize("name", ["row", "label", "score", "prob_no"])
def test_an_id_column_that_has_one_of_our_names(name: str) -> None:
    header, line = parsed(predict(BINARY, rows_with({"text": ["t"], name: ["k"]}, name), torch.zeros(1, 2)))
    assert len(set(header)) == len(header)
    assert (line[0], line[1], header[2]) == ("0", "k", "label")


@pytest.mark.parametrize("name", ["p.csv.gz", "p.xlsx", "p.json", "p.jsonl", "p.parquet", "P.TSV"])
@pytest.mark.usefixtures("fitted")
def test_a_name_that_says_something_else_is_refused(name: str, fails: Callable[[Sequence[str]], str]) -> None:
    line = fails(["predict", "--ckpt_path", "last", "--text", "good", "--output", name])
    assert line == f"error: --output {name}: would be a CSV file; name it .csv, and convert or compress it afterwards"
    assert not Path(name).exists()


def test_names_that_say_nothing_else() -> None:
    for name in ("p.csv", "p", "p.txt", "p.2026-11", "folder.gz/p.csv"):
        check_csv_name(name)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (REGRESSION, "a regression, which has no probabilities: neither --threshold nor --min_score applies"),
        (Target("multi_label", ("a", "b")), "--min_score is for one label per row; the model predicts label sets: use"),
    ],
)
def test_no_minimum_score_without_one_label_per_row(target: Target, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check_min_score(0.5, target)
    check_min_score(None, target)
    check_min_score(0.5, BINARY)
