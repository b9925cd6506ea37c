"""Task and labels, decided from the training rows."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_textclf.classifier.metrics.table import higher_is_better, metrics_of, monitor_of, quality_of, shown_in, task_of
from lit_textclf.classifier.tasks.table import RULES
from lit_textclf.compare.statistics import Measure
from lit_textclf.data.labels.names import join_names, split_names
from lit_textclf.data.labels.table import TASKS, Task, TaskOption
from lit_textclf.data.labels.target import Target, decide_target, label_counts
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError


def labelled(*labels: str | None) -> Rows:
    """Rows of a file `train.csv` with a label column `topic`."""
    texts = pa.chunked_array([pa.array([f"text {index}" for index in range(len(labels))], pa.string())])
    names = pa.chunked_array([pa.array(labels, pa.string())])
    columns = ColumnNames("text", None, "topic", None)
    return Rows(texts, None, names, None, None, columns, (("train.csv", 0),), np.arange(len(texts)))


AUTO = [
    (["b", "a", "b"], "single_label", ("a", "b")),
    (["10", "2", "1", "2"], "single_label", ("1", "2", "10")),
    (["1", "-1", "0"], "single_label", ("-1", "0", "1")),
    (["1.0", "0.0"], "single_label", ("0.0", "1.0")),
    (["1.0", "1", "01", "0"], "single_label", ("0", "01", "1", "1.0")),
    (["0.5", "1"], "regression", ()),
    (["3.0", "2.0", "1.5"], "regression", ()),
    (["1e-3", "2"], "regression", ()),
    (["-0.5", "0.5"], "regression", ()),
    (["0.5", "high"], "single_label", ("0.5", "high")),
    (["10", "2", "x"], "single_label", ("10", "2", "x")),
    (["0.5", "nan"], "single_label", ("0.5", "nan")),
    (["0.5", "inf"], "single_label", ("0.5", "inf")),
    (["B", "a", "\u00e4"], "single_label", ("B", "a", "\u00e4")),
]


@pytest.mark.parametrize(("labels", "task", "names"), AUTO)
def test_auto(labels: list[str], task: str, names: tuple[str, ...]) -> None:
    target = decide_target(labelled(*labels), "auto", None, None)
    assert (target.task, target.labels) == (task, names)
    assert target.positive_label == (names[-1] if len(names) == 2 else None)


@pytest.mark.parametrize("mark", ["NA", "nan", "None", "null", "-", "N/A"])
def test_a_stray_missing_mark_among_numbers_is_refused(mark: str) -> None:
    rows = labelled("0.5", "1.5", "2", "4.5", "3.5", "0.5", mark, "1.5")
    with pytest.raises(
        UserError, match=rf"train\.csv: row 6, column 'topic': '{mark}' among numbers; fix it .*data\.task"
    ):
        decide_target(rows, "auto", None, None)
    assert mark in decide_target(rows, "single_label", None, None).labels  # said on purpose
    assert mark in decide_target(labelled(*["1", "2"] * 4, mark), "auto", None, None).labels  # integers are names


def test_numbers_with_a_decimal_comma(capsys: pytest.CaptureFixture[str]) -> None:
    rows = labelled("3,5", "4", "-0,25", "1,125")
    assert decide_target(rows, "auto", None, None).task == "single_label"
    assert capsys.readouterr().err == ""
    target = decide_target(rows, "regression", None, None)
    assert target.encode(rows).tolist() == [3.5, 4, -0.25, 1.125]
    line = "train.csv, column 'topic': labels such as 3,5 are read as numbers with a decimal comma"
    assert capsys.readouterr().err.splitlines() == [line]
    for labels in (("1,234", "2"), ("3,5", "4.5"), ("3,5", "1.234,5")):
        with pytest.raises(UserError, match=r"'[\d.,]+' is not a finite number, and the task is regression"):
            decide_target(labelled(*labels), "regression", None, None)


def test_a_named_task_overrides_auto() -> None:
    assert decide_target(labelled("0.5", "1.5"), "single_label", None, None).labels == ("0.5", "1.5")
    assert decide_target(labelled("1", "2"), "regression", None, None) == Target("regression")
    assert decide_target(labelled("1", "1"), "regression", None, None) == Target("regression")


def test_given_labels_keep_their_order_and_may_have_no_rows() -> None:
    target = decide_target(labelled("a", "b", "a"), "auto", ["b", "c", "a"], None)
    assert target == Target("single_label", ("b", "c", "a"))
    assert target.encode(labelled("a", "b", "c", "a")).tolist() == [2, 0, 1, 2]
    assert decide_target(labelled("0.5", "1.5"), "auto", ["1.5", "0.5"], None).labels == ("1.5", "0.5")


def test_the_positive_label() -> None:
    rows = labelled("yes", "no")
    default, chosen = decide_target(rows, "auto", None, None), decide_target(rows, "auto", None, "no")
    assert (default.labels, default.positive_label, default.positive_index) == (("no", "yes"), "yes", 1)
    assert (chosen.labels, chosen.positive_label, chosen.positive_index) == (("no", "yes"), "no", 0)
    assert Target("single_label", ("a", "b", "c")).positive_index is None
    assert Target("regression").positive_index is None


def test_what_follows_from_the_task() -> None:
    classes, numbers = Target("single_label", ("a", "b", "c")), Target("regression")
    assert classes.num_outputs == 3
    assert numbers.num_outputs == 1


def test_encoding() -> None:
    codes = Target("single_label", ("10", "2")).encode(labelled("2", "10", "2"))
    assert codes.dtype == np.int64
    assert codes.tolist() == [1, 0, 1]
    values = Target("regression").encode(labelled("1", "-0.1", "2e3"))
    assert values.dtype == np.float32
    assert values.tolist() == [np.float32(1), np.float32(-0.1), np.float32(2000)]


def test_a_model_that_knows_a_json_number_as_a_float_takes_the_integer() -> None:
    target, rows = Target("single_label", ("0.0", "1.0")), labelled("1", "0", "1")
    assert target.encode(rows).tolist() == [1, 0, 1]
    assert label_counts(rows, target) == {"1.0": 2, "0.0": 1}


def test_names_in_brackets_are_names() -> None:
    rows = labelled("[NSFW]|b", "(sic)", "b")
    assert decide_target(rows, "multi_label", None, None).labels == ("(sic)", "[NSFW]", "b")


def test_an_unknown_label_names_file_row_column_and_label() -> None:
    rows = labelled("a", "b", "c", "b", "d")
    with pytest.raises(UserError) as raised:
        Target("single_label", ("a", "b")).encode(rows)
    message = str(raised.value)
    for part in ("train.csv: row 2", "'topic'", "'c'", "2 such rows", "'a', 'b'"):
        assert part in message


def test_case_and_spaces_make_another_label() -> None:
    for label in ("A", "a ", " a"):
        with pytest.raises(UserError, match="unknown"):
            Target("single_label", ("a", "b")).encode(labelled("a", label))


def test_many_known_labels_are_not_all_listed() -> None:
    target = Target("single_label", tuple(f"c{number:02d}" for number in range(40)))
    with pytest.raises(UserError, match=r"'c00', 'c01'.*'c11' and 28 more"):
        target.encode(labelled("x"))


@pytest.mark.parametrize("missing", [None, "", " "])
def test_a_missing_label_is_refused(missing: str | None) -> None:
    rows = labelled("a", "b", missing, "a", missing)
    with pytest.raises(UserError) as decided:
        decide_target(rows, "auto", None, None)
    with pytest.raises(UserError) as encoded:
        Target("single_label", ("a", "b")).encode(rows)
    for raised in (decided, encoded):
        for part in ("train.csv: row 2", "'topic'", "2 such rows", "remove the row"):
            assert part in str(raised.value)


@pytest.mark.parametrize("label", ["high", "nan", "inf", "-Infinity", "1,5", "1e999", "1e39"])
def test_a_regression_label_that_is_no_finite_float32(label: str) -> None:
    rows = labelled("0.5", "1.5", label)
    for refused in (lambda: decide_target(rows, "regression", None, None), lambda: Target("regression").encode(rows)):
        with pytest.raises(UserError) as raised:
            refused()
        for part in ("train.csv: row 2", "'topic'", repr(label), "single_label"):
            assert part in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "task", "given", "positive", "parts"),
    [
        (["a", "a"], "auto", None, None, ["train.csv", "2 training rows", "'a'", "'topic'", "data.label_column"]),
        (["1", "1"], "auto", None, None, ["'1'", "two"]),
        (["a", "a"], "auto", ["a", "b"], None, ["'a'", "two"]),
        (["a", "b"], "auto", ["a", "c"], None, ["train.csv: row 1", "'b'", "'a', 'c'"]),
        (["a", "b"], "auto", ["a", "b", "a"], None, ["data.labels", "'a'", "twice"]),
        (["a", "b"], "auto", None, "c", ["data.positive_label", "'c'", "'a', 'b'"]),
        (["0.5", "1"], "regression", ["0.5", "1"], None, ["data.labels", "data.task"]),
        (["a", "a"], "multi_label", None, None, ["train.csv", "1 name", "'a'", "data.label_column"]),
        (["1_5", "2.5"], "regression", None, None, ["train.csv: row 0", "'1_5' is not a finite number"]),
        (["\u0663.\u0665", "2.5"], "regression", None, None, ["is not a finite number"]),
        (["", ""], "multi_label", None, None, ["train.csv", "0 names"]),
        (["a|b", "a||b"], "multi_label", None, None, ["train.csv: row 1", "'topic'", "'a||b'", "not a list of names"]),
        (
            ["a", "['a', 'b']"],
            "multi_label",
            None,
            None,
            ["train.csv: row 1", "list as Python writes it; write"],
        ),
        (["a", "b", "[]"], "multi_label", None, None, ["train.csv: row 2", "'[]' is a list as Python writes it"]),
        (["('a',)", "b"], "multi_label", None, None, ["train.csv: row 0", "is a list as Python writes it"]),
        (["a|b", "a|c"], "multi_label", ["a", "b"], None, ["train.csv: row 1", "'c'", "'a', 'b'"]),
        (["a|b"], "multi_label", None, "a", ["data.positive_label has no meaning for multi_label"]),
    ],
)
def test_refused(labels: list[str], task: str, given: list[str] | None, positive: str | None, parts: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        decide_target(labelled(*labels), task, given, positive)
    for part in parts:
        assert part in str(raised.value)


def test_targets_that_cannot_be() -> None:
    with pytest.raises(UserError, match="two labels or more, got \\['a'\\]"):
        Target("single_label", ("a",))
    with pytest.raises(UserError, match=r"data\.task 'ranking': must be one of single_label, multi_label, regression"):
        Target("ranking", ("a", "b"))  # type: ignore[arg-type]


def test_through_plain_values_and_back() -> None:
    for target in (
        Target("single_label", ("b", "a"), "b"),
        Target("single_label", ("x", "y", "z")),
        Target("regression", label_mean=2.5, label_scale=0.5),
    ):
        values = target.to_dict()
        assert Target.from_dict(values) == target
        assert {type(value) for value in values.values()} <= {str, list, float, type(None)}


def test_conflicts_with_options() -> None:
    target = Target("single_label", ("b", "a"))
    assert target.conflict("auto", None) is None
    assert target.conflict("single_label", ["b", "a"]) is None
    for conflict in (target.conflict("auto", ["a", "b"]), target.conflict("auto", ["b"])):
        assert conflict is not None
        assert "data.labels" in conflict
    conflict = target.conflict("regression", None)
    assert conflict is not None
    assert "data.task is regression" in conflict


def test_label_counts() -> None:
    assert label_counts(labelled("a", "b", "a", "a")) == {"a": 3, "b": 1}


def lists(*spelled: str | None) -> Rows:
    """Rows whose labels are lists, as JSON lines and Parquet give them."""
    return replace(labelled(*spelled), label_lists=True)


def test_label_sets_of_lists_and_of_joined_names() -> None:
    expected = [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]]
    as_lists = lists('["10", "fear"]', "[]", '["2"]', '["fear", "10", "fear"]')
    joined = labelled("10|fear", "", "2", "fear|10|fear")
    for rows, task in ((as_lists, "auto"), (as_lists, "multi_label"), (joined, "multi_label")):
        target = decide_target(rows, task, ["10", "2", "fear"], None)  # type: ignore[arg-type]
        assert target == Target("multi_label", ("10", "2", "fear"))
        encoded = target.encode(rows)
        assert encoded.dtype == np.float32
        assert encoded.tolist() == expected
        assert label_counts(rows, target) == {"10": 2, "2": 1, "fear": 2}
    assert decide_target(lists("[10, 2]", "[1]"), "auto", None, None).labels == ("1", "2", "10")
    assert decide_target(lists("[true]", '["a"]'), "auto", None, None).labels == ("a", "true")
    assert target.num_outputs == 3


@pytest.mark.parametrize("wrong", ["joy", '"joy"', "[[1]]", "[null]", '{"a": 1}', "[", '[" "]'])
def test_a_label_that_is_no_list(wrong: str) -> None:
    with pytest.raises(UserError, match=r"train\.csv: row 1, column 'topic': .* is not a list of names"):
        decide_target(lists('["a", "b"]', wrong), "auto", None, None)


def test_a_list_without_a_label_or_with_an_unknown_one() -> None:
    with pytest.raises(UserError, match=r"train\.csv: row 1, column 'topic': a training row without a label \(1 such"):
        decide_target(lists('["a", "b"]', None), "auto", None, None)
    with pytest.raises(UserError, match=r"row 1, column 'topic': the label 'c' is unknown"):
        Target("multi_label", ("a", "b")).encode(lists('["a"]', '["b", "c"]'))
    with pytest.raises(UserError, match="labels are lists, the task is single_label"):
        decide_target(lists('["a"]', '["b"]'), "single_label", None, None)


@given(st.lists(st.text(st.sampled_from("ab|\\ ,"), min_size=1, max_size=5)))
def test_joined_names_come_apart_again(names: list[str]) -> None:
    assert split_names(join_names(names)) == names


def test_names_are_joined_as_the_contract_says() -> None:
    assert join_names(["joy", "a|b", "c\\d"]) == r"joy|a\|b|c\\d"
    assert split_names("a|") == ["a", ""]
    assert split_names("joy|love\\") == ["joy", "love\\"]
    assert split_names("a\\\nb|c\\d") == ["a\\\nb", "c\\d"]


def test_strata_are_the_rarest_label_of_each_row() -> None:
    target = Target("multi_label", ("common", "rare", "middle"))
    rows = lists('["common"]', '["common", "middle"]', '["rare", "common"]', "[]", '["middle"]', '["common"]')
    codes = target.strata(rows)
    assert codes is not None
    assert codes.tolist() == [0, 2, 1, 3, 2, 0]
    assert Target("regression").strata(labelled("1.5")) is None


def test_targets_as_they_are_written() -> None:
    sets = np.array([[1, 0], [0, 0], [1, 1]], np.float32)
    assert Target("multi_label", ("a|b", "c")).texts(sets > 0) == [r"a\|b", "", r"a\|b|c"]
    assert Target("single_label", ("x", "y")).texts(np.array([1, 0])) == ["y", "x"]
    assert Target("regression").texts(np.array([0.1, 2], np.float32)) == ["0.1", "2"]


def test_the_table_of_tasks_is_complete() -> None:
    """The names that `data.task` takes, those of the rows' table and those of the classifier's are the same."""
    assert set(get_args(Task)) == set(TASKS) == set(RULES) == {task.name for task in TASKS.values()}
    assert set(get_args(TaskOption)) == {"auto", *TASKS}
    assert [name for name in TASKS if TASKS[name].has_probabilities] == ["multi_label", "single_label"]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_measured_and_compared(task: Task) -> None:
    names = [f"val_{entry.name}" for entry in metrics_of(task)]
    assert task_of(names) == task  # compare knows a run's task by its metrics
    assert monitor_of(task)[0] in [*names, "val_loss"]
    assert quality_of(task) in names
    assert higher_is_better(quality_of(task))  # quantize subtracts
    cells = ["1.5", "2.5", "4.5"]
    values = Measure(task, cells, [cells], np.zeros((1, 3))).values()
    shared = {f"val_{name}" for name in values} & set(names)
    assert shared <= {f"val_{name}" for name in shown_in("interval")}
    assert len(shared) >= 2


@pytest.mark.parametrize("task", TASKS)
def test_a_task_encodes_what_it_decided_and_writes_it_back(task: Task) -> None:
    cells = {"single_label": ["b", "a", "b"], "multi_label": ["b|a", "", "a"], "regression": ["0.5", "-1", "3.25"]}
    rows = labelled(*cells[task])
    target = decide_target(rows, task, None, None)
    encoded = target.encode(rows)
    again = labelled(*target.texts(encoded))
    assert np.array_equal(target.encode(again), encoded)
    assert len(target.label_task.empty_sets(encoded)) == (task == "multi_label")


def test_values_are_standardized_by_those_of_the_training_rows() -> None:
    rows = labelled("1", "2", "6")
    target = Target("regression").scaled_to(rows)
    assert (target.label_mean, target.label_scale) == pytest.approx((3, (14 / 3) ** 0.5))
    values = target.standardized(target.encode(rows))
    assert (values.mean(), values.std()) == pytest.approx((0, 1), abs=1e-6)
    assert Target("multi_label", ("a", "b")).scaled_to(rows) == Target("multi_label", ("a", "b"))


def test_outputs_may_differ_by_the_rounding_near_their_mean() -> None:
    assert Target("single_label", ("a", "b")).tolerance(1e-5) == 1e-5
    assert Target("regression", label_scale=20).tolerance(1e-5) == pytest.approx(2e-4)
    assert Target("regression", label_mean=-1000).tolerance(0) == pytest.approx(1000 * 2**-21)
