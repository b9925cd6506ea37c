"""JSON lines, and JSON files that hold one list."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from lit_textclf.data.readers.json_lines import read_json
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.read import read_files
from lit_textclf.utils.messages import UserError


def read(content: str | bytes, encoding: str = "utf-8") -> dict[str, list[str | None]]:
    """Writes a file into the working folder and reads it back: columns by name."""
    Path("rows.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    table = pa.concat_tables(read_json(Path("rows.jsonl"), ReadOptions((encoding,))))
    assert all(field.type == pa.string() for field in table.schema)
    return table.to_pydict()


RECORDS = [{"text": 'one, "two"\nthree', "label": "a"}, {"text": "caf\u00e9", "label": "b"}]
COLUMNS = {"text": ['one, "two"\nthree', "caf\u00e9"], "label": ["a", "b"]}


@pytest.mark.parametrize(
    "content",
    [
        "".join(json.dumps(record) + "\n" for record in RECORDS),
        "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS),
        "\r\n".join(json.dumps(record) for record in RECORDS) + "\r\n",
        "\ufeff" + "\n".join(json.dumps(record) for record in RECORDS),
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "\n\n  " + json.dumps(RECORDS, indent=2) + "\n",
        "\ufeff" + json.dumps(RECORDS),
    ],
    ids=["lines", "no last newline", "CRLF", "BOM", "list", "list, indented", "list after blanks", "list with BOM"],
)
def test_lines_and_lists(content: str) -> None:
    assert read(content) == COLUMNS


def test_numbers_and_booleans_are_spelled_as_in_json() -> None:
    values = ["1", "-7", "0.5", "1.0", "true", "false", "123456789012345678901234567890", '"007"', '"true"']
    content = "".join(f'{{"text": "t", "label": {value}}}\n' for value in values)
    assert read(content)["label"] == [value.strip('"') for value in values]


def test_equal_json_numbers_are_one_label() -> None:
    for values, expected in (
        (["1", "1.0", "0.5", "-2.0", "null"], ["1", "1", "0.5", "-2", None]),
        (["1", '"1.0"'], ["1", "1.0"]),
    ):
        content = "".join(f'{{"text": "t", "label": {value}}}\n' for value in values)
        Path("rows.jsonl").write_text(content)
        rows = read_files("rows.jsonl", ColumnNames("text"), ReadOptions(), option="data.train_file")
        assert rows.label is not None
        assert rows.label.to_pylist() == expected


def test_lists_and_objects_become_json() -> None:
    columns = read('{"text": ["a", "\u00e9"], "label": {"x": [1, null]}}\n')
    assert columns["text"] == ['["a", "\u00e9"]']
    assert json.loads(str(columns["label"][0])) == {"x": [1, None]}


def test_nulls_and_missing_keys_are_null_and_empty_strings_are_not() -> None:
    content = '{"text": null, "label": "a"}\n{"text": ""}\n{"label": null, "text": "x", "more": "y"}\n'
    assert read(content) == {"text": [None, "", "x"], "label": ["a", None, None], "more": [None, None, "y"]}


def test_blank_lines_are_skipped_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert read('\n{"text": "one"}\n  \n{"text": "two"}\n\n') == {"text": ["one", "two"]}
    assert capsys.readouterr().err == "rows.jsonl: 3 blank lines skipped\n"


def test_other_encodings() -> None:
    assert read('{"text": "caf\u00e9"}\n', "latin-1") == {"text": ["caf\u00e9"]}


def test_line_separators_inside_strings_are_no_line_ends() -> None:
    assert read('{"text": "a\u2028b\x85c"}\n') == {"text": ["a\u2028b\x85c"]}


@pytest.mark.parametrize("as_list", [False, True])
def test_more_than_one_chunk(as_list: bool) -> None:
    records = [{"text": f"text {row}", "label": row} for row in range(CHUNK_ROWS + 3)]
    content = json.dumps(records) if as_list else "\n".join(json.dumps(record) for record in records)
    columns = read(content)
    assert columns["text"] == [f"text {row}" for row in range(CHUNK_ROWS + 3)]
    assert columns["label"][-1] == str(CHUNK_ROWS + 2)


@pytest.mark.parametrize("form", ["lines", "lines with blank ones", "list"])
def test_the_columns_are_the_keys_of_the_whole_file(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"text": "a"}, {"text": "b", "second": 1}] * (CHUNK_ROWS // 2) + [{"late": 2, "text": "c"}]
    lines = [json.dumps(record) for record in records]
    columns = read("[" + ",".join(lines) + "]" if form == "list" else ("\n" if form == "lines" else "\n\n").join(lines))
    assert columns["text"] == ["a", "b"] * (CHUNK_ROWS // 2) + ["c"]
    assert columns["second"] == [None, "1"] * (CHUNK_ROWS // 2) + [None]
    assert columns["late"] == [None] * CHUNK_ROWS + ["2"]
    said = f"rows.jsonl: {CHUNK_ROWS:,} blank lines skipped\n" if "blank" in form else ""
    assert capsys.readouterr().err == said


def test_a_label_that_first_stands_after_the_first_chunk_is_found() -> None:
    lines = ['{"text": "x"}'] * CHUNK_ROWS + ['{"text": "y", "label": "z"}']
    Path("late.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = read_files("late.jsonl", ColumnNames(), ReadOptions(), option="data.train_file")
    assert rows.label is not None
    assert rows.label.to_pylist() == [None] * CHUNK_ROWS + ["z"]


@pytest.mark.slow
def test_no_more_than_a_chunk_of_json_lines_is_held() -> None:
    text = "word " * 200
    lines = (json.dumps({"text": text, "row": row}) + "\n" for row in range(6 * CHUNK_ROWS))
    with Path("many.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(lines)
    tracemalloc.start()
    rows = sum(len(table) for table in read_json(Path("many.jsonl"), ReadOptions()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == 6 * CHUNK_ROWS
    # Of the file's 6 chunks no more than the one before, the one being read and its table.
    assert peak < 4 * CHUNK_ROWS * len(text)


@pytest.mark.parametrize("content", ["", "[]", "\n\n", " [ ]\n"])
def test_no_rows(content: str) -> None:
    with pytest.raises(UserError, match=r"^rows\.jsonl: the file has no rows; it needs one object a line, or a list"):
        read(content)


@pytest.mark.parametrize("content", [json.dumps(RECORDS[0], indent=2), "\n".join(json.dumps(RECORDS, indent=2)[2:-2])])
def test_an_object_over_several_lines_is_told_how_json_lines_go(content: str) -> None:
    with pytest.raises(UserError, match=r"not JSON .*one complete object per line, or all objects in one list"):
        read(content)


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800"])
def test_a_character_that_no_encoding_mends_is_to_be_removed(escape: str) -> None:
    with pytest.raises(UserError, match="; remove it") as raised:
        read(f'{{"text": "tw{escape}o"}}\n')
    assert "save the file as UTF-8" not in str(raised.value)


GOOD = '{"text": "one", "label": "a"}\n'


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (GOOD + '{"text": "two", "label": }\n', ["line 2", "not JSON", "column 26"]),
        (GOOD + "\n" + '{"text": "two\n', ["line 3", "not JSON"]),
        (GOOD + "{'text': 'two'}\n", ["line 2", "not JSON"]),
        (GOOD + GOOD.strip() + " " + GOOD, ["line 2", "not JSON"]),
        (GOOD + '{"text": "two", "text": "three"}\n', ["line 2", "'text'", "twice"]),
        (GOOD + '{"text": "two", "m": {"k": 1, "k": 2}}\n', ["line 2", "'k'", "twice"]),
        (GOOD + '{"text": "two", "label": NaN}\n', ["line 2", "NaN", "null"]),
        (GOOD + '{"text": "two", "label": -Infinity}\n', ["line 2", "-Infinity"]),
        (GOOD + '"two"\n', ["line 2", "an object", "'two'"]),
        (GOOD + '["two", "a"]\n', ["line 2", "an object"]),
        (GOOD + "null\n", ["line 2", "an object", "None"]),
        (GOOD + "[" * 100_000 + "\n", ["line 2", "deep"]),
        (GOOD + '{"text": "tw\\u0000o"}\n', ["row 1, column 'text'", "NUL", "character 2"]),
        (GOOD + '{"text": "two\\ud800"}\n', ["row 1, column 'text'", "lone surrogate U+D800"]),
        (
            GOOD.encode() + b'{"text": "caf\xe9"}\n',
            ["row 1, column 'text'", "byte 0xe9 at character 3", "data.encoding"],
        ),
        (GOOD * CHUNK_ROWS + '{"text": "\\u0000"}\n', [f"row {CHUNK_ROWS}, column 'text'", "NUL"]),
        (GOOD * CHUNK_ROWS + "{\n", [f"line {CHUNK_ROWS + 1}", "not JSON"]),
        ('[{"text": "one"}, "two"]', ["row 1", "an object", "'two'"]),
        ('[{"text": "one", "text": "two"}]', ["'text'", "twice"]),
        ('[{"text": NaN}]', ["NaN"]),
        ('[{"text": "one"}', ["not JSON"]),
        ('[{"text": "one"}]\n{"text": "two"}\n', ["not JSON"]),
    ],
)
def test_refused(content: str | bytes, parts: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        read(content)
    message = str(raised.value)
    assert message.startswith("rows.jsonl: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_broken_list_over_several_lines_names_the_line() -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl: .*line 3"):
        read('[\n{"text": "one"},\n{"text": "two" "label": "a"}\n]\n')


def test_whatever_the_depth_it_is_read_or_refused() -> None:
    def outcome(nested: str) -> str | None:
        try:
            return read(f'{{"text": "one", "label": {nested}}}\n')["label"][0]
        except UserError as error:
            return nested if "nested too deeply" in str(error) else str(error)

    for depth in range(900, sys.getrecursionlimit() + 10):
        nested = "[" * depth + "]" * depth
        assert outcome(nested) == nested


def test_a_number_with_more_digits_than_python_takes() -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl: line 2"):
        read(GOOD + '{"text": "two", "label": ' + "1" * 5000 + "}\n")


def test_a_number_beyond_the_floats_is_no_infinity() -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl: line 2"):
        read(GOOD + '{"text": "two", "label": 1e999}\n')


@pytest.mark.parametrize("key", [b"caf\xe9", b"a\\u0000b", b"a\\ud800"])
def test_a_key_that_is_no_text(key: bytes) -> None:
    with pytest.raises(UserError, match=r"rows\.jsonl: "):
        read(b'{"text": "one", "' + key + b'": "x"}\n')
