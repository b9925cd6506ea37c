"""What a request may contain. Anything else is refused in one line that names the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

FORMS = 'send {"text": "..."}, {"text": "...", "text_pair": "..."} or {"texts": ["...", "..."]}'
SCHEMA = {
    "oneOf": [
        {
            "type": "object",
            "required": ["text"],
            "additionalProperties": False,
            "properties": {"text": {"type": "string"}, "text_pair": {"type": "string"}},
        },
        {
            "type": "object",
            "required": ["texts"],
            "additionalProperties": False,
            "properties": {
                "texts": {"type": "array", "items": {"type": "string"}},
                "text_pairs": {"type": "array", "items": {"type": "string"}},
            },
        },
    ]
}
"""The JSON schema of :data:`FORMS`, for the OpenAPI description."""
_KINDS = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number", str: "a string"}


class Refused(Exception):
    """A request that gets an error in place of an answer.

    Args:
        status: the HTTP status.
        line: what is wrong; it names the field and never repeats what was sent.
        reason: the value of the metric's label.
    """

    def __init__(self, status: int, line: str, reason: str) -> None:
        super().__init__(line)
        self.status, self.line, self.reason = status, line, reason


@dataclass(frozen=True)
class Texts:
    """The texts of a request, as `classify` takes them.

    Attributes:
        firsts: the texts, or the first ones of pairs.
        seconds: the second ones of pairs, or None.
        single: whether the answer is one object in place of a list.
    """

    firsts: list[str]
    seconds: list[str] | None
    single: bool


def parse(body: bytes, *, pairs: bool, max_texts: int) -> Texts:
    """The texts in a request's body.

    Args:
        body: JSON.
        pairs: whether the model reads pairs of texts.
        max_texts: the most texts that are answered at once.

    Raises:
        Refused: if the body is anything else.
    """
    fields = _fields(body)
    single = "text" in fields
    first, second = ("text", "text_pair") if single else ("texts", "text_pairs")
    if not single and "texts" not in fields:
        _refuse(f"no text: {FORMS}")
    for name in fields:
        if name not in (first, second):
            _refuse(f"{_shown(name)}: no such field beside {first}; {FORMS}")
    firsts = _texts(fields, first, single, max_texts)
    seconds = _texts(fields, second, single, max_texts) if second in fields else None
    if pairs and seconds is None:
        _refuse(f"{second}: missing, the model reads pairs of texts")
    if not pairs and seconds is not None:
        _refuse(f"{second}: the model reads single texts, remove it")
    if seconds is not None and len(seconds) != len(firsts):
        _refuse(f"{second}: has {len(seconds)} texts, and {first} has {len(firsts)}")
    return Texts(firsts, seconds, single)


def _refuse(line: str) -> NoReturn:
    raise Refused(422, line, "field")


def _fields(body: bytes) -> Mapping[str, Any]:
    """The object that a body is."""
    try:
        content = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused(400, "body: not UTF-8", "json") from None
    except json.JSONDecodeError as error:
        raise Refused(400, f"body: not JSON (line {error.lineno}, column {error.colno})", "json") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        raise Refused(400, "body: not JSON that this server reads (nested too deeply, or too long a number)",
                      "json") from None  # fmt: skip
    if not isinstance(content, dict):
        _refuse(f"body: {_kind(content)}, must be an object; {FORMS}")
    return content


def _texts(fields: Mapping[str, Any], name: str, single: bool, max_texts: int) -> list[str]:
    """The checked texts of a field."""
    value = fields[name]
    if single:
        return [_text(value, name)]
    if not isinstance(value, list):
        _refuse(f"{name}: {_kind(value)}, must be a list of strings")
    if not value:
        _refuse(f"{name}: an empty list, must have a text")
    if len(value) > max_texts:
        raise Refused(413, f"{name}: {len(value)} texts, at most {max_texts} a request; send several", "texts")
    return [_text(text, f"{name}[{index}]") for index, text in enumerate(value)]


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        _refuse(f"{name}: {_kind(value)}, must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(f"{name}: half a surrogate pair, not a character")
    return value


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _shown(name: str) -> str:
    """A field's name as a client sent it, short and in one line of ASCII."""
    return ascii(name[:40])
