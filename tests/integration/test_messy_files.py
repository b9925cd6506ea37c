"""Files as people have them, from `check` to `predict` with no option but the file: right, or one line says why not."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lit_textclf import main
from lit_textclf.classifier.checkpoint import find_checkpoint, read_checkpoint
from tests.conftest import write_csv


def test_found_columns_are_stored_and_used_by_test_and_predict(fit_args: list[str]) -> None:
    for split in ("train", "validation", "test"):
        content = Path(f"{split}.csv").read_text(encoding="utf-8")
        Path(f"{split}.csv").write_text(content.replace("text,label,id", "Review,Sentiment,n", 1), encoding="utf-8")
    main(fit_args)
    stored = read_checkpoint(find_checkpoint("last", Path())).data
    assert (stored["text_column"], stored["label_column"]) == ("Review", "Sentiment")
    content = Path("test.csv").read_text(encoding="utf-8")
    Path("test.csv").write_text(content.replace(",n\n", ",text\n", 1), encoding="utf-8")  # usual, but not trained on
    measured = main(["test", "--ckpt_path", "last", "--data.test_file", "test.csv"])
    predicted = main(["predict", "--ckpt_path", "last", "--data.predict_file", "test.csv", "--output", "p.csv"])
    assert predicted["predict_accuracy"] == measured["test_accuracy"]


def test_joined_columns_in_check_fit_test_and_predict(fit_args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "validation", "test"):
        lines = Path(f"{split}.csv").read_text(encoding="utf-8").splitlines()[1:]
        rows = [line.split(",") for line in lines]
        body = [[text[:4], text[4:], label] for text, label, _ in rows]
        write_csv(Path(f"{split}.csv"), ["title", "body", "label"], body)
    joined = ["--data.text_column", "[title, body]"]
    main(["check", *fit_args[1:7], *joined])
    assert "longer values" not in capsys.readouterr().out
    main([*fit_args, *joined])
    assert read_checkpoint(find_checkpoint("last", Path())).data["text_column"] == ["title", "body"]
    assert main(["test", "--ckpt_path", "last", "--data.test_file", "test.csv"])
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "test.csv", "--output", "p.csv"])
    write_csv(Path("one.csv"), ["text"], [[f"{title}\n{body}"] for title, body, _ in body])
    flags = ["--data.predict_file", "one.csv", "--data.text_column", "text", "--output", "one_p.csv"]
    main(["predict", "--ckpt_path", "last", *flags])
    with Path("p.csv").open(encoding="utf-8") as file, Path("one_p.csv").open(encoding="utf-8") as other:
        assert [row["label"] for row in csv.DictReader(file)] == [row["label"] for row in csv.DictReader(other)]
