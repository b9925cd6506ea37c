"""CSV and TSV: what is read, and what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_textclf.data.readers import delimited
from lit_textclf.data.readers.delimited import read_delimited
from lit_textclf.data.readers.tables import CHUNK_ROWS, ReadOptions
from lit_textclf.utils.messages import UserError


def read(
    content: str | bytes,
    *,
    encoding: str = "utf-8",
    delimiter: str = ",",
    quote_char: str = '"',
    name: str = "rows.csv",
) -> dict[str, list[str]]:
    """Writes a file into the working folder and reads it back: columns by name."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    table = pa.concat_tables(read_delimited(Path(name), ReadOptions((encoding,), delimiter, quote_char)))
    assert all(field.type == pa.string() for field in table.schema)
    return table.to_pydict()


def test_every_value_is_the_string_that_stands_there() -> None:
    columns = read("text,label,n\nNA,null,007\n,1.50,\nTrue, x ,1e5\n")
    assert columns == {"text": ["NA", "", "True"], "label": ["null", "1.50", " x "], "n": ["007", "", "1e5"]}


def test_quotes_delimiters_and_newlines_inside_fields() -> None:
    columns = read('text,label\n"one, ""two""\nthree\r\nfour",a\n"",b\n')
    assert columns == {"text": ['one, "two"\nthree\r\nfour', ""], "label": ["a", "b"]}


@pytest.mark.parametrize(
    "content",
    [
        b"text,label\nfine,a\n",
        b"text,label\nfine,a",
        b"text,label\r\nfine,a\r\n",
        b"\xef\xbb\xbftext,label\nfine,a\n",
        b'\xef\xbb\xbf"text","label"\r\n"fine","a"\r\n',
    ],
    ids=["plain", "no last newline", "CRLF", "BOM", "BOM, quotes and CRLF"],
)
def test_line_ends_and_byte_order_marks(content: bytes) -> None:
    assert read(content) == {"text": ["fine"], "label": ["a"]}


def test_a_field_longer_than_pythons_own_limit() -> None:
    long = "word " * 40_000
    assert len(long) > 131_072
    assert read(f'text,label\n"{long}",a\n')["text"] == [long]


@pytest.mark.parametrize(
    "text", ["caf\u00e9", "\u4e2d\u6587", "\u2028 is no line end", "\x85 nor is this", "a\x0bb\x0cc"]
)
def test_characters_beyond_ascii(text: str) -> None:
    assert read(f"text,label\n{text},a\n") == {"text": [text], "label": ["a"]}


def test_other_encodings() -> None:
    assert read("text,label\ncaf\u00e9,a\n", encoding="latin-1")["text"] == ["caf\u00e9"]
    assert read("text,label\n\u4e2d\u6587,a\n", encoding="utf-16")["text"] == ["\u4e2d\u6587"]


def test_other_delimiters() -> None:
    assert read("text;label\na,b;x\n", delimiter=";") == {"text": ["a,b"], "label": ["x"]}


def test_tsv_whose_quotes_mean_nothing() -> None:
    columns = read('text\tlabel\n"open\ta\nsaid "so"\tb\n"shut"\tc\n', delimiter="\t", quote_char="", name="rows.tsv")
    assert columns == {"text": ['"open', 'said "so"', '"shut"'], "label": ["a", "b", "c"]}


def test_tsv_with_another_quote_character() -> None:
    columns = read("text\tlabel\n'a\tb'\tx\n", delimiter="\t", quote_char="'", name="rows.tsv")
    assert columns == {"text": ["a\tb"], "label": ["x"]}


def test_blank_lines_are_skipped_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert read("text,label\n\none,a\n\r\n\ntwo,b\n\n")["text"] == ["one", "two"]
    assert capsys.readouterr().err == "rows.csv: 4 blank lines skipped\n"
    read("text,label\none,a\n")
    assert capsys.readouterr().err == ""


def test_a_header_alone_has_columns_and_no_rows() -> None:
    assert read("text,label\n") == {"text": [], "label": []}


@pytest.mark.parametrize("rows", [CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS + 5])
def test_more_than_one_chunk(rows: int) -> None:
    Path("rows.csv").write_text("text,label\n" + "".join(f"text {row},a\n" for row in range(rows)), encoding="utf-8")
    tables = list(read_delimited(Path("rows.csv"), ReadOptions()))
    assert [len(table) for table in tables[:-1]] == [CHUNK_ROWS] * ((rows - 1) // CHUNK_ROWS)
    assert pa.concat_tables(tables)["text"].to_pylist() == [f"text {row}" for row in range(rows)]


GOOD = "text,label\none,a\n"
FAR = GOOD + "more,b\n" * CHUNK_ROWS
"""Row CHUNK_ROWS + 1, on line CHUNK_ROWS + 3, is the next."""
AT_FAR = f"row {CHUNK_ROWS + 1} (line {CHUNK_ROWS + 3})"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (GOOD + "two,b,c\n", ["row 1 (line 3)", "3 fields", "header has 2", "data.delimiter"]),
        (GOOD + "two\n", ["row 1 (line 3)", "1 field,", "header has 2"]),
        (GOOD + "two,b,\n", ["row 1 (line 3)", "3 fields"]),
        (GOOD + "\n\ntwo,b,c\n", ["row 1 (line 5)", "3 fields"]),
        ('text,label\n"o\nn\ne",a\ntwo\n', ["row 1 (line 5)", "1 field,"]),
        (FAR + "two,b,c\n", [AT_FAR, "3 fields"]),
        (FAR + "two\n", [AT_FAR, "1 field,"]),
        (GOOD + '"two,b\nthree,c\n', ["row 1 ", "never closed", "data.quote_char"]),
        (FAR + '"two,b\n', [f"row {CHUNK_ROWS + 1} ", "never closed", "data.quote_char"]),
        (GOOD + '"two"more,b\n', ["row 1 (line 3)", "follows a closing quote", "data.quote_char"]),
        (GOOD + 'two,"b" \n', ["row 1 (line 3)", "follows a closing quote"]),
        (FAR + '"two"more,b\n', [AT_FAR, "follows a closing quote"]),
        (GOOD + "tw\0o,b\n", ["row 1, column 'text'", "NUL", "character 2"]),
        (FAR + "two,\0b\n", [f"row {CHUNK_ROWS + 1}, column 'label'", "NUL", "character 0"]),
        (b"text,label\none,a\ncaf\xe9,b\n", ["row 1, column 'text'", "byte 0xe9 at character 3", "data.encoding"]),
        (b"text,label\none,a\ntwo,caf\xe9\n", ["row 1, column 'label'", "byte 0xe9", "utf-8", "data.encoding"]),
        (FAR.encode() + b"two,\xff\n", [f"row {CHUNK_ROWS + 1}, column 'label'", "byte 0xff", "data.encoding"]),
        (b"text,caf\xe9\none,a\n", ["header", "byte 0xe9 at character 3", "data.encoding"]),
        ("te\0xt,label\none,a\n", ["header", "NUL"]),
        ("text,label,text\none,a,b\n", ["header", "'text'", "2 times", "rename"]),
        ('"text,label\none,a\n', ["header", "never closed"]),
        ("", ["empty", "header row"]),
        (b"\xef\xbb\xbf", ["empty", "header row"]),
        ("\ntext,label\none,a\n", ["blank line", "header row"]),
    ],
)
def test_refused(content: str | bytes, parts: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        read(content)
    message = str(raised.value)
    assert message.startswith("rows.csv: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_file_cut_in_the_middle_of_a_utf16_character_is_refused() -> None:
    with pytest.raises(UserError, match=r"rows\.csv: not utf-16 .* change --data\.encoding"):
        read("text,label\none,a\n".encode("utf-16") + b"\x00", encoding="utf-16")


@pytest.mark.parametrize(
    ("delimiter", "quote_char", "named"),
    [
        (",", ",", "data.quote_char ',': must differ from data.delimiter"),
        ("\n", '"', "data.delimiter '\\n'"),
        ("\r", '"', "data.delimiter '\\r'"),
        (",", "\n", "data.quote_char '\\n'"),
        (",", "\r", "data.quote_char '\\r'"),
        ("\0", '"', "data.delimiter '\\x00'"),
        ("||", '"', "data.delimiter '||'"),
        ("", '"', "data.delimiter ''"),
        (",", "''", "data.quote_char \"''\""),
    ],
)
def test_delimiters_and_quotes_that_cannot_be(delimiter: str, quote_char: str, named: str) -> None:
    with pytest.raises(UserError) as raised:
        read("text,label\none,a\n", delimiter=delimiter, quote_char=quote_char)
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_nul_is_to_be_removed() -> None:
    with pytest.raises(UserError, match="a NUL at character 2; remove it") as raised:
        read(GOOD + "tw\0o,b\n")
    assert "save the file as UTF-8" not in str(raised.value)


def read_as_is(content: str | bytes, quote_char: str = '"') -> dict[str, list[str]]:
    """Reads a file with the delimiter and the encoding that are found in it."""
    Path("rows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    options = ReadOptions(quote_char=quote_char, encoding_is_known=False)
    return pa.concat_tables(read_delimited(Path("rows.csv"), options)).to_pydict()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("text;label\none, two;x\n", ";"),
        ("text\tlabel\none; two\tx\n", "\t"),
        ("text|label\r\none; two|x\r\n", "|"),
        ('"te;xt"|"label"\n"one\ntwo|three"|x\n', "|"),
        ("text;la|bel\none;x\ntwo;y\n", ";"),
        ("text;label\n" + "word," * 40_000 + ";x\n", ";"),
        ('text;label\n"' + "word\r\n" * 40_000 + '";x\n', ";"),
        ("text;label\n", ";"),
        ("\ufefftext;label\r\none;x\r\n", ";"),
    ],
)
def test_a_delimiter_is_found(content: str, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    columns = read_as_is(content)
    assert columns == read(content, delimiter=found)
    assert len(columns) == 2
    line = f"rows.csv: delimiter {found!r} (found in the header; set --data.delimiter to change it)\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    "content",
    [
        "text,label\none;two,x\n",
        "text;more,label\none;two,x\n",
        '"text;label"\n"one;x"\n',
        "text\none; two | three\n",
        "a; b\none\ntwo\nthree\n",
    ],
)
def test_no_other_delimiter_is_found(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_as_is(content) == read(content)
    assert capsys.readouterr().err == ""


def test_of_two_delimiters_the_user_names_one() -> None:
    with pytest.raises(UserError, match=r"may be ';' or '\|'; type --data\.delimiter ';'$"):
        read_as_is("text;label|n\none;x|1\n")


cells = st.text(st.sampled_from("ab ,;\t|\"\r\n\u00e9'"), max_size=5)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1, max_size=6),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_a_writer_quotes_is_read_whatever_the_delimiter(rows: list[list[str]], delimiter: str, end: str) -> None:
    width = min(map(len, rows))
    names = ["text", "label", "more", "other"][:width]
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [names, *(row[:width] for row in rows)]
    )
    expected = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    assert read_as_is(sink.getvalue()) == expected


def test_lines_are_the_same_wherever_the_sample_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    content = 'text;label\r\none;x\r\n\r\n"t\rw\r\no";y\r\r\nlast;z'
    expected = read(content, delimiter=";")
    for size in range(1, len(content) + 2):
        monkeypatch.setattr(delimited, "_SAMPLE", size)
        assert read(content, delimiter=";") == expected


@pytest.mark.parametrize("hint", ["sep=;\r\n", '"sep=;"\n', "SEP=;\r", "\ufeffsep=;\n"])
def test_the_first_line_that_names_the_delimiter_for_excel(hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    end = hint.lstrip('\ufeffsepSEP=;"')
    content = end.join(["text;label", "a, b;x", "c;y"])
    assert read_as_is(hint + content) == {"text": ["a, b", "c"], "label": ["x", "y"]}
    assert capsys.readouterr().err.splitlines() == ["rows.csv: its first line names the delimiter ';'"]
    with pytest.raises(UserError, match=r"^rows\.csv: row 1 \(line 4\) has 3 fields, the header has 2"):
        read_as_is(f"{hint}{content};z")


def test_the_delimiter_that_the_user_names_wins(capsys: pytest.CaptureFixture[str]) -> None:
    assert read("sep=;\ntext,label\na;b,x\n", delimiter=",") == {"text": ["a;b"], "label": ["x"]}
    expected = "rows.csv: its first line names the delimiter ';', which data.delimiter replaces"
    assert capsys.readouterr().err.splitlines() == [expected]
    assert read_as_is("sep=\ttext\n1\t2\n") == {"sep=": ["1"], "text": ["2"]}
