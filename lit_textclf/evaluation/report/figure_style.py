"""The style of figures: sizes, fonts, names that fit, and PNG."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

WIDTH = 4.8
"""Inches. On a phone 390 pixels wide, 10 points of a figure are then 11 pixels high."""
DPI = 150
BLUE, ORANGE, GREY = "#1f77b4", "#ff7f0e", "#8c8c8c"
_NAME_LENGTH = 30
_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Yu Gothic",
    "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip


@cache
def _families() -> list[str]:
    """DejaVu Sans, which comes with matplotlib, then installed fonts with the glyphs it lacks."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(font for font in _FONTS if font in installed)]


@contextmanager
def canvas(title: str, height: float = 3.6) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one pair of axes to draw on, a title whose lines are wrapped, and a height in inches."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": _families(),
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": False,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "text.parse_math": False,  # names may contain dollar signs
    }
    with matplotlib.rc_context(style):
        figure = Figure((WIDTH, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        figure.suptitle(
            "\n".join(part for line in title.splitlines() for part in textwrap.wrap(line, 56)), fontsize=10.5
        )
        yield figure, axes


def legend_below(figure: Figure, axes: Axes) -> None:
    """Puts the legend below the axes, one entry per line; the figure grows by its height."""
    handles, labels = axes.get_legend_handles_labels()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * len(labels))
    figure.legend(handles, labels, loc="outside lower left")


def short_names(names: Sequence[str], length: int = _NAME_LENGTH) -> list[str]:
    """Names on one line, cut to `length` characters at the end, or in the middle where two would look alike."""
    plain = [" ".join(name.split()) for name in names]
    ends = [name if len(name) <= length else name[: length - 1] + "…" for name in plain]
    seen = Counter(ends)
    half = (length - 1) // 2
    return [
        end if seen[end] == 1 or end == name else f"{name[:half]}…{name[-half:]}"
        for name, end in zip(plain, ends, strict=True)
    ]


def png(figure: Figure) -> bytes:
    """A figure as PNG, 720 pixels wide."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Matplotlib draws boxes for scripts that no installed font has; the tables next to the figure have the names.
        warnings.filterwarnings("ignore", message=r"(?s).*Glyph .* missing from (current )?font.*")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        # Not savefig, which first draws everything a second time for the layout (matplotlib 3.11, print_figure).
        cast("FigureCanvasAgg", figure.canvas).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
