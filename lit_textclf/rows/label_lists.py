"""Labels that are sets of names: lists in one column, or a column of zeros and ones for each name."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lit_textclf.errors import UserError

_ON = ("1", "1.0", "true", "True", "TRUE")
_OFF = ("0", "0.0", "false", "False", "FALSE")


def is_nested(field: pa.Field) -> str:
    """What a column holds that spells lists or objects (see `nested_field`), as `a list in row 0`; else nothing."""
    return str((field.metadata or {}).get(b"nested", b"").decode())


def lists_of_columns(table: pa.Table, names: Sequence[str], where: str, start: int) -> pa.ChunkedArray:
    """Turns columns of zeros and ones into JSON lists of the names whose column is 1, `(rows,)`.

    A row whose columns are all null has no label, as rows to be predicted.

    Args:
        table: strings.
        names: the columns, each the name of a label.
        where: the file, for messages.
        start: the number of the table's first row in its file.

    Raises:
        UserError: naming the first row and column that is neither 0 nor 1.
    """
    on = []
    unlabelled = pc.is_null(table[names[0]])
    for name in names[1:]:
        unlabelled = pc.and_(unlabelled, pc.is_null(table[name]))
    for name in names:
        values = table[name]
        ones, zeros = (pc.is_in(values, pa.array(spelled, pa.string())) for spelled in (_ON, _OFF))
        wrong = pc.index(pc.or_(pc.or_(ones, zeros), unlabelled), False).as_py()
        if wrong >= 0:
            raise UserError(
                f"{where}: row {start + wrong}, column {name!r}: {values[wrong].as_py()!r} is neither 0 nor 1; "
                "mend it, or change data.label_columns"
            )
        on.append(ones.to_pylist())
    spelled = [
        None
        if missing
        else json.dumps([name for name, is_on in zip(names, row, strict=True) if is_on], ensure_ascii=False)
        for row, missing in zip(zip(*on, strict=True), unlabelled.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(spelled, pa.string())])
