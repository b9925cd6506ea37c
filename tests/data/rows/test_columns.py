"""Which column is which."""

from __future__ import annotations

import pytest

from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.utils.messages import UserError


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
    ],
)
def test_text_columns_are_found(names: list[str], text: str, pair: str | None) -> None:
    found = ColumnNames().found_in(names, "rows.csv", label_required=True)
    assert found == ColumnNames(text, pair, "label", None)


def test_named_columns_win_over_found_ones() -> None:
    named = ColumnNames("headline", "body", "topic", "key")
    assert named.found_in(["text", "headline", "body", "topic", "key"], "rows.csv", label_required=True) == named


def test_a_missing_label_column_passes_where_labels_are_not_needed() -> None:
    found = ColumnNames(label="topic").found_in(["text", "id"], "rows.csv", label_required=False)
    assert found == ColumnNames("text", None, None, None)
    assert ColumnNames().found_in(["text", "label"], "rows.csv", label_required=False).label == "label"


@pytest.mark.parametrize(
    ("columns", "names", "parts"),
    [
        (ColumnNames(), ["title", "label"], ["no text column", "'title', 'label'", "data.text_column"]),
        (ColumnNames(), ["text_a", "label"], ["no text column", "data.text_column"]),
        (ColumnNames(), ["tekst", "label"], ["did you mean 'tekst'?"]),
        (ColumnNames("body"), ["text", "label"], ["no column 'body'", "data.text_column"]),
        (ColumnNames("text", "text2"), ["text", "label"], ["no column 'text2'", "data.text_pair_column"]),
        (ColumnNames(), ["text", "labels"], ["no column 'label'", "did you mean 'labels'?", "data.label_column"]),
        (ColumnNames(id="key"), ["text", "label"], ["no column 'key'", "'text', 'label'", "data.id_column"]),
        (ColumnNames("text", "text"), ["text", "label"], ["named twice", "text"]),
        (ColumnNames("text", label="text"), ["text", "label"], ["named twice", "text"]),
    ],
)
def test_refused(columns: ColumnNames, names: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        columns.found_in(names, "rows.csv", label_required=True)
    for part in ["rows.csv: ", *parts]:
        assert part in str(raised.value)


def test_a_pair_column_alone_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.text_pair_column is set but data\.text_column is not"):
        ColumnNames(text_pair="text_b").found_in(["text_a", "text_b", "label"], "rows.csv", label_required=True)


def test_the_id_column_may_be_a_column_that_is_used() -> None:
    found = ColumnNames(id="text").found_in(["text", "label"], "rows.csv", label_required=True)
    assert (found.text, found.id) == ("text", "text")
