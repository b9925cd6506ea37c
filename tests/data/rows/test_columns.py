"""Which column is which."""

from __future__ import annotations

import shlex

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_textclf.data.rows.columns import LABEL_NAMES, TEXT_NAMES, ColumnNames
from lit_textclf.data.rows.rows import rows_of_table
from lit_textclf.utils.messages import UserError


def found_in(columns: ColumnNames, names: list[str], *, required: bool = True) -> ColumnNames:
    """The columns in a file with these names and one row."""
    table = pa.table([pa.array([f"{name} value"]) for name in names], names)
    return columns.found_in(table, "rows.csv", label_required=required)


@pytest.mark.parametrize(
    ("names", "text", "pair"),
    [
        (["label", "text"], "text", None),
        (["text_a", "text_b", "label"], "text_a", "text_b"),
        (["sentence", "label"], "sentence", None),
        (["sentence1", "sentence2", "label"], "sentence1", "sentence2"),
        (["sentence2", "label", "sentence1"], "sentence1", "sentence2"),
        (["sentence1", "sentence", "label"], "sentence", None),
        (["text", "sentence", "text_a", "text_b", "label"], "text", None),
        (["Sentence1", "SENTENCE2", "label"], "Sentence1", "SENTENCE2"),
        (["Text", "sentence", "label"], "Text", None),
        (["question", "sentence", "label"], "question", "sentence"),
        (["index", "sentence", "question", "label"], "question", "sentence"),
        (["question1", "question2", "is_duplicate", "label"], "question1", "question2"),
        (["hypothesis", "premise", "label"], "premise", "hypothesis"),
        (["question", "sentence", "text", "label"], "text", None),
    ],
)
def test_text_columns_are_found(names: list[str], text: str, pair: str | None) -> None:
    assert found_in(ColumnNames(), names) == ColumnNames(text, pair, "label", None)


@pytest.mark.parametrize(
    ("names", "text", "label"),
    [
        (["Text", "Label"], "Text", "Label"),
        (["review", "sentiment"], "review", "sentiment"),
        (["ID", "COMMENT", "Category"], "COMMENT", "Category"),
        (["content", "target", "n"], "content", "target"),
        (["Score", "Body"], "Body", "Score"),
        (["text", "title", "rating"], "text", "rating"),
        (["TEXT", "Title", "label", "class"], "TEXT", "label"),
        (["Text", "text", "Label", "label"], "text", "label"),
        (["sentence", "review", "label"], "sentence", "label"),
        (["Tweet ", " intent"], "Tweet ", " intent"),
    ],
)
def test_usual_names_are_found_whatever_the_case(
    names: list[str], text: str, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = found_in(ColumnNames(), names)
    assert found == ColumnNames(text, None, label)
    ColumnNames().report_found(found, "rows.csv")
    lines = capsys.readouterr().err.splitlines()
    expected = [f"rows.csv: text column: {text} (found in the file; set --data.text_column to change it)"]
    expected = [] if text == "text" else expected
    if label != "label":
        expected.append(f"rows.csv: label column: {label} (found in the file; set --data.label_column to change it)")
    assert lines == expected


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (
            ["title", "text", "label"],
            "text column: text; 'title' is not read (to join them, type --data.text_column '[title, text]')",
        ),
        (
            ["Text", "Body", "n", "title", "label"],
            "text column: Text; 'Body', 'title' are not read "
            "(to join them, type --data.text_column '[Text, Body, title]')",
        ),
        (
            ["title", "text_a", "text_b", "label"],
            "text column: text_a and text_b (found in the file; set --data.text_column to change it)",
        ),
        (["text", "topic", "label"], ""),
    ],
)
def test_other_texts_are_reported(names: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    ColumnNames().report_found(found_in(ColumnNames(), names), "rows.csv", names)
    assert capsys.readouterr().err == (f"rows.csv: {line}\n" if line else "")
    ColumnNames("text").report_found(ColumnNames("text", label="label"), "rows.csv", names)
    assert capsys.readouterr().err == ""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*TEXT_NAMES, *LABEL_NAMES, "id", "Text", "LABEL", "Review", "n"]), unique=True))
def test_a_guess_is_the_only_candidate_or_the_preferred_one(names: list[str]) -> None:
    def candidates(known: tuple[str, ...]) -> list[str]:
        found = [name for name in names if name.lower() in known]
        exact = [name for name in found if name == known[0]]
        return exact or [name for name in found if name.lower() == known[0]] or found

    text, label = candidates(TEXT_NAMES), candidates(LABEL_NAMES)
    if {"question", "sentence"} <= set(names) and not any(name.lower() == "text" for name in names):
        names.remove("question")  # a pair
        assert found_in(ColumnNames(label="n"), [*names, "question"], required=False).text == "question"
    sentences = [name for name in names if name.lower() == "sentence"]
    if sentences and not any(name.lower() == "text" for name in names):
        text = ["sentence"] if "sentence" in names else sentences
    if len(text) == len(label) == 1:
        found = found_in(ColumnNames(), names)
        assert (found.text, found.label) == (text[0], label[0])
        assert found_in(ColumnNames(), names[::-1]) == found
        assert found_in(found, names) == found
    else:
        with pytest.raises(UserError, match=r"--data\.(text|label)_column") as raised:
            found_in(ColumnNames(), names)
        assert "\n" not in str(raised.value)


def test_no_guess_over_a_named_column() -> None:
    names = ["review", "body", "rating", "class", "n"]
    assert found_in(ColumnNames("n", label="review"), names) == ColumnNames("n", label="review")
    assert found_in(ColumnNames(label="review"), names[:3]).text == "body"
    assert found_in(ColumnNames("body", labels=("n", "rating")), names).label is None


def test_labels_are_not_guessed_where_they_are_not_needed() -> None:
    assert found_in(ColumnNames(), ["text", "rating"], required=False).label is None
    assert found_in(ColumnNames(label="rating"), ["text", "rating"], required=False).label == "rating"


def test_the_column_with_the_longest_values_is_proposed() -> None:
    table = pa.table({"opinion": ["a long opinion", "another"], "stars": ["1", "2"]})
    with pytest.raises(UserError, match=r"'opinion' has .* --data\.text_column opinion --data\.label_column stars$"):
        ColumnNames().found_in(table, "rows.csv", label_required=True)
    table = pa.table({"id": ["1", "2", "3"], "text": ["a", "b", "c"], "my stars": ["x", "y", "x"]})
    with pytest.raises(UserError, match=r"'my stars' has the fewest different values \(2\): type .* 'my stars'$"):
        ColumnNames().found_in(table, "rows.csv", label_required=True)


def test_named_columns_win_over_found_ones() -> None:
    named = ColumnNames("headline", "body", "topic", "key")
    assert found_in(named, ["text", "headline", "body", "topic", "key"]) == named


def test_a_missing_label_column_passes_where_labels_are_not_needed() -> None:
    found = found_in(ColumnNames(label="topic"), ["text", "id"], required=False)
    assert found == ColumnNames("text", None, None, None)
    assert found_in(ColumnNames(), ["text", "label"], required=False).label == "label"


@pytest.mark.parametrize(
    ("columns", "names", "parts"),
    [
        (ColumnNames(), ["stars", "label"], ["no text column", "'stars', 'label'", "data.text_column stars"]),
        (ColumnNames(), ["text_a", "label"], ["no text column", "data.text_column"]),
        (ColumnNames(), ["tekst", "label"], ["type --data.text_column tekst"]),
        (
            ColumnNames(),
            ["title", "body", "label"],
            ["'title' or 'body'", "type --data.text_column title, or --data.text_column '[title, body]' to join them"],
        ),
        (ColumnNames(), ["Title", "body, raw", "Body"], ["--data.text_column '[Title, Body]' to join them"]),
        (ColumnNames(), ["text", "Class", "Rating"], ["'Class' or 'Rating'", "type --data.label_column Class"]),
        (ColumnNames("body"), ["text", "label"], ["no column 'body'", "data.text_column"]),
        (ColumnNames("text", "text2"), ["text", "label"], ["no column 'text2'", "data.text_pair_column"]),
        (ColumnNames(), ["text", "stars"], ["no label column", "'stars'", "data.label_column"]),
        (ColumnNames(id="key"), ["text", "label"], ["no column 'key'", "'text', 'label'", "data.id_column"]),
        (ColumnNames("text", "text"), ["text", "label"], ["named twice", "text"]),
        (ColumnNames("text", label="text"), ["text", "label"], ["named twice", "text"]),
    ],
)
def test_refused(columns: ColumnNames, names: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        found_in(columns, names)
    for part in ["rows.csv: ", *parts]:
        assert part in str(raised.value)


def test_a_pair_column_alone_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.text_pair_column is set but data\.text_column is not"):
        found_in(ColumnNames(text_pair="text_b"), ["text_a", "text_b", "label"])


def test_the_id_column_may_be_a_column_that_is_used() -> None:
    found = found_in(ColumnNames(id="text"), ["text", "label"])
    assert (found.text, found.id) == ("text", "text")


def test_several_columns_are_joined() -> None:
    columns = ColumnNames.of_options(["title", "body"], None, None, None, None)
    table = pa.table({"body": ["b", None, " ", "b"], "label": ["x"] * 4, "title": ["t", "t", "", "a\nb"]})
    found = columns.found_in(table, "rows.csv", label_required=True)
    assert (found.text_option, found.label) == (["title", "body"], "label")
    assert rows_of_table(table, found, ("rows.csv", 0)).text.to_pylist() == ["t\nb", "t", "", "a\nb\nb"]
    assert ColumnNames.of_options(["title"], None, None, None, None) == ColumnNames("title")
    assert ColumnNames.of_options([], None, None, None, None) == ColumnNames()
    with pytest.raises(UserError, match=r"no column 'title' .*; change --data\.text_column"):
        found_in(columns, ["body", "label"])
    with pytest.raises(UserError, match="named twice"):
        found_in(ColumnNames.of_options(["title", "label"], None, "label", None, None), ["title", "label"])


def test_a_joined_list_is_quoted_as_the_parser_reads_it() -> None:
    table = pa.table({"message ": ["a"], "Body": ["b"], "label": ["x"]})
    with pytest.raises(UserError) as raised:
        ColumnNames().found_in(table, "rows.csv", label_required=True)
    typed = shlex.split(str(raised.value).partition(", or ")[2])[1]
    assert yaml.safe_load(typed) == ["message ", "Body"]


def test_names_that_differ_only_in_case(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ColumnNames("text", "pair", "label", "id")
    assert columns.in_our_case(["Text", "PAIR ", "label", "Id", "n"], "a.csv") == ["text", "pair", "label", "id", "n"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a.csv: column 'Text' is read as 'text', which differs only in case or spaces"
    assert len(lines) == 3
    for names in (["text", "Text"], ["TEXT", "Text"], ["pair", "label"]):
        assert columns.in_our_case(names, "a.csv") == names
    joined = ColumnNames.of_options(["title", "body"], None, None, None, ["x", "y"])
    assert joined.in_our_case(["Body", "Title", "X", "Y"], "a.csv") == ["body", "title", "x", "y"]
    assert ColumnNames("text", label="Text").in_our_case(["Text", "n"], "a.csv") == ["Text", "n"]
    assert len(capsys.readouterr().err.splitlines()) == 4
