"""pyarrow and scikit-learn without pandas, which they import to recognize its objects."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

from lit_textclf.utils.imports.postponed import is_postponing


def leave_out_pandas() -> None:
    """Lets both find no pandas for the rest of a process of our own: the import takes half a second and 10 MB.

    pyarrow 25 asks at its first array, and at each scalar (`InitPandasStaticData`). Other modules import it as always.
    """
    if "pandas" not in sys.modules and is_postponing():
        sys.meta_path.insert(0, _Hidden())


class _Hidden(MetaPathFinder):
    """Finds no pandas for them; pyarrow's extension modules have no frame: the one that called them asks."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Raises for pandas, as if it were not installed."""
        if name != "pandas":
            return
        frame = sys._getframe()
        while frame.f_back is not None and frame.f_globals["__name__"] in (__name__, "importlib._bootstrap"):
            frame = frame.f_back
        if frame.f_globals["__name__"].partition(".")[0] in ("pyarrow", "sklearn", __name__.partition(".")[0]):
            raise ModuleNotFoundError("No module named 'pandas'", name=name)
