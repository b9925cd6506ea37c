"""Rows with their token ids, read as a classifier reads them: what :class:`TextDataModule` has without Lightning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.data.labels.target import Target
from lit_textclf.data.options import CARRIED, READS_TEXT
from lit_textclf.data.splits import STAGE_SPLITS
from lit_textclf.data.text_data import TextData
from lit_textclf.data.tokens.long_text import LongText
from lit_textclf.data.tokens.special_tokens import SpecialTokens
from lit_textclf.data.tokens.tokenizer import load_tokenizer, same_tokens
from lit_textclf.utils.messages import UserError, note, plural

if TYPE_CHECKING:
    from lit_textclf.data.batches.padding import BatchTokenizer


class ReadsText(Protocol):
    """What the data module needs of a classifier."""

    @property
    def target(self) -> Target | None:
        """Task and labels, where a checkpoint knows them."""

    @property
    def tokenizer(self) -> BatchTokenizer:
        """The tokenizer of its model."""

    @property
    def max_tokens(self) -> int | None:
        """The longest sequence that it reads, in tokens; None if it knows no limit."""


class EncodedData(TextData):
    """The data of :class:`TextData`, tokenized.

    Attributes:
        carried: the options that determine what a model sees, with what was decided from the rows.
        encoded: the rows that have been tokenized, by split.
    """

    def _take_over(self, options: Mapping[str, Any]) -> None:
        self.carried: dict[str, Any] = {name: options[name] for name in CARRIED}
        self._differs: dict[str, Any] = {}
        self.encoded: dict[str, TokenizedDataset] = {}
        given = self._given_tokenizer = options["tokenizer"]
        self._tokenizer: BatchTokenizer | None = None if isinstance(given, (str, os.PathLike)) else given
        self._encoded_by: tuple[BatchTokenizer, int, LongText] | None = None

    def prepare(self, stage: str, classifier: ReadsText | None = None) -> None:
        """Reads, tokenizes and encodes the rows of a stage, once.

        The classifier gives the tokenizer, the longest sequence and, from a checkpoint, the target.

        Raises:
            UserError: for anything wrong in the options or the files, or an unknown label.
        """
        self.forget_changed_files()
        if classifier is not None:
            self.use_target(classifier.target)
        stream = self.stream
        self.read(stage)
        if classifier is not None:  # after the files: their mistakes show without asking the Hub for a model
            self._use_model(classifier)
        assert self.target is not None
        self.carried.update(
            text_column=self.columns.text_option, text_pair_column=self.columns.text_pair,
            label_column=self.columns.label, task=self.target.task, labels=list(self.target.labels) or None,
            positive_label=self.target.positive_label,
            max_length=self.max_length, long_text=self.long_text.mode, window_stride=self.long_text.stride,
            max_windows=self.long_text.max_windows,
        )  # fmt: skip
        self._forget_other_tokens()
        for split in STAGE_SPLITS[stage]:
            if split in self.rows and split not in self.encoded:
                self.encoded[split] = self._encode(split)
        if stage == "predict" and self.stream is not None and self.stream is not stream:
            note(f"predict: {plural(self.stream.total, 'row')}")
            self._predict_budget()  # what can be wrong with the options shows before a model is loaded

    def _read_as_trained(self, trained_with: Mapping[str, Any], max_tokens: int | None) -> None:
        """Reads texts as the classifier was trained, where the user did not say how; and reports differences."""
        if self.max_length != self._max_length:  # set as an attribute since
            self._typed["max_length"] = self.max_length
        longest = READS_TEXT["max_length"] if max_tokens is None else min(READS_TEXT["max_length"], max_tokens)
        self._read_texts_as({**READS_TEXT, "max_length": longest, **trained_with, **self._typed})
        other = {name: trained_with.get(name, value) for name, value in self._typed.items()}
        for name in [name for name in other if other[name] not in (self._typed[name], self._differs.get(name))]:
            note(f"data.{name} {self._typed[name]}: the classifier was trained with {other[name]}")
        self._differs = other

    def _forget_other_tokens(self) -> None:
        """Forgets token ids of another tokenizer, or of texts that were cut at another length."""
        before, now = self._encoded_by, (self.tokenizer, self.max_length, self.long_text)
        if before is not None and (before[1:] != now[1:] or not same_tokens(before[0], now[0])):
            self.encoded.clear()
        self._encoded_by = now

    def forget(self) -> None:
        """Forgets rows and token ids."""
        super().forget()
        self.encoded.clear()

    def _use_model(self, classifier: ReadsText) -> None:
        self._read_as_trained(getattr(classifier, "trained_with", {}), classifier.max_tokens)
        if self._given_tokenizer is None:
            self._tokenizer = classifier.tokenizer
        elif not same_tokens(self.tokenizer, classifier.tokenizer):
            note("the data module's tokenizer is not the classifier's; leave out tokenizer= to use the classifier's")
        if classifier.max_tokens is not None and self.max_length > classifier.max_tokens:
            raise UserError(
                f"data.max_length {self.max_length}: the model has positions for {classifier.max_tokens} tokens "
                f"(max_position_embeddings); lower it, as --data.max_length {classifier.max_tokens}"
            )

    def _encode(self, split: str) -> TokenizedDataset:
        rows = self.rows[split]
        assert self.target is not None
        targets = self.target.encode(rows)
        if empty := len(self.target.label_task.empty_sets(targets)):
            note(f"{split}: {plural(empty, 'row')} with an empty label set, which is a label set like any other")
        encoded = TokenizedDataset(rows, self.tokenizer, self.max_length, self.long_text, targets, self.cache_dir)
        note(f"{split}: {encoded.report()}")
        return encoded

    @property
    def tokenizer(self) -> BatchTokenizer:
        """The tokenizer in use."""
        if self._tokenizer is None and self._given_tokenizer is not None:
            self._tokenizer = load_tokenizer(os.fspath(self._given_tokenizer), "data.tokenizer")
        if self._tokenizer is None:
            raise UserError(
                "TextDataModule has no tokenizer: give it one, or use it with a Trainer and a TextClassifier"
            )
        return self._tokenizer

    def predict_report(self, tally: Mapping[str, int]) -> str:
        """Reports what was done with long texts, from the parts' tallies added up."""
        long_texts = self.long_text.report(tally, self._predict_budget(), self.max_length)
        return f"{plural(tally['rows'], 'row')}, {long_texts}"

    def _predict_budget(self) -> int:
        """Tokens of text in a sequence of the rows to predict; refuses options that do not fit them."""
        assert self.stream is not None
        pair = self.stream.columns.text_pair is not None
        special = len(SpecialTokens.from_tokenizer(self.tokenizer, pair=pair))
        return self.long_text.budget(self.max_length, special, pair=pair)
