"""Texts longer than the model reads at once: cut, read at both ends, or read in overlapping windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lit_textclf.utils.messages import UserError, plural

Mode = Literal["truncate", "head_tail", "window"]
Pooling = Literal["mean", "max"]


@dataclass(frozen=True)
class LongText:
    """What happens to texts with more tokens than fit into a sequence.

    Attributes:
        mode: `truncate` keeps the beginning; `head_tail` keeps both ends, half and half (Sun et al. 2019, "How to
            Fine-Tune BERT for Text Classification?"); `window` reads overlapping windows, whose logits are pooled.
        stride: tokens from the start of one window to the start of the next; None means half a window.
        max_windows: the most windows of a text; the rest of the text is cut off.
    """

    mode: Mode = "truncate"
    stride: int | None = None
    max_windows: int = 8

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise UserError(f"data.long_text {self.mode!r}: must be one of {', '.join(get_args(Mode))}")
        if self.stride is not None and self.mode != "window":
            raise UserError(f"data.window_stride has no meaning with data.long_text {self.mode}; remove it")
        if self.stride is not None and self.stride < 1:
            raise UserError(f"data.window_stride {self.stride}: must be at least 1")
        if self.max_windows < 1:
            raise UserError(f"data.max_windows {self.max_windows}: must be at least 1")

    def budget(self, max_length: int, special_tokens: int, *, pair: bool) -> int:
        """How many tokens of text, or of a pair, fit into a sequence of `max_length` with these special tokens.

        Raises:
            UserError: if no text fits (raise `data.max_length`), or for windows of pairs.
        """
        if self.mode == "window" and pair:
            raise UserError("data.long_text window reads single texts; for pairs type --data.long_text head_tail")
        budget = max_length - special_tokens
        if budget < 1 + pair:
            raise UserError(f"data.max_length {max_length} leaves no tokens for text besides special tokens; raise it")
        if self.mode == "window":
            self.stride_for(budget)
        return budget

    def stride_for(self, budget: int) -> int:
        """The stride of windows of `budget` tokens.

        Raises:
            UserError: if windows would leave tokens between them unread.
        """
        stride = self.stride or max(1, budget // 2)
        if stride > budget:
            raise UserError(
                f"data.window_stride {stride}: a window has only {budget} tokens of text, those between two windows "
                "would not be read; lower it or raise --data.max_length"
            )
        return stride

    def pieces(self, tokens: np.ndarray, budget: int) -> list[np.ndarray]:
        """The parts of a text `(tokens,)` that the model reads, each of at most `budget` tokens.

        The last window ends where the text ends, so no window has only a few left-over tokens.
        """
        if len(tokens) <= budget:
            return [tokens]
        if self.mode == "truncate":
            return [tokens[:budget]]
        if self.mode == "head_tail":
            return [np.concatenate([tokens[: budget - budget // 2], tokens[len(tokens) - budget // 2 :]])]
        starts = np.arange(int(self.windows(np.array([len(tokens)]), budget)[0])) * self.stride_for(budget)
        return [tokens[start : start + budget] for start in np.minimum(starts, len(tokens) - budget)]

    def windows(self, lengths: np.ndarray, budget: int) -> np.ndarray:
        """The number of windows of texts of these lengths, `(texts,)`; 1 in the other modes."""
        if self.mode != "window":
            return np.ones_like(lengths)
        beyond = np.maximum(lengths - budget, 0)
        return np.asarray(np.minimum(1 - (-beyond // self.stride_for(budget)), self.max_windows))

    def read(self, lengths: np.ndarray, budget: int) -> np.ndarray:
        """How many tokens of each text are read, `(texts,)`; overlapping ones count once for each window."""
        return np.asarray(np.where(lengths <= budget, lengths, self.windows(lengths, budget) * budget))

    def cut_off(self, lengths: np.ndarray, budget: int) -> np.ndarray:
        """How many tokens of each text are not read at all, `(texts,)`."""
        if self.mode != "window":
            return np.asarray(np.maximum(lengths - budget, 0))
        reach = budget + (self.max_windows - 1) * self.stride_for(budget)
        return np.asarray(np.maximum(lengths - reach, 0))

    def tally(self, lengths: np.ndarray, budget: int) -> dict[str, int]:
        """Counts rows, rows and tokens that are cut off, and windows of texts of these lengths."""
        cut, windows = self.cut_off(lengths, budget), self.windows(lengths, budget)
        return {
            "rows": len(lengths),
            "cut_rows": int((cut > 0).sum()),
            "cut_tokens": int(cut.sum()),
            "windows": int(windows.sum()),
        }

    def report(self, tally: Mapping[str, int], budget: int, max_length: int) -> str:
        """Describes counts of :meth:`tally` (or the sum of several) in one line."""
        share = f"{tally['cut_rows']:,} ({tally['cut_rows'] / max(1, tally['rows']):.1%})"
        if self.mode == "truncate":
            return f"{share} truncated to {max_length} tokens"
        if self.mode == "head_tail":
            return f"{share} cut in the middle, to head and tail of {max_length} tokens together"
        return (
            f"{plural(tally['windows'], 'window')} of {max_length} tokens (stride {self.stride_for(budget)}), "
            f"{share} cut off after {plural(self.max_windows, 'window')} ({plural(tally['cut_tokens'], 'token')})"
        )
