"""`classify`: texts in memory to labels and probabilities, for a classifier of any engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.data.batches.padding import ArrayBatch, BatchTokenizer
from lit_textclf.data.batches.texts import batches_of_texts, checked_texts
from lit_textclf.data.labels.target import Target
from lit_textclf.data.options import READS_TEXT
from lit_textclf.utils.messages import UserError


class ClassifiesTexts:
    """Has :meth:`classify`.

    Attributes:
        target: task and labels.
        calibration: turns raw logits into calibrated ones.
        trained_with: how the training rows were read, by the names of :data:`READS_TEXT`; empty if it is not known.
    """

    target: Target | None
    calibration: Calibration
    trained_with: dict[str, Any]

    if TYPE_CHECKING:

        @property
        def tokenizer(self) -> BatchTokenizer:
            """The tokenizer: transformers', or a :class:`SavedTokenizer`."""

        @property
        def max_tokens(self) -> int | None:
            """The longest sequence that the model reads, in tokens; None if it knows no limit."""

    @abstractmethod
    def logits_in_order(self, batches: Iterable[ArrayBatch]) -> np.ndarray:
        """Raw logits of the rows of batches, in row order, float32 `(rows, outputs)`."""

    @overload
    def classify(  # type: ignore[overload-overlap]  # a string is a sequence of strings, too
        self, texts: str, text_pairs: str | None = None, *, max_length: int | None = None, batch_size: int = 64,
        thresholds: Mapping[str, float] | None = None, min_score: float | None = None,
    ) -> dict[str, Any]: ...  # fmt: skip

    @overload
    def classify(
        self,
        texts: Sequence[str],
        text_pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        batch_size: int = 64,
        thresholds: Mapping[str, float] | None = None,
        min_score: float | None = None,
    ) -> list[dict[str, Any]]: ...

    def classify(
        self,
        texts: str | Sequence[str],
        text_pairs: str | Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        batch_size: int = 64,
        thresholds: Mapping[str, float] | None = None,
        min_score: float | None = None,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Classifies a text, or texts in order.

        Args:
            texts: a text or several, or the first ones of pairs.
            text_pairs: the second ones of pairs.
            max_length: tokens read of each text, special tokens included; None means as in training.
            batch_size: texts in a batch.
            thresholds: decision thresholds by label, for two labels or label sets; None takes the most probable label.
            min_score: a text whose score is lower gets the label None; for one label per text.

        Returns:
            For each text `{"label": name, "score": its probability, "probabilities": {name: probability}}`,
            `{"labels": [name], "probabilities": {name: probability}}` for multi-label tasks, or `{"prediction": value}`
            for regression. With `min_score`, also `abstained`. A list of them for several texts.

        Raises:
            UserError: if a text is not a string, there are not as many second texts as first ones, or batch_size is 0.
        """
        if isinstance(texts, str):
            pairs: Any = None if text_pairs is None else [text_pairs]
            return self.classify(
                [texts], pairs, max_length=max_length, batch_size=batch_size, thresholds=thresholds, min_score=min_score
            )[0]
        firsts, seconds = checked_texts(texts, text_pairs, "classify")
        if batch_size < 1:
            raise UserError(f"classify: batch_size {batch_size}: must be at least 1")
        if not firsts:
            return []
        longest = self.longest(max_length)
        batches = batches_of_texts(firsts, seconds, self.tokenizer, longest, self.trained_with, batch_size)
        logits = self.calibration.apply(self.logits_in_order(batches))
        assert self.target is not None
        return decisions_of(self.target).answers(self.target, logits, thresholds, min_score)

    def longest(self, max_length: int | None) -> int:
        """The most tokens that are read of a text, special tokens included; None means as in training."""
        longest = self.trained_with.get("max_length", READS_TEXT["max_length"]) if max_length is None else max_length
        return int(min(longest, self.max_tokens or longest))
