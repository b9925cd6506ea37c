"""The columns of text, label and id: named by the user, or found by name and reported."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from lit_textclf.utils.messages import UserError, agree, did_you_mean, either, note

KNOWN_TEXT_COLUMNS: tuple[tuple[str, str | None], ...] = (
    ("text", None),
    ("text_a", "text_b"),
    ("question", "sentence"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("sentence", None),
    ("sentence1", "sentence2"),
)
"""Text columns that are used if the user names none, in order of preference; pairs are in the order of GLUE."""
TEXT_NAMES = (
    "text", "review", "comment", "content", "sentence", "message", "body", "title", "question", "tweet", "document",
)  # fmt: skip
"""The usual names of text columns, whatever the case; `text` is preferred, two others are refused."""
LABEL_NAMES = (
    "label", "labels", "category", "class", "target", "sentiment", "intent", "topic", "rating", "score",
)  # fmt: skip
"""The usual names of label columns, whatever the case; `label` is preferred, two others are refused."""


@dataclass(frozen=True)
class ColumnNames:
    """The names of the columns that are used; None for a column that does not exist or is not known yet.

    `id_required` is False if only a checkpoint names the id column. `labels` are columns of zeros and ones, one for
    each label of a multi-label task; then `label` is None. `joined` are the columns that :func:`joined_texts` makes one
    text of; then `text` is their names, for messages.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    id: str | None = None
    id_required: bool = True
    labels: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()

    @classmethod
    def of_options(
        cls, text: str | Sequence[str] | None, pair: str | None, label: str | None, id: str | None,
        labels: Sequence[str] | None,
    ) -> ColumnNames:  # fmt: skip
        """The columns that `data.text_column`, `data.label_columns` and the like name."""
        names = [text] if isinstance(text, str) else list(text or [])
        joined = tuple(names) if len(names) > 1 else ()
        return cls(", ".join(names) or None, pair, None if labels else label, id, True, tuple(labels or ()), joined)

    @property
    def text_option(self) -> str | list[str] | None:
        """The value of `data.text_column` that names the text column, or those that are joined."""
        return list(self.joined) or self.text

    @property
    def used(self) -> list[str]:
        """The columns that the model reads or learns."""
        texts = self.joined or (self.text,)
        return [name for name in (*texts, self.text_pair, self.label, *self.labels) if name is not None]

    @property
    def label_name(self) -> str | None:
        """The label column or columns, for messages."""
        return ", ".join(self.labels) if self.labels else self.label

    def found_in(self, table: pa.Table, where: str, *, label_required: bool) -> ColumnNames:
        """Finds the columns that are not named in a file's first rows, and checks that the others exist.

        A text and a label column are found by their usual names. Without `label_required`, only a column `label` is,
        and a missing label column becomes `label=None`.

        Raises:
            UserError: if a column is missing, with the file's columns and the one to name; or if several columns may be
                the one, which the user must name.
        """
        names = table.column_names
        columns = self._with_text(table, where)
        if columns.label is None and not columns.labels:
            columns = replace(columns, label=columns._found_label(table, where, required=label_required))
        if columns.label is not None and columns.label not in names and not label_required:
            columns = replace(columns, label=None)
        if columns.labels and not label_required and (missing := set(columns.labels) - set(names)):
            if len(missing) < len(columns.labels):
                note(f"{where}: no column {min(missing)!r}, so the rows count as unlabelled (data.label_columns)")
            columns = replace(columns, labels=())
        if columns.id is not None and columns.id not in names and not columns.id_required:
            note(f"{where}: no column {columns.id!r}, the id column of training; predictions have no ids")
            columns = replace(columns, id=None)
        for name, option in (
            *((name, "data.text_column") for name in columns.joined or (columns.text,)),
            (columns.text_pair, "data.text_pair_column"),
            (columns.label, "data.label_column"),
            (columns.id, "data.id_column"),
            *((name, "data.label_columns") for name in columns.labels),
        ):
            if name is not None and name not in names:
                raise UserError(
                    f"{where}: no column {name!r} ({_listed(names)}{did_you_mean(name, names)}); change --{option}"
                )
        if len(set(columns.used)) != len(columns.used):
            raise UserError(f"{where}: one column is named twice, as text, pair or label: {', '.join(columns.used)}")
        return columns

    def in_our_case(self, names: Sequence[str], where: str) -> list[str]:
        """A file's column names, with ours in place of those that differ only in case or spaces, which is reported."""
        ours = [name for name in (*self.used, self.id) if name is not None and name not in names]
        renamed = {same[0]: name for name in ours if len(same := _same_but_for_case(name, names)) == 1}
        renamed = {theirs: name for theirs, name in renamed.items() if theirs not in (*self.used, self.id)}
        for theirs, name in renamed.items():
            note(f"{where}: column {theirs!r} is read as {name!r}, which differs only in case or spaces")
        return [renamed.get(name, name) for name in names]

    def report_found(self, found: ColumnNames, where: str, names: Sequence[str] = ()) -> None:
        """Reports the columns that `found_in` has found in a file with these, unless they are `text` and `label`.

        Another column with the usual name of a text, which is not read, is reported even then.
        """
        if self.text is None:
            chosen = found.text if found.text_pair is None else f"{found.text} and {found.text_pair}"
            texts = [name for name in names if name == found.text or _is_usual(name, TEXT_NAMES)]
            others = [name for name in texts if name not in found.used]
            if others and found.text_pair is None:
                unread = f"{', '.join(map(repr, others))} {agree(len(others), 'is', 'are')} not read"
                joined = f"to join them, type --data.text_column {_as_list(texts)}"
                note(f"{where}: text column: {chosen}; {unread} ({joined})")
            elif (found.text, found.text_pair) != ("text", None):
                note(f"{where}: text column: {chosen} (found in the file; set --data.text_column to change it)")
        if self.label is None and found.label not in (None, "label"):
            note(f"{where}: label column: {found.label} (found in the file; set --data.label_column to change it)")

    def _with_text(self, table: pa.Table, where: str) -> ColumnNames:
        """These columns with the text columns of a file, if none is named."""
        if self.text is not None:
            return self
        if self.text_pair is not None:
            raise UserError("data.text_pair_column is set but data.text_column is not; type --data.text_column")
        names = [name for name in table.column_names if name not in (self.label, *self.labels)]
        for text, pair in KNOWN_TEXT_COLUMNS:
            first, second = _named(text, names), None if pair is None else _named(pair, names)
            if first is not None and (pair is None or second is not None):
                return replace(self, text=first, text_pair=second)
            if first is None and _same_but_for_case(text, names):
                break  # two of them
        found = _usual(names, TEXT_NAMES)
        if len(found) == 1:
            return replace(self, text=found[0])
        if found:
            raise UserError(
                f"{where}: the text column may be {either(map(repr, found))}; type --data.text_column "
                f"{shlex.quote(found[0])}, or --data.text_column {_as_list(found)} to join them"
            )
        longest = max(names, key=lambda name: _mean_length(table[name]), default=None)
        if longest is None or not len(table) or _separator(table.column_names):
            raise UserError(f"{where}: no text column ({_listed(table.column_names)}); type --data.text_column NAME")
        remedy = f"--data.text_column {shlex.quote(longest)}"
        others = [name for name in names if name != longest]
        if len(others) == 1 and self.label is None and not self.labels and not _usual(names, LABEL_NAMES):
            remedy += f" --data.label_column {shlex.quote(others[0])}"
        raise UserError(
            f"{where}: no text column ({_listed(table.column_names)}); {longest!r} has the longest values: "
            f"type {remedy}"
        )

    def _found_label(self, table: pa.Table, where: str, *, required: bool) -> str | None:
        """The label column of a file by its usual name; None if it has none and needs none."""
        names = [name for name in table.column_names if name not in self.used]
        if not required:
            return "label" if "label" in names else None
        found = _usual(names, LABEL_NAMES)
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(
                f"{where}: the label column may be {either(map(repr, found))}; "
                f"type --data.label_column {shlex.quote(found[0])}"
            )
        values = {name: pc.count_distinct(table[name]).as_py() for name in names if _is_plain(table[name].type)}
        fewest = min((name for name in values if values[name] > 1), key=values.__getitem__, default=None)
        remedy = "type --data.label_column NAME"
        if fewest is not None:
            remedy = (
                f"{fewest!r} has the fewest different values ({values[fewest]}): "
                f"type --data.label_column {shlex.quote(fewest)}"
            )
        raise UserError(f"{where}: no label column ({_listed(table.column_names)}); {remedy}")


def _named(wanted: str, names: Sequence[str]) -> str | None:
    """The column with a name, or the only one whose name differs in case alone."""
    same = _same_but_for_case(wanted, names)
    return wanted if wanted in names else same[0] if len(same) == 1 else None


def _same_but_for_case(wanted: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.strip(" ").lower() == wanted.strip(" ").lower()]


def _usual(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """The columns with a known name, whatever the case; only the one with the first known name, if there is one."""
    if known[0] in names:
        return [known[0]]
    return _same_but_for_case(known[0], names) or [name for name in names if _is_usual(name, known)]


def _is_usual(name: str, known: Sequence[str]) -> bool:
    return name.strip(" ").lower() in known


def _as_list(names: Sequence[str]) -> str:
    """A list as one types it for an option."""
    return shlex.quote(yaml.safe_dump(list(names), default_flow_style=True, width=1 << 20, allow_unicode=True).strip())


def _mean_length(values: pa.ChunkedArray) -> float:
    return pc.mean(pc.utf8_length(values.cast(pa.string()))).as_py() or 0.0 if _is_plain(values.type) else 0.0


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _separator(names: Sequence[str]) -> str:
    """The delimiter that the name of the only column contains; empty if there is none."""
    return next((char for char in ",;\t|" if len(names) == 1 and char in names[0]), "")


def _listed(names: Sequence[str]) -> str:
    if char := _separator(names):
        return f"the one column is called {names[0]!r}; if {char!r} separates fields, type --data.delimiter {char!r}"
    return f"the columns are: {', '.join(map(repr, names))}"


def joined_texts(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """The values of several columns in one text, separated by a line end, without those that are null or blank."""
    # Not null_handling="skip": pyarrow 26.0.1 leaves out a row whose values are all null.
    parts = [pc.fill_null(table[name], "") for name in names]
    ended = [pc.if_else(pc.equal(pc.utf8_trim_whitespace(part), ""), "", _with_line_end(part)) for part in parts]
    return pc.replace_substring_regex(pc.binary_join_element_wise(*ended, ""), r"\n\z", "")


def _with_line_end(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(texts, "", "\n")


_ON = ("1", "1.0", "true", "True", "TRUE")
_OFF = ("0", "0.0", "false", "False", "FALSE")


def lists_of_columns(table: pa.Table, names: Sequence[str], where: str, start: int) -> pa.ChunkedArray:
    """Turns columns of zeros and ones into JSON lists of the names whose column is 1, `(rows,)`.

    A row whose columns are all null has no label, as in a file to predict. The file and the number of the table's first
    row in it are for messages.

    Raises:
        UserError: naming the first row and column that is neither 0 nor 1.
    """
    on = []
    unlabelled = pc.is_null(table[names[0]])
    for name in names[1:]:
        unlabelled = pc.and_(unlabelled, pc.is_null(table[name]))
    for name in names:
        values = table[name]
        ones, zeros = (pc.is_in(values, pa.array(forms, pa.string())) for forms in (_ON, _OFF))
        wrong = pc.index(pc.or_(pc.or_(ones, zeros), unlabelled), False).as_py()
        if wrong >= 0:
            raise UserError(
                f"{where}: row {start + wrong}, column {name!r}: {values[wrong].as_py()!r} is neither 0 nor 1; "
                "fix it, or change --data.label_columns"
            )
        on.append(ones.to_pylist())
    lists = [
        None
        if missing
        else json.dumps([name for name, is_on in zip(names, row, strict=True) if is_on], ensure_ascii=False)
        for row, missing in zip(zip(*on, strict=True), unlabelled.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(lists, pa.string())])
