"""`explain`: the words of texts in memory, weighed by what they add to the evidence for a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lit_textclf.classifier.explanation.evidence import Attribution
from lit_textclf.classifier.explanation.occlusion import occlusion
from lit_textclf.classifier.explanation.words import TextWords, sorted_batches, words_of
from lit_textclf.classifier.inference.classify import ClassifiesTexts
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.data.batches.dataset import Encoder
from lit_textclf.data.batches.padding import Padder
from lit_textclf.data.batches.texts import checked_texts, long_text_of
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.messages import UserError, did_you_mean

Method = Callable[..., list[Attribution]]
GRADIENTS, OCCLUSION = "gradients", "occlusion"


class ExplainsTexts(ClassifiesTexts):
    """Has :meth:`explain`, and all of :class:`ClassifiesTexts`."""

    @property
    def explanation_methods(self) -> dict[str, Method]:
        """The methods that this engine has, by name, the default first."""
        return {OCCLUSION: occlusion}

    if TYPE_CHECKING:

        @overload
        def explain(  # type: ignore[overload-overlap]  # a string is a sequence of strings, too
            self, texts: str, text_pairs: str | None = None, *, label: str | None = None, method: str | None = None,
            max_length: int | None = None, batch_size: int = 16,
        ) -> dict[str, Any]: ...  # fmt: skip

        @overload
        def explain(
            self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, *, label: str | None = None,
            method: str | None = None, max_length: int | None = None, batch_size: int = 16,
        ) -> list[dict[str, Any]]: ...  # fmt: skip

    def explain(
        self,
        texts: str | Sequence[str],
        text_pairs: str | Sequence[str] | None = None,
        *,
        label: str | None = None,
        method: str | None = None,
        max_length: int | None = None,
        batch_size: int = 16,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Weighs the words of a text, or of texts in order.

        A weight is what the word adds to the logarithm of the label's odds, p / (1 - p), or to the value of a
        regression. Words that the model does not read, because the text is too long, are left out.

        Args:
            texts: a text or several, or the first ones of pairs.
            text_pairs: the second ones of pairs.
            label: the label to explain; None takes the predicted one, of label sets the most probable one.
            method: `gradients` (integrated gradients, which needs a checkpoint and captum) or `occlusion` (the model
                without each word in turn, on every engine); None takes the first that the engine has.
            max_length: tokens read of each text, special tokens included; None means as in training.
            batch_size: texts in a batch.

        Returns:
            For each text what :meth:`classify` answers, with `explained`, the label (None for regression), `words`, a
            list of `{"word": ..., "start": ..., "end": ..., "column": "text" or "text_pair", "weight": ...}` with
            indices of characters, and for gradients `error`: how far the weights' sum is from what all words together
            add, as a share of the sum of their absolute values. A list for several texts.

        Raises:
            UserError: if the label, the method or a text is not usable.

        Example:
            >>> from lit_textclf import load
            >>> load("best.ckpt").explain("not a bad film")["words"][0]  # doctest: +SKIP
            {'word': 'not', 'start': 0, 'end': 3, 'column': 'text', 'weight': 1.31}
        """
        if isinstance(texts, str):
            pairs: Any = None if text_pairs is None else [text_pairs]
            return self.explain(
                [texts], pairs, label=label, method=method, max_length=max_length, batch_size=batch_size
            )[0]
        firsts, seconds = checked_texts(texts, text_pairs, "explain")
        if batch_size < 1:
            raise UserError(f"explain: batch_size {batch_size}: must be at least 1")
        compute = self._method(method)
        assert self.target is not None
        wanted = index_of_label(self.target, label)
        return self._explain(firsts, seconds, wanted, compute, max_length, batch_size) if firsts else []

    def _explain(
        self, texts: list[str], text_pairs: list[str] | None, label: int | None, compute: Method,
        max_length: int | None, batch_size: int,
    ) -> list[dict[str, Any]]:  # fmt: skip
        long_text = long_text_of(self.trained_with)
        encoder = Encoder(self.tokenizer, self.longest(max_length), long_text, pair=text_pairs is not None)
        padder = Padder(self.tokenizer, windows=long_text.mode == "window")
        words = words_of(texts, text_pairs, self.tokenizer, encoder)
        logits = self.logits_in_order(sorted_batches([each.sequences for each in words], padder, 64))
        logits = self.calibration.apply(logits)
        labels = logits.argmax(-1) if label is None else np.full(len(logits), label)
        assert self.target is not None
        answers = decisions_of(self.target).answers(self.target, logits)
        found = compute(self, words, labels, padder, batch_size)
        return [
            {**answer, **self._explained(each, int(index), attribution)}
            for answer, each, index, attribution in zip(answers, words, labels, found, strict=True)
        ]

    def _method(self, name: str | None) -> Method:
        methods = self.explanation_methods
        if name is None:
            return next(iter(methods.values()))
        if name not in methods:
            if name == GRADIENTS:
                raise UserError("explain by gradients needs a checkpoint; for ONNX Runtime use occlusion")
            raise UserError(f"explain: method {name!r}{did_you_mean(name, methods)}: there are {', '.join(methods)}")
        return methods[name]

    def _explained(self, text: TextWords, label: int, found: Attribution) -> dict[str, Any]:
        assert self.target is not None
        words = [
            {**vars(text.words[index]), "weight": weight}
            for index, weight in zip(text.read.tolist(), found.weights.tolist(), strict=True)
        ]
        explained = self.target.labels[label] if self.target.has_probabilities else None
        error = {} if found.error is None else {"error": found.error}
        return {"explained": explained, "words": words, **error}


def index_of_label(target: Target, name: str | None) -> int | None:
    """The index of a label; None for None.

    Raises:
        UserError: if it is not a label of the task; regressions have no labels.
    """
    if name is None:
        return None
    if not target.has_probabilities:
        raise UserError(f"label {name!r}: the model is a regression, which has no labels; remove it")
    if name not in target.labels:
        near = did_you_mean(name, target.labels)
        raise UserError(f"no label {name!r}{near}; there are {', '.join(target.labels)}")
    return target.labels.index(name)
