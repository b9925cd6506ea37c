"""Errors and notes for the user, one line each on standard error."""

from __future__ import annotations

import difflib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
ENVIRONMENT_PREFIX = "LIT_TEXTCLF_"
"""What the environment variables of the tool begin with."""
SHOW_TRACEBACK = f"{ENVIRONMENT_PREFIX}TRACEBACK"
"""The environment variable that prints a traceback before an error of one line."""
QUIET_SECONDS = 30.0
"""Seconds without a line after which a command that is still working prints one."""
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def rank() -> int:
    """The rank of this process: Lightning's once Lightning is imported, until then that of the environment.

    `lightning_utilities.core.rank_zero` has the same rank, but its import takes as long as all of `lit-textclf --help`.
    """
    lightning = sys.modules.get("lightning_utilities.core.rank_zero")
    known: int | None = getattr(getattr(lightning, "rank_zero_only", None), "rank", None)
    return int(next(filter(None, map(os.environ.get, _RANKS)), 0)) if known is None else known


class UserError(Exception):
    """A mistake that the user can fix.

    The command line shows the message as one line, without a traceback, and exits with code 2. The message names the
    file, the row, the column, the value and the option that would change it, as far as they are known.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


class SharedError(UserError):
    """An error that every process raises and only rank 0 reports."""

    @property
    def said_elsewhere(self) -> bool:
        """Whether another process, rank 0, reports it."""
        return bool(rank())


_hushed = False
_last_line = time.monotonic()
_shown_as: dict[str, str] = {}


def show_as(path: str, name: str) -> None:
    """Lets errors and notes print a name, as `standard input`, in place of a temporary file's path."""
    _shown_as[path] = name


def shown(text: str) -> str:
    """A text with the names of :func:`show_as` in place of paths."""
    for path, name in _shown_as.items():
        text = text.replace(path, name)
    return text


def note(message: str) -> None:
    """Prints one line on standard error, on rank 0 only."""
    global _last_line
    if not _hushed and rank() == 0:
        print(shown(message), file=sys.stderr, flush=True)
        _last_line = time.monotonic()


def long_quiet() -> bool:
    """Whether rank 0 has printed nothing for :data:`QUIET_SECONDS`: a long loop then notes how far it is."""
    return rank() == 0 and time.monotonic() - _last_line >= QUIET_SECONDS


@contextmanager
def still_working(what: str) -> Iterator[None]:
    """Prints a line every :data:`QUIET_SECONDS` during a call of a library that says nothing itself."""
    started, ended = time.monotonic(), threading.Event()

    def print_lines() -> None:
        while not ended.wait(QUIET_SECONDS):
            note(f"{what}: still working, {duration(time.monotonic() - started)} so far")

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    Example:
        >>> duration(75.4)
        '0:01:15'
    """
    return str(timedelta(seconds=round(seconds)))


def progress(done: int, total: float, unit: str, rate: float | None = None) -> str:
    """How far a loop is, with rows per second.

    Example:
        >>> progress(30, 120, "batch"), progress(5, float("inf"), "batch", 412.3)
        ('batch 30 of 120 (25%)', 'batch 5, 412 rows/s')
    """
    of = f" of {total:,} ({done / total:.0%})" if 0 < total < float("inf") else ""
    return f"{unit} {done:,}{of}" + ("" if rate is None else f", {rate:,.0f} rows/s")


@contextmanager
def hushed() -> Iterator[None]:
    """Drops the lines that :func:`note` would print: they were printed before, or will be."""
    global _hushed
    before, _hushed = _hushed, True
    try:
        yield
    finally:
        _hushed = before


def quietly(items: Iterator[T]) -> Iterator[T]:
    """The items, made :func:`hushed`."""
    while True:
        try:
            with hushed():
                item = next(items)
        except StopIteration:
            return
        yield item


def print_traceback(error: BaseException) -> None:
    """Prints the traceback of an error and of all that led to it, those hidden by `from None` too."""
    link: BaseException | None = error
    while link is not None:
        link.__suppress_context__ = link.__cause__ is not None
        link = link.__cause__ or link.__context__
    traceback.print_exception(error)


def plural(number: int, singular: str, several: str | None = None) -> str:
    """A number with its noun.

    Example:
        >>> plural(1, "row"), plural(6920, "row"), plural(2, "class", "classes")
        ('1 row', '6,920 rows', '2 classes')
    """
    return f"{number:,} {agree(number, singular, several or singular + 's')}"


def agree(number: int, singular: str, several: str) -> str:
    """The words that agree with a number, without it: a verb in `1 of 13 rows is`."""
    return singular if number == 1 else several


def either(names: Iterable[str]) -> str:
    """Alternatives in a sentence.

    Example:
        >>> either(["csv"]), either(["csv", "glue"]), either(["csv", "glue", "jsonl"])
        ('csv', 'csv or glue', 'csv, glue or jsonl')
    """
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`; did you mean '...'?` with the nearest of the names, or nothing if none is near."""
    names = list(names)
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not found:  # a key in the wrong group: data.learning_rate
        found = [other for other in names if other.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    return f"; did you mean {found[0]!r}?" if found else ""


def clean(name: str) -> str:
    r"""A name for a terminal or a list: characters that are not printable are written as escapes.

    Example:
        >>> clean("two\nlines"), clean("\x1b[31mred")
        ('two\\nlines', '\\x1b[31mred')
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
