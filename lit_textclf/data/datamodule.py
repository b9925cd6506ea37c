"""The data module: from files to batches, one room after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.accelerators import XLAAccelerator
from torch.utils.data import DataLoader, Sampler

from lit_textclf.data.batches.collate import Collator
from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.data.batches.loaders import ResumableLoader
from lit_textclf.data.batches.predict_dataset import PredictDataset, part_rows_for
from lit_textclf.data.batches.samplers import (
    WINDOW_BATCHES,
    LengthGroupedSampler,
    ShuffledSampler,
    SortedWindowSampler,
    TokenBudgetBatchSampler,
)
from lit_textclf.data.options import check_data, delimiter_of
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.labels import Target, TaskOption, label_counts
from lit_textclf.data.rows.read import ReadOptions
from lit_textclf.data.rows.rows import Rows, rows_of_texts
from lit_textclf.data.splits import SPLITS, STAGE_SPLITS, Splits
from lit_textclf.data.tokens.long_text import LongText, Mode
from lit_textclf.data.tokens.special_tokens import SpecialTokens
from lit_textclf.data.tokens.token_cache import default_cache_dir, tokenize
from lit_textclf.utils.messages import UserError, note, plural

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


CARRIED = (
    "text_column",
    "text_pair_column",
    "label_column",
    "label_columns",
    "id_column",
    "task",
    "labels",
    "positive_label",
    "max_length",
    "long_text",
    "window_stride",
    "max_windows",
)
"""Options that shape what the model sees: a checkpoint carries them."""


class ReadsText(Protocol):
    """What the data module needs of a classifier."""

    @property
    def target(self) -> Target | None:
        """Task and labels, where a checkpoint knows them."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of its model."""

    @property
    def max_tokens(self) -> int | None:
        """The longest sequence that it reads, in tokens; None if it knows no limit."""


class TextDataModule(LightningDataModule):
    """Rows of text with labels, tokenized and in batches padded to their longest row.

    Args:
        train_file: a path, a glob or a list of paths: .csv, .tsv, .jsonl, .json (also .gz, .zst), .parquet, .arrow, or
            a folder with one sub-folder of .txt files for each class; package:NAME/PATH means inside an installed
            Python package
        validation_file: likewise, for the evaluation after each epoch
        test_file: likewise, for the test command
        predict_file: likewise, for the predict command; labels are not needed
        dataset_name: a data set on the Hugging Face Hub, in place of files
        dataset_config_name: its configuration, if it has several
        dataset_splits: what it calls its splits, where it is not train, validation and test, as {validation:
            validation_matched}; predict is that of test unless named
        validation_split: share of the training rows held out for validation where no such file is given; stratified,
            by a hash of the text, so that equal texts stay together
        test_split: likewise for test
        folds: k-fold cross-validation: one of so many parts of the training rows is held out for validation
        fold: which part, from 0; the cross_validate command takes each in turn
        text_column: the column that the model reads; null finds text, text_a and text_b, sentence, or sentence1 and
            sentence2
        text_pair_column: the second text's column, for pairs
        label_column: the labels' column
        label_columns: in place of label_column one column of zeros and ones for each label of a multi-label task
        id_column: a column that predictions carry along
        encoding: the files' encoding; of a list each is tried in order, file by file
        delimiter: what stands between columns; null goes by the file's ending
        quote_char: what stands around a text with a delimiter in it; an empty string if quotes mean nothing
        task: single_label, multi_label or regression; auto decides from the labels, and says so: multi_label if they
            are lists, regression if all are numbers and one at least is no integer
        labels: the labels' names in order; null takes them from the training rows, sorted
        positive_label: with two labels, the one that val_f1, val_precision, val_recall and val_auroc speak of; null
            means the last
        max_length: the most tokens that are read of a row, special tokens counted
        long_text: what is done with longer texts: truncate keeps the beginning; head_tail both ends, half and half;
            window reads overlapping windows of max_length, whose logits are pooled (model.window_pooling)
        window_stride: tokens from one window's beginning to the next one's; null means half a window
        max_windows: the most windows of a text; what lies behind is cut off, and counted
        pad_to_max_length: pad to max_length, not to each batch's longest row
        batch_by_length: batches of rows of like length, which need little padding: training rows are shuffled, then
            sorted within windows of 100 batches; false shuffles them only
        batch_size: rows of a training batch, per device
        max_tokens_per_batch: in place of batch_size, as many rows of like length as fit into so many tokens, padding
            counted; in one process
        eval_batch_size: rows of a batch in validation, test and prediction, per device
        num_workers: processes that prepare batches
        allow_blank_text: train and validate on rows without text, too
        max_train_samples: train on a seeded, stratified sample of so many rows
        max_eval_samples: validate and test on the first so many rows
        max_predict_samples: predict the first so many rows
        cache_dir: where tokenized texts are kept; null means lit_textclf/tokens in the user's cache folder
        tokenizer: the tokenizer; None takes the classifier's when the run begins
    """

    def __init__(
        self,
        train_file: str | list[str] | None = None,
        validation_file: str | list[str] | None = None,
        test_file: str | list[str] | None = None,
        predict_file: str | list[str] | None = None,
        dataset_name: str | None = None,
        dataset_config_name: str | None = None,
        dataset_splits: dict[str, str] | None = None,
        validation_split: float | None = None,
        test_split: float | None = None,
        folds: int | None = None,
        fold: int | None = None,
        text_column: str | None = None,
        text_pair_column: str | None = None,
        label_column: str = "label",
        label_columns: list[str] | None = None,
        id_column: str | None = None,
        encoding: str | list[str] = "utf-8",
        delimiter: str | None = None,
        quote_char: str = '"',
        task: TaskOption = "auto",
        labels: list[str] | None = None,
        positive_label: str | None = None,
        max_length: int = 256,
        long_text: Mode = "truncate",
        window_stride: int | None = None,
        max_windows: int = 8,
        pad_to_max_length: bool = False,
        batch_by_length: bool = True,
        batch_size: int = 32,
        max_tokens_per_batch: int | None = None,
        eval_batch_size: int = 64,
        num_workers: int = 0,
        allow_blank_text: bool = False,
        max_train_samples: int | None = None,
        max_eval_samples: int | None = None,
        max_predict_samples: int | None = None,
        cache_dir: str | None = None,
        tokenizer: PreTrainedTokenizerFast | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(*CARRIED)
        encodings = (encoding,) if isinstance(encoding, str) else tuple(encoding)
        self.sets = Splits(
            files={"train": train_file, "validation": validation_file, "test": test_file, "predict": predict_file},
            dataset_name=dataset_name,
            dataset_config_name=dataset_config_name,
            dataset_splits=dataset_splits or {},
            shares={"validation": validation_split, "test": test_split},
            folds=folds,
            fold=fold,
            columns=ColumnNames(
                text_column,
                text_pair_column,
                None if label_columns else label_column,
                id_column,
                labels=tuple(label_columns or ()),
            ),
            read_options=ReadOptions(encodings or ("utf-8",), delimiter_of(delimiter), quote_char),
            limits={
                "train": max_train_samples,
                "validation": max_eval_samples,
                "test": max_eval_samples,
                "predict": max_predict_samples,
            },
            allow_blank_text=allow_blank_text,
            task=task,
            labels=labels,
            positive_label=positive_label,
        )
        self.long_text = LongText(long_text, window_stride, max_windows)
        self.max_length, self.pad_to_max_length = max_length, pad_to_max_length
        self.batch_by_length, self.max_tokens_per_batch = batch_by_length, max_tokens_per_batch
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        self.encoded: dict[str, TokenizedDataset] = {}
        self.part_rows: int | None = None
        self.parts_left: Sequence[int] | None = None
        self._trained_on: torch.Tensor | None = None
        self._tokenizer = tokenizer
        self._max_tokens: int | None = None
        check_data(self)

    @property
    def rows(self) -> dict[str, Rows]:
        """The rows by split, as far as they were read."""
        return self.sets.rows

    @property
    def target(self) -> Target | None:
        """Task and labels, once they are known."""
        return self.sets.target

    def prepare(self, stage: str, classifier: ReadsText | None = None) -> None:
        """Reads, tokenizes and encodes the rows of a stage, once.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
            classifier: gives the tokenizer, the most tokens and, from a checkpoint, the target.

        Raises:
            UserError: for anything wrong in the options or the files, or an unknown label.
        """
        if classifier is not None:
            self.sets.target = self.sets.target or classifier.target
        first = self.sets.stream is None
        self.sets.read(stage)
        if classifier is not None:  # after the files, whose mistakes show without asking the Hub for a model
            self._tokenizer = self._tokenizer or classifier.tokenizer
            if classifier.max_tokens is not None and self.max_length > classifier.max_tokens:
                raise UserError(
                    f"data.max_length {self.max_length}: the model has positions for {classifier.max_tokens} tokens "
                    "(max_position_embeddings); lower data.max_length"
                )
        assert self.target is not None
        columns = self.sets.columns
        self.hparams.update(
            text_column=columns.text, text_pair_column=columns.text_pair, task=self.target.task,
            labels=list(self.target.labels) or None, positive_label=self.target.positive_label,
        )  # fmt: skip
        if stage in ("validate", "test") and STAGE_SPLITS[stage][0] not in self.encoded:
            self.sets.refuse_trained_on(STAGE_SPLITS[stage][0])
        for split in STAGE_SPLITS[stage]:
            if split in self.rows and split not in self.encoded:
                self.encoded[split] = self._encode(split)
        if stage == "predict" and first and self.sets.stream is not None:
            note(f"predict: {plural(self.sets.stream.total, 'row')}")
            self.no_rows()

    # Tokens and batches -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The keys of the training rows, int64 `(texts,)`: a checkpoint is not measured on them unnoticed."""
        if "train" not in self.rows:
            return {}
        if self._trained_on is None:
            self._trained_on = torch.from_numpy(self.sets.record().view(np.int64))
        return {"trained_on": self._trained_on}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Says how many of the training rows a run that goes on was not begun with."""
        saved = state_dict.get("trained_on")
        if saved is not None and "train" in self.rows:
            then, now = saved.numpy(), self.state_dict()["trained_on"].numpy()
            added, gone = len(np.setdiff1d(now, then)), len(np.setdiff1d(then, now))
            if added or gone:
                note(f"training rows: {plural(added, 'text')} new since the checkpoint, {gone:,} no longer there")

    def setup(self, stage: str) -> None:
        """Reads, tokenizes and encodes the rows of a stage; called by the Trainer, or by hand without one.

        Raises:
            UserError: for anything wrong in the options or the files, or an unknown label.
        """
        self.prepare(stage, self.trainer.lightning_module if self.trainer is not None else None)  # type: ignore[arg-type]

    def _encode(self, split: str) -> TokenizedDataset:
        rows = self.rows[split]
        assert self.target is not None
        targets = self.target.encode(rows)
        if self.target.task == "multi_label" and (empty := int((~targets.any(1)).sum())):
            note(f"{split}: {plural(empty, 'row')} with an empty label set, which is a label set like any other")
        encoded = self._encoded(rows, targets, self.cache_dir)
        note(f"{split}: {encoded.report()}")
        return encoded

    def _encoded(self, rows: Rows, targets: np.ndarray | None, cache_dir: Path | None) -> TokenizedDataset:
        tokens = tokenize(rows.text, self.tokenizer, cache_dir)
        pairs = None if rows.text_pair is None else tokenize(rows.text_pair, self.tokenizer, cache_dir)
        return TokenizedDataset(
            tokens, pairs, SpecialTokens.from_tokenizer(self.tokenizer), self.max_length, self.long_text, targets
        )

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer in use."""
        if self._tokenizer is None:
            raise UserError(
                "TextDataModule has no tokenizer: give it one, or use it with a Trainer and a TextClassifier"
            )
        return self._tokenizer

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, shuffled anew each epoch."""
        replicas, rank = self._ranks
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        lengths = self.encoded["train"].lengths
        if self.max_tokens_per_batch is not None:
            if replicas > 1:
                raise UserError("data.max_tokens_per_batch works in one process; set data.batch_size in its place")
            batches = TokenBudgetBatchSampler(self._padded(lengths), self.max_tokens_per_batch, seed)
            return self._loader("train", 1, batches=batches)
        order = LengthGroupedSampler if self.batch_by_length else ShuffledSampler
        return self._loader("train", self.batch_size, sampler=order(lengths, self.batch_size, seed, replicas, rank))

    @property
    def _ranks(self) -> tuple[int, int]:
        """How many ranks read different rows, and which one this is."""
        given = None if self.trainer is None else getattr(self.trainer.strategy, "distributed_sampler_kwargs", None)
        return (1, 0) if given is None else (given["num_replicas"], given["rank"])

    def _padded(self, lengths: np.ndarray) -> np.ndarray:
        return np.full_like(lengths, self.max_length) if self.pad_to_max_length else lengths

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Validation batches; an empty list where there are no validation rows."""
        return self._loader("validation", self.eval_batch_size) if "validation" in self.encoded else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Test batches."""
        return self._loader("test", self.eval_batch_size)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the parts that this rank predicts, made as they are needed; see `part_batches.py`."""
        stream, target = self.sets.stream, self.target
        assert stream is not None
        assert target is not None
        replicas, rank = self._ranks
        part_rows = self.part_rows or part_rows_for(stream.total, self.eval_batch_size, replicas)
        parts = range(-(-stream.total // part_rows))
        batches = PredictDataset(
            stream, target, self.encoded_to_predict, self._collator(), self.eval_batch_size, self.batch_by_length,
            part_rows, parts[rank::replicas], parts if self.parts_left is None else set(self.parts_left),
        )  # fmt: skip
        return DataLoader(batches, batch_size=None, num_workers=self.num_workers, pin_memory=torch.cuda.is_available())

    def encoded_to_predict(self, rows: Rows) -> TokenizedDataset:
        """Rows to be predicted as tokens, without targets."""
        return self._encoded(rows, None, None)

    def no_rows(self) -> TokenizedDataset:
        """No rows to be predicted, encoded: what can be wrong with the options shows, before a model is loaded.

        Raises:
            UserError: if `data.max_length` or `data.long_text` cannot be.
        """
        assert self.sets.stream is not None
        return self.encoded_to_predict(rows_of_texts([], [] if self.sets.stream.columns.text_pair else None))

    def _collator(self) -> Collator:
        on_xla = self.trainer is not None and isinstance(self.trainer.accelerator, XLAAccelerator)
        if on_xla and not self.pad_to_max_length:
            note("data.pad_to_max_length is true on a TPU: each new length would be compiled anew")
            self.pad_to_max_length = True
        pad_to = self.max_length if self.pad_to_max_length else None
        return Collator(self.tokenizer, pad_to, windows=self.long_text.mode == "window")

    def _loader(
        self,
        split: str,
        batch_size: int,
        *,
        sampler: Sampler[int] | None = None,
        batches: Sampler[list[int]] | None = None,
    ) -> DataLoader[Any]:
        if sampler is None and batches is None:
            (replicas, rank), rows = self._ranks, len(self.encoded[split])
            if 0 < rows < replicas:
                raise UserError(f"{split}: {plural(rows, 'row')} for {replicas} ranks; lower trainer.devices")
            window = batch_size * WINDOW_BATCHES if self.batch_by_length else 1
            sampler = SortedWindowSampler(self.encoded[split].lengths, window, replicas, rank)
        kind = ResumableLoader if split == "train" else DataLoader
        return kind(
            self.encoded[split],
            batch_size=batch_size,
            sampler=sampler,
            batch_sampler=batches,
            collate_fn=self._collator(),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def label_counts(self, split: str) -> dict[str, int]:
        """The number of rows of each label in a split; empty if it was not read or has no labels."""
        return label_counts(self.rows[split], self.target) if split in self.rows else {}

    def summary(self) -> str:
        """Task, labels with their counts, and rows, in one line."""
        assert self.target is not None
        rows = ", ".join(f"{plural(len(self.rows[split]), 'row')} {split}" for split in SPLITS if split in self.rows)
        if self.target.task == "regression":
            return f"regression; {rows}"
        counts = self.label_counts("train")
        names = [f"{name} {counts[name]:,}" if name in counts else name for name in self.target.labels]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{self.target.task}, {len(names)} labels ({shown}); {rows}"
