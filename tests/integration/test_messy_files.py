"""Files as people have them, from `check` to `predict` with no option but the file: right, or one line says why not."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lit_textclf import main
from lit_textclf.classifier.checkpoint import find_checkpoint, read_checkpoint
from tests.conftest import write_csv

pytestmark = pytest.mark.usefixtures("no_figures")

Fails = Callable[[Sequence[str]], str]


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


@pytest.mark.slow
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


ROWS = [(f"the caf\u00e9 was {word}, \u201cvery\u201d {number}", label) for number in range(6) for word, label in
        (("good", "yes"), ("bad", "no"))]  # fmt: skip


def as_csv(header: Sequence[str] = ("text", "label"), *, encoding: str = "utf-8", **options: Any) -> bytes:
    """The rows with this header; more columns are filled with a number."""
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, **{"lineterminator": "\n", **options})
    writer.writerow(header)
    writer.writerows([*row, *[str(number)] * (len(header) - 2)] for number, row in enumerate(ROWS))
    return sink.getvalue().encode(encoding)


PLAIN = as_csv()
WORK: dict[str, tuple[bytes, str, str]] = {
    "plain": (PLAIN, "text", "label"),
    "semicolons": (as_csv(delimiter=";"), "text", "label"),
    "tabs": (as_csv(delimiter="\t"), "text", "label"),
    "pipes": (as_csv(delimiter="|"), "text", "label"),
    "all quoted": (as_csv(quoting=csv.QUOTE_ALL), "text", "label"),
    "all quoted, semicolons": (as_csv(delimiter=";", quoting=csv.QUOTE_ALL), "text", "label"),
    "CRLF": (as_csv(lineterminator="\r\n"), "text", "label"),
    "CR": (as_csv(lineterminator="\r"), "text", "label"),
    "semicolons, CRLF": (as_csv(delimiter=";", lineterminator="\r\n"), "text", "label"),
    "BOM": (as_csv(encoding="utf-8-sig"), "text", "label"),
    "BOM, semicolons, CRLF": (as_csv(delimiter=";", encoding="utf-8-sig", lineterminator="\r\n"), "text", "label"),
    "cp1252": (as_csv(encoding="cp1252"), "text", "label"),
    "cp1252, semicolons, CRLF": (as_csv(encoding="cp1252", delimiter=";", lineterminator="\r\n"), "text", "label"),
    "Excel": (as_csv(("Review", "Rating"), encoding="cp1252", delimiter=";"), "Review", "Rating"),
    "capitals": (as_csv(("TEXT", "LABEL")), "TEXT", "LABEL"),
    "titles": (as_csv(("Text", "Label")), "Text", "Label"),
    "IMDb": (as_csv(("review", "sentiment")), "review", "sentiment"),
    "comments": (as_csv(("Comment", "Class")), "Comment", "Class"),
    "tweets": (as_csv(("tweet", "target", "id")), "tweet", "target"),
    "intents": (as_csv(("sentence", "intent")), "sentence", "intent"),
    "news": (as_csv(("content", "category", "date")), "content", "category"),
    "mail": (as_csv(("Body", "Topic")), "Body", "Topic"),
    "questions": (as_csv(("question", "labels")), "question", "labels"),
    "documents": (as_csv(("Document", "Score")), "Document", "Score"),
    "text and title": (as_csv(("text", "label", "title")), "text", "label"),
    "label and rating": (as_csv(("message", "label", "rating")), "message", "label"),
    "spaces in the header": (as_csv(("text ", " label")), "text ", " label"),
    "an index without a name": (as_csv(("text", "label", "")), "text", "label"),
    "blank lines": (PLAIN.replace(b"\n", b"\n\n").replace(b"label\n\n", b"label\n", 1), "text", "label"),
    "no last line end": (PLAIN[:-1], "text", "label"),
    "a line end in a field": (PLAIN + b'"one\r\ntwo",yes\n', "text", "label"),
    "doubled quotes": (PLAIN + b'"so ""good""",yes\n', "text", "label"),
    "NA is a text": (PLAIN + b"NA,yes\nnull,no\n", "text", "label"),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "two texts": (as_csv(("Title", "Label", "Body")), "--data.text_column Title"),
    "two labels": (as_csv(("text", "Class", "Score")), "--data.label_column Class"),
    "no text": (as_csv(("opinion", "stars")), "--data.text_column opinion --data.label_column stars"),
    "no label": (as_csv(("text", "stars")), "--data.label_column stars"),
    "no header": (PLAIN.partition(b"\n")[2], "--data.text_column"),
    "two delimiters": (as_csv(("text", "label"), delimiter=";").replace(b";", b";1|", 13), "--data.delimiter"),
    "a long row": (PLAIN + b"one,two,yes\n", "--data.delimiter"),
    "an open quote": (PLAIN + b'"one,yes\n', "--data.quote_char"),
    "UTF-16": (as_csv(encoding="utf-16"), "--data.encoding"),
    "UTF-8 and cp1252": (PLAIN + as_csv(encoding="cp1252"), "--data.encoding"),
    "blank text": (PLAIN + b",yes\n", "--data.allow_blank_text"),
    "Cyrillic": ("text,label\n\u043f\u0440\u0438\u0432\u0435\u0442,yes\n".encode("cp1251"), "--data.encoding"),
}
QUICK = ("semicolons", "Excel")
"""The files that the quick suite takes through all commands, too."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WORK])
def test_from_check_to_predict_with_no_option_but_the_file(name: str, tiny_bert: Path) -> None:
    content, text, label = WORK[name]
    Path("rows.csv").write_bytes(content)
    main(["check", "--data.train_file", "rows.csv"])
    model = ["--model.model_name_or_path", str(tiny_bert), "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1"]
    main(["fit", *model, "--data.train_file", "rows.csv", "--data.max_length", "16"])
    stored = read_checkpoint(find_checkpoint("last", Path()))
    assert (stored.data["text_column"], stored.data["label_column"]) == (text, label)
    assert stored.target.labels == ("no", "yes")
    main(["predict", "--ckpt_path", "last", "--data.predict_file", "rows.csv", "--output", "p.csv"])
    rows = len(ROWS) + {"a line end in a field": 1, "doubled quotes": 1, "NA is a text": 2}.get(name, 0)
    with Path("p.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == rows


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line_that_names_the_option(name: str, tiny_bert: Path, fails: Fails) -> None:
    content, option = REFUSED[name]
    Path("rows.csv").write_bytes(content)
    line = fails(["fit", "--model.model_name_or_path", str(tiny_bert), "--data.train_file", "rows.csv"])
    assert option in line
    assert "rows.csv" in line
