"""pyarrow and scikit-learn import no pandas in a process of our own; all else does, and in others so do they."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.utils.imports.arrow import leave_out_pandas
from lit_textclf.utils.imports.postponed import postpone_unneeded
if sys.argv[1] == "ours":
    postpone_unneeded()
leave_out_pandas()
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
assert len(rows_of_texts(["a", ""]).blank()) == 1
assert pc.equal(pa.array(np.array([1, 2])), 2).to_pylist() == [False, True]
from sklearn.linear_model import LogisticRegression
print("pandas" in sys.modules)
import pandas
print(pandas.DataFrame({"a": [1]})["a"].tolist())
"""


@pytest.mark.parametrize(("whose", "imported"), [("ours", "False"), ("another", "True")])
def test_pandas_is_imported_at_need(whose: str, imported: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, whose], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [imported, "[1]"]
