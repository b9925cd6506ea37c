"""Texts that are blank or damaged, and text columns that contain something else."""

from __future__ import annotations

from lit_textclf.check.texts import check_columns, check_texts
from tests.check.conftest import examination


def test_blank_texts_are_severe_only_where_fit_refuses_them() -> None:
    found = examination({"train": [("a", "x"), (" ", "y"), ("b", "y")], "test": [("", "x"), ("\t", "y"), ("c", "x")]})
    found.run([check_texts])
    assert [(finding.severity, finding.split, finding.message) for finding in found.findings] == [
        ("severe", "train", "1 text is blank"), ("warning", "test", "2 texts are blank"),
    ]  # fmt: skip
    assert {split: numbers["blank"] for split, numbers in found.splits.items()} == {"train": 1, "test": 2}


def test_blank_texts_that_are_allowed_are_a_note() -> None:
    found = examination({"train": [("a", "x"), (" ", "y")], "test": [("", "x")]}, allow_blank_text=True)
    found.run([check_texts])
    assert [(finding.severity, finding.split, finding.remedy) for finding in found.findings] == [
        ("note", "train", "nothing to do, data.allow_blank_text is true"),
        ("note", "test", "nothing to do, data.allow_blank_text is true"),
    ]


def test_both_texts_of_a_pair_are_searched() -> None:
    rows = [("a", "b", "x"), ("<b>a</b>", "b", "y"), ("a", "b &amp; c", "x"), ("a &lt;", "<br>", "y")]
    found = examination({"train": rows}, ("text_a", "text_b", "label"))
    found.run([check_texts])
    (html,) = found.findings
    assert (html.kind, html.count, html.message) == ("html", 3, "3 texts have HTML tags or entities")


def test_ids_are_nine_of_ten_words_with_a_digit() -> None:
    kinds = []
    for ids in (8, 9):
        texts = [f"r{index}" for index in range(ids)] + ["a film", "a book", "a meal"][: 10 - ids]
        found = examination({"train": [(text, "xy"[index % 2]) for index, text in enumerate(texts)]})
        found.run([check_columns])
        kinds.append([finding.kind for finding in found.findings])
    assert kinds == [[], ["id_like_text"]]


def test_a_column_with_longer_values_is_named() -> None:
    kinds = []
    for length in (40, 41):  # more than 40 characters and three times the texts
        rows = [("a film", "b" * length, "x"), ("a book", "c" * length, "y")]
        found = examination({"train": rows}, ("text", "body", "label"))
        found.run([check_columns])
        kinds.append([finding.message for finding in found.findings])
    message = "column 'body' (mean 41 characters) has longer values than the text column 'text' (6)"
    assert kinds == [[], [message]]


def test_one_row_is_not_a_constant_column() -> None:
    for texts, kinds in ((["same"], []), (["same", "same"], ["constant_text"])):
        found = examination({"train": [(text, "x") for text in texts]})
        found.run([check_columns])
        assert [finding.kind for finding in found.findings] == kinds
