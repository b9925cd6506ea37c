from __future__ import annotations

import json

import pytest

from lit_textclf.serving.requests import Refused, Texts, parse


@pytest.mark.parametrize(
    ("body", "pairs", "texts"),
    [
        ('{"text": "a"}', False, Texts(["a"], None, True)),
        ('{"text": ""}', False, Texts([""], None, True)),
        ('{"texts": ["a", "b"]}', False, Texts(["a", "b"], None, False)),
        ('{"text": "a", "text_pair": "b"}', True, Texts(["a"], ["b"], True)),
        ('{"texts": ["a"], "text_pairs": ["b"]}', True, Texts(["a"], ["b"], False)),
        (r'{"text": "\ud83d\ude00\u0000<b>"}', False, Texts(["😀\0<b>"], None, True)),
    ],
)
def test_reads_each_form(body: str, pairs: bool, texts: Texts) -> None:
    assert parse(body.encode(), pairs=pairs, max_texts=2) == texts


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "body: not JSON (line 1, column 1)"),
        (b'{"text": "a"', 400, "body: not JSON (line 1"),
        (b"\xff", 400, "body: not UTF-8"),
        (b"[" * 100_000, 400, "body: not JSON"),
        (b'{"text": ' + b"1" * 5_000 + b"}", 400, "body: not JSON"),
        (b"null", 422, "body: null, must be an object"),
        (b"[1]", 422, "body: a list, must be an object"),
        (b"{}", 422, 'no text: send {"text"'),
        (b'{"text": 3}', 422, "text: a number, must be a string"),
        (b'{"text": NaN}', 422, "text: a number, must be a string"),
        (b'{"text": true}', 422, "text: true or false, must be a string"),
        (b'{"text": {"text": "a"}}', 422, "text: an object, must be a string"),
        (b'{"texts": "a"}', 422, "texts: a string, must be a list of strings"),
        (b'{"texts": []}', 422, "texts: an empty list"),
        (b'{"texts": ["a", null]}', 422, "texts[1]: null, must be a string"),
        (b'{"texts": ["a", "b", "c"]}', 413, "texts: 3 texts, at most 2 a request"),
        (rb'{"text": "\ud800"}', 422, "text: half a surrogate pair"),
        (b'{"text": "a", "text_pair": "b"}', 422, "text_pair: the model reads single texts"),
        (b'{"text": "a", "model": "/etc/passwd"}', 422, "'model': no such field beside text"),
        (b'{"texts": ["a"], "text_pair": "b"}', 422, "'text_pair': no such field beside texts"),
        (rb'{"text": "a", "\n\ud800<script>": 1}', 422, r"'\n\ud800<script>': no such field"),
    ],
)
def test_refuses_in_one_line_that_names_the_field(body: bytes, status: int, words: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(body, pairs=False, max_texts=2)
    assert refused.value.status == status
    assert refused.value.line.startswith(words)
    assert "\n" not in refused.value.line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"text": "a"}, "text_pair: missing, the model reads pairs"),
        ({"texts": ["a", "b"], "text_pairs": ["c"]}, "text_pairs: has 1 texts, and texts has 2"),
    ],
)
def test_pairs_are_complete(content: object, words: str) -> None:
    with pytest.raises(Refused, match="^" + words):
        parse(json.dumps(content).encode(), pairs=True, max_texts=2)
