"""The English of messages, docstrings and documents: phrases that a native engineer would not write are forbidden."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each with what to write instead.
FORBIDDEN = {
    r"\bis no\b(?! longer)": "is not a, has no",
    r"\bare no\b(?! longer)": "are not, have no",
    r"\bis none of\b|\bnone of ours\b": "is not one of",
    r"\banew\b": "again",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\blikewise\b": "also, the same",
    r"\bso many\b|\bso-manieth\b": "that many, a number of, every n-th",
    r"\bfrom which on\b": "from which, at which",
    r"\b(is|are|was|were) said\b": "is reported, is printed",
    r"\bbut for\b": "except for",
    r"\broom:": "a plain description",
    r"\bof one's own\b": "its own",
    r"\bwhat is to be\b": "what must be",
}  # fmt: skip
PATTERN = re.compile("|".join(FORBIDDEN), re.IGNORECASE)

FILES = [
    *(path for folder in ("lit_textclf", "benchmarks", "configs") for path in sorted((ROOT / folder).rglob("*.py"))),
    *sorted((ROOT / "configs").rglob("*.yaml")),
    *sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/**/*.md"))),
    *sorted(ROOT.glob("lit_textclf/**/*.jinja")),
]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file with their lines: string literals, f-strings and docstrings of Python, else all of it."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield 1, source
        return
    inside = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            inside.update(map(id, node.values))
            parts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def phrases(path: Path) -> list[str]:
    """The forbidden phrases of a file, as `line: phrase (what to write instead)`."""
    found = []
    for first, text in prose(path):
        joined = re.sub(r"\s", " ", text)  # a phrase may continue on the next line; positions stay
        for match in PATTERN.finditer(joined):
            better = next(better for phrase, better in FORBIDDEN.items() if re.search(phrase, match[0], re.IGNORECASE))
            found.append(f"{first + text[: match.start()].count(chr(10))}: {match[0]} (write: {better})")
    return found


def test_the_files_are_found() -> None:
    assert len(FILES) > 120
    assert {path.suffix for path in FILES} >= {".py", ".md", ".yaml", ".jinja"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("the file is no CSV file", 1), ("it is no longer there", 0), ("train\nanew, or mend it", 2),
     ("Likewise: so many rows are said", 3), ("amend, recommend, renewed", 0)],
)  # fmt: skip
def test_phrases_are_found(text: str, number: int, tmp_path: Path) -> None:
    python = tmp_path / "made.py"
    python.write_text(f'def f(x):\n    """{text}"""\n', encoding="utf-8")
    assert len(phrases(python)) == number
    python.write_text(f"x = 1\ny = f{text + ' {x}'!r}\n", encoding="utf-8")
    assert len(phrases(python)) == number


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_english(path: Path) -> None:
    assert phrases(path) == []
