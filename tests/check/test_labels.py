"""Labels: missing, rare, absent, and those that look like something else."""

from __future__ import annotations

from lit_textclf.check.findings import Finding
from lit_textclf.check.labels import check_absent_labels, check_balance, check_label_names, check_labels
from tests.check.conftest import examination


def labelled(*labels: str) -> list[tuple[str, str]]:
    return [(f"text {index}", label) for index, label in enumerate(labels)]


def test_missing_and_unknown_labels() -> None:
    found = examination({
        "train": [("a", "x"), ("b", ""), ("c", "y"), ("d", "y")],
        "validation": [("e", "x"), ("f", "strange")],
        "test": [("g", ""), ("h", "")],
    })  # fmt: skip
    found.run([check_labels])
    missing, unknown, unlabelled = found.findings
    assert (missing.severity, missing.kind, missing.split, missing.count) == ("severe", "unlabelled", "train", 1)
    assert (missing.message, missing.examples) == ("1 row has no label", ["train.csv: row 1: 'b'"])
    assert (unknown.severity, unknown.kind, unknown.split) == ("severe", "labels", "validation")
    assert unknown.message.startswith("training refuses 1 label or more: validation.csv: row 1, column 'label'")
    assert (unlabelled.severity, unlabelled.split, unlabelled.message) == ("note", "test", "2 rows have no label")
    labels = {split: numbers["labels"] for split, numbers in found.splits.items()}
    assert labels == {"train": {"x": 1, "y": 2}, "validation": {"x": 1, "strange": 1}, "test": {}}


def test_the_ratio_and_the_number_at_which_labels_are_reported() -> None:
    kinds = {}
    for common, rare in ((30, 10), (29, 10), (10, 9)):
        found = examination({"train": labelled(*["a"] * common, *["b"] * rare)})
        found.run([check_labels, check_balance])
        kinds[common, rare] = [finding.kind for finding in found.findings]
        if common == 30:
            message = found.findings[0].message
            assert message == "10 rows have the label 'b', 30 have 'a': 3.0 times as many"
    assert kinds == {(30, 10): ["imbalance"], (29, 10): [], (10, 9): ["rare_labels"]}


def test_many_labels_look_like_ids_and_integers_like_a_scale() -> None:
    found = examination({"train": labelled(*(f"id{index}" for index in range(51)))})
    found.run([check_labels, check_balance])
    severe = found.findings[0]
    assert (severe.severity, severe.kind, severe.count) == ("severe", "label_column", 51)
    assert severe.message == "51 different labels in 51 rows look like texts, ids or numbers"
    found = examination({"train": labelled(*map(str, range(-3, 8)))})
    found.run([check_labels, check_balance])
    assert [(each.kind, each.count) for each in found.findings] == [("rare_labels", 11), ("integer_labels", 11)]


def test_training_labels_that_validation_lacks() -> None:
    found = examination({"train": labelled("a", "b", "c"), "validation": labelled("a"), "test": labelled("b", "")})
    found.run([check_labels, check_absent_labels])
    absent = {finding.split: finding.message for finding in found.findings if finding.kind == "absent_labels"}
    assert absent == {"validation": "2 labels have no row: 'b', 'c'", "test": "2 labels have no row: 'a', 'c'"}


def test_names_that_are_numbers_except_for_a_few() -> None:
    found = examination({"train": labelled("1", "2", "3.5", "-4", "+5", "none")}, task="single_label")
    found.run([check_labels, check_label_names])
    (finding,) = found.findings
    assert finding.message == "1 label is not a number, the other 5 are: 'none'"
    found = examination({"train": labelled("1", "2", "3", "4", "none", "nil")}, task="single_label")  # a third
    found.run([check_labels, check_label_names])
    assert not found.findings


def test_a_mark_for_a_missing_value_among_integers_is_severe() -> None:
    (finding,) = findings_of(*["0", "1"] * 4, "NA")
    assert (finding.severity, finding.kind, finding.count) == ("severe", "almost_numbers", 1)
    assert finding.line() == (
        "train: 1 label is not a number, the other 2 are: 'NA'; fill them in or remove the rows, or type --data.task "
        "single_label if they are a class"
    )
    assert not findings_of(*["0", "1"] * 4, "NA", task="single_label")
    assert not findings_of(*["0", "1"] * 4, "other")
    assert not findings_of("0", "1", "NA")  # a third of the rows
    found = examination({"train": labelled(*["0", "1"] * 4, "NA")}, labels=["0", "1", "NA"])
    found.run([check_labels, check_label_names])
    assert not found.findings


def test_decimal_commas_that_become_names_are_severe() -> None:
    (finding,) = findings_of("3,5", "4", "2,75", "1,125")
    assert (finding.severity, finding.kind, finding.count) == ("severe", "decimal_commas", 3)
    assert finding.line() == (
        "train: 3 labels are numbers with a decimal comma, used as names: '1,125', '2,75', '3,5'; type --data.task "
        "regression to read them as numbers, or write them with a point"
    )
    assert [each.severity for each in findings_of("3,5", "4", task="single_label")] == ["warning"]
    for labels in (("1,234", "4"), ("3,5", "4.5"), ("3,5", "high"), ("1,2,3", "1")):
        assert not findings_of(*labels)


def findings_of(*labels: str, task: str = "auto") -> list[Finding]:
    found = examination({"train": labelled(*labels)}, task=task)
    found.run([check_labels, check_label_names])
    return found.findings


def test_labels_that_differ_only_in_form_are_severe() -> None:
    for labels, shown in (
        (("positive", "positive ", "negative"), "'positive', 'positive '"),
        (("1", "1.0", "0"), "'1', '1.0'"),
        (("Spam", "spam", "ham"), "'Spam', 'spam'"),
    ):
        (finding,) = findings_of(*labels)
        message = f"2 labels are the same except for case, spaces or the form of a number: {shown}"
        assert (finding.severity, finding.message) == ("severe", message)


def test_label_sets_separated_by_something_else_are_severe() -> None:
    (finding,) = findings_of("a,b", "a", "a,b,c", task="multi_label")
    assert finding.severity == "severe"
    assert finding.line() == (
        "train: every row has one label, and 2 names contain ',': 'a,b', 'a,b,c'; "
        "separate the names of a row by |, as in a|b"
    )
    assert [each.kind for each in findings_of("a; b", "b", task="multi_label")] == ["joined_names"]
    assert [each.kind for each in findings_of("a | b", "b", task="multi_label")] == ["similar_labels"]
    assert not findings_of("red, dark", "blue", "green", task="multi_label")
    assert not findings_of("Paris, France|b", "Paris, France", "b", task="multi_label")


def test_lists_as_python_writes_them_are_severe() -> None:
    (finding,) = findings_of("['a', 'b']", "['a']", "[]")
    assert finding.line() == (
        "train: 3 labels are lists as Python writes them: \"['a', 'b']\", \"['a']\", '[]'; write a|b, and type "
        "--data.task multi_label"
    )
