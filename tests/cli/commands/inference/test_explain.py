"""The command `explain`: its file, its table, and its mistakes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lit_textclf import load, main
from tests.conftest import write_csv

Fails = Callable[[Sequence[str]], str]
ROWS = [("a good film", "r1"), ("", "r2"), ('was, "very" bad', "r3")]


def read(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_line_a_word(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(Path("new.csv"), ["text", "id"], ROWS)
    metrics = main([
        "explain", "--ckpt_path", "best", "--data.predict_file", "new.csv", "--data.id_column", "id",
        "--output", "e.csv",
    ])  # fmt: skip
    found = read("e.csv")
    assert list(found[0]) == ["row", "id", "word", "start", "end", "label", "weight"]
    assert [(line["row"], line["id"], line["word"]) for line in found] == [
        *(("0", "r1", word) for word in ("a", "good", "film")),
        *(("2", "r3", word) for word in ("was", ",", '"', "very", '"', "bad")),
    ]
    expected = load(fitted).explain([text for text, _ in ROWS])
    weights = [word["weight"] for each in expected for word in each["words"]]
    assert [float(line["weight"]) for line in found] == pytest.approx(weights, abs=1e-5)
    for line in found:
        row = int(line["row"])
        assert ROWS[row][0][int(line["start"]) : int(line["end"])] == line["word"]
        assert line["label"] == expected[row]["explained"]
    assert metrics["rows"] == 3
    printed = capsys.readouterr()
    assert "the most telling words" in printed.out
    assert printed.out.endswith("wrote e.csv\n")
    assert "explain: 3 rows, 0 (0.0%) truncated to 16 tokens" in printed.err
    assert "explain: completeness error: median" in printed.err


def test_a_text_with_onnx_runtime_or_by_occlusion(fitted: Path) -> None:
    main(["explain", "--ckpt_path", "last", "--text", "null", "--label", "positive", "--method", "occlusion"])
    [line] = read("explanations.csv")
    assert (line["row"], line["word"], line["label"]) == ("0", "null", "positive")


@pytest.mark.slow
def test_onnx_runtime_writes_the_same(fitted: Path, exported: list[str]) -> None:
    write_csv(Path("new.csv"), ["text"], [(text,) for text, _ in ROWS])
    main(["explain", *exported, "--data.predict_file", "new.csv", "--output", "onnx.csv"])
    with_torch = ["--ckpt_path", "last", "--method", "occlusion"]
    main(["explain", *with_torch, "--data.predict_file", "new.csv", "--output", "torch.csv"])
    found, expected = read("onnx.csv"), read("torch.csv")
    assert [float(line.pop("weight")) for line in found] == pytest.approx(
        [float(line.pop("weight")) for line in expected], abs=1e-4
    )
    assert found == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "error: explain needs --ckpt_path: a checkpoint, last or best (or --engine onnx --model_dir DIR)"),
        (["--ckpt_path", "last"], "error: explain needs rows: set --data.predict_file, or --text"),
        (
            ["--ckpt_path", "last", "--text", "good", "--label", "positives"],
            "error: no label 'positives'; did you mean 'positive'?; there are negative, positive",
        ),
        (
            ["--ckpt_path", "last", "--text", "good", "--method", "gradient"],
            "error: method: gradient is not one of 'gradients', 'occlusion' or null",
        ),
        (
            ["--ckpt_path", "last", "--text", "good", "--output", "e.xlsx"],
            "error: --output e.xlsx: would be a CSV file; name it .csv, and convert or compress it afterwards",
        ),
        (["--ckpt_path", "last", "--labels", "a"], "error: no option --labels; did you mean 'data.labels'?"),
    ],
    ids=["checkpoint", "rows", "label", "method", "output", "option"],
)
def test_mistakes(fitted: Path, fails: Fails, options: list[str], message: str) -> None:
    assert fails(["explain", *options]) == message
    assert not list(Path().glob("*.csv*"))


def test_a_file_is_not_overwritten(fitted: Path, fails: Fails) -> None:
    Path("explanations.csv").write_text("mine")
    line = fails(["explain", "--ckpt_path", "last", "--text", "good"])
    assert "explanations.csv" in line
    assert "--overwrite" in line
    assert Path("explanations.csv").read_text() == "mine"
    main(["explain", "--ckpt_path", "last", "--text", "good", "--method", "occlusion", "--overwrite"])
    assert [line["word"] for line in read("explanations.csv")] == ["good"]
