"""Explanations of rows: as CSV, and the most telling words of each label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.text import Text

from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows
from lit_textclf.evaluation.report.tables import table_of_numbers
from lit_textclf.utils.console import stdout_console
from lit_textclf.utils.csv_format import csv_lines, format_float32
from lit_textclf.utils.messages import plural

WORDS = 10
"""Words of a label in the table."""
SHOWN_LABELS = 20
TOLERANCE = 0.02
"""The error of an explanation that is reported."""


class Explanations:
    """Collects what `explain` found out about rows.

    Args:
        target: task and labels.
        columns: the names of the input's columns.

    Attributes:
        telling: by label and word in lower case, the sum of its weights and the number of rows that have it.
    """

    def __init__(self, target: Target, columns: ColumnNames) -> None:
        self.target, self.columns = target, columns
        self.rows, self.errors = 0, list[float]()
        self.telling: dict[str, dict[str, tuple[float, int]]] = defaultdict(dict)

    def header(self) -> str:
        """The names of the CSV's columns."""
        ids = [self.columns.id] if self.columns.id is not None else []
        of_pairs = ["column"] if self.columns.text_pair is not None else []
        return csv_lines([["row", *ids, "word", "start", "end", *of_pairs, "label", "weight"]])

    def lines(self, rows: Rows, answers: Sequence[Mapping[str, Any]]) -> str:
        """A line for each word of some rows, which are also counted."""
        self.count(answers)
        ids = [[]] * len(rows) if self.columns.id is None or rows.id is None else [[of] for of in rows.id.to_pylist()]
        return csv_lines(
            line
            for number, own, answer in zip(rows.row_numbers.tolist(), ids, answers, strict=True)
            for line in self._lines([number, *own], answer)
        )

    def _lines(self, row: list[Any], answer: Mapping[str, Any]) -> Iterable[list[Any]]:
        words = answer["words"]
        weights = format_float32(np.array([word["weight"] for word in words], np.float32))
        names = ("word", "start", "end", *(("column",) if self.columns.text_pair is not None else ()))
        for word, weight in zip(words, weights, strict=True):
            yield [*row, *(word[name] for name in names), self._name(answer), weight]

    def _name(self, answer: Mapping[str, Any]) -> str:
        return str(answer["explained"]) if self.target.has_probabilities else "prediction"

    def count(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Counts some rows."""
        self.rows += len(answers)
        for answer in answers:
            of_label, of_row = self.telling[self._name(answer)], defaultdict[str, float](float)
            for word in answer["words"]:
                of_row[word["word"].lower()] += word["weight"]
            for word, weight in of_row.items():
                total, number = of_label.get(word, (0.0, 0))
                of_label[word] = total + weight, number + 1
            if "error" in answer:
                self.errors.append(answer["error"])

    def report(self) -> list[str]:
        """How far weights are from adding up to what all words add, over the rows."""
        if not self.errors:
            return []
        coarse = sum(error > TOLERANCE for error in self.errors)
        also = f"; in {plural(coarse, 'row')} it is more than {TOLERANCE:.0%}" if coarse else ""
        median, most = np.median(self.errors), max(self.errors)
        return [f"completeness error: median {median:.2%}, at most {most:.2%} of the sum of absolute weights{also}"]

    def metrics(self) -> dict[str, float]:
        """The number of rows, and the largest completeness error."""
        return {"rows": self.rows, **({"completeness_error": max(self.errors)} if self.errors else {})}

    def most_telling(self, label: str, number: int = WORDS) -> list[tuple[str, float, int]]:
        """The words that say most for a label over all rows: the word, the mean of its weights, the number of rows."""
        found = sorted(self.telling[label].items(), key=lambda item: (-item[1][0], item[0]))[:number]
        return [(word, total / rows, rows) for word, (total, rows) in found if total > 0]


def print_telling_words(explanations: Explanations) -> None:
    """Prints a table of the most telling words of each label on standard output."""
    labels = sorted(explanations.telling)[:SHOWN_LABELS]
    of_all = len(explanations.telling)
    print("the most telling words" + (f" of {len(labels)} of {of_all} labels" if len(labels) < of_all else ""))
    table = table_of_numbers("label", ("word", "mean weight", "rows"))
    for label in labels:
        for index, (word, weight, rows) in enumerate(explanations.most_telling(label)):
            table.add_row(Text("" if index else label), Text(word), f"{weight:+.3f}", f"{rows:,}")
    stdout_console().print(table)
