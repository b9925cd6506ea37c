"""The parser of every command, with errors of one line. It does not import Lightning, which `compare` never needs."""

from __future__ import annotations

import re
from typing import Any

from jsonargparse import ArgumentParser

from lit_textclf.utils.messages import UserError, did_you_mean, either


class Parser(ArgumentParser):
    """A parser that raises errors of one line, and does not complete abbreviated options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    @property
    def option_keys(self) -> list[str]:
        """The keys of all options, as `data.batch_size`."""
        return [action.dest for action in self._actions]

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raises a UserError with the message, and with the nearest option if one was mistyped."""
        raise UserError(one_line(message, self.option_keys))


def one_line(message: str, known: list[str]) -> str:
    """Turns a parser's paragraph into a line: the key, the value and what was expected."""
    if match := re.search(r"[Uu]nrecognized arguments: *--([\w.]+)", message):
        return f"no option --{match[1]}{did_you_mean(match[1], known)}"
    key = re.search(r'(?:Parser key|[Kk]ey) "?([\w.]+)"?', message)
    value = re.search(r"(?:Given value|Got value): (.*)", message)
    expected = re.findall(r"Expected an? (.*?)(?:\. Got|$)", message, re.MULTILINE)
    if not key or not expected:
        return message
    names = [re.sub(r"<class '(.*?)'>|typing\.", r"\1", name) for name in dict.fromkeys(expected)]
    names = ["null" if name == "NoneType" else name for name in names]
    names = [re.sub(r"^Literal\[(.*)\]$", r"one of \1", name) for name in names]
    quotes = "; put numbers and words such as yes or null in quotes" if key[1] == "data.labels" else ""
    return f"{key[1]}: {f'{value[1]:.80}' if value else 'this'} is not {either(names)}{quotes}"
