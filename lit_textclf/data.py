"""The data module: from files to batches, one room after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from lit_textclf.batches import Collator, EncodedRows, Template
from lit_textclf.errors import UserError, count, say
from lit_textclf.labels import Target, TaskOption, decide_target, label_counts
from lit_textclf.rows import ColumnNames, ReadOptions, Rows, read_dataset, read_files, rows_of_texts
from lit_textclf.rows.read import report_blank
from lit_textclf.splits import hold_out, stratified_sample, text_keys
from lit_textclf.tokens import TokenColumn, default_cache_dir, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPLITS = ("train", "validation", "test", "predict")
_STAGE_SPLITS = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": ("predict",),
}
CARRIED = (
    "text_column",
    "text_pair_column",
    "label_column",
    "id_column",
    "task",
    "labels",
    "positive_label",
    "max_length",
)
"""Options that shape what the model sees: a checkpoint carries them."""


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
        validation_split: share of the training rows held out for validation where no such file is given; stratified,
            by a hash of the text, so that equal texts stay together
        test_split: likewise for test
        text_column: the column that the model reads; null finds text, text_a and text_b, sentence, or sentence1 and
            sentence2
        text_pair_column: the second text's column, for pairs
        label_column: the labels' column
        id_column: a column that predictions carry along
        encoding: the files' encoding; of a list each is tried in order, file by file
        delimiter: what stands between columns; null goes by the file's ending
        quote_char: what stands around a text with a delimiter in it; an empty string if quotes mean nothing
        task: single_label or regression; auto decides from the labels, and says so
        labels: the labels' names in order; null takes them from the training rows, sorted
        positive_label: with two labels, the one that val_f1, val_precision, val_recall and val_auroc speak of; null
            means the last
        max_length: the most tokens that are read of a row, special tokens counted
        pad_to_max_length: pad to max_length, not to each batch's longest row
        batch_size: rows of a training batch, per device
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
        validation_split: float | None = None,
        test_split: float | None = None,
        text_column: str | None = None,
        text_pair_column: str | None = None,
        label_column: str = "label",
        id_column: str | None = None,
        encoding: str | list[str] = "utf-8",
        delimiter: str | None = None,
        quote_char: str = '"',
        task: TaskOption = "auto",
        labels: list[str] | None = None,
        positive_label: str | None = None,
        max_length: int = 256,
        pad_to_max_length: bool = False,
        batch_size: int = 32,
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
        self.files = {
            "train": train_file, "validation": validation_file, "test": test_file, "predict": predict_file,
        }  # fmt: skip
        self.dataset_name, self.dataset_config_name = dataset_name, dataset_config_name
        self.shares = {"validation": validation_split, "test": test_split}
        self.columns = ColumnNames(text_column, text_pair_column, label_column, id_column)
        encodings = (encoding,) if isinstance(encoding, str) else tuple(encoding)
        self.read_options = ReadOptions(encodings or ("utf-8",), _delimiter(delimiter), quote_char)
        self.task, self.labels, self.positive_label = task, labels, positive_label
        self.max_length, self.pad_to_max_length = max_length, pad_to_max_length
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.allow_blank_text = allow_blank_text
        self.limits = {
            "train": max_train_samples, "validation": max_eval_samples, "test": max_eval_samples,
            "predict": max_predict_samples,
        }  # fmt: skip
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        self.predict_texts: list[str] | None = None
        self.keep_columns = False
        self.target: Target | None = None
        self.rows: dict[str, Rows] = {}
        self.encoded: dict[str, EncodedRows] = {}
        self._tokenizer = tokenizer
        self._max_tokens: int | None = None
        _check_numbers(self)

    # Reading ----------------------------------------------------------------------------------------------------------

    def read(self, stage: str) -> None:
        """Reads the rows of a stage (`fit`, `validate`, `test`, `predict`) and decides the target, once.

        Raises:
            UserError: for anything wrong in the options or the files.
        """
        for split in _STAGE_SPLITS[stage]:
            if split not in self.rows:
                self._read_split(split)
        if stage == "fit" and "train" not in self.rows:
            raise UserError("no training rows: set data.train_file, or data.dataset_name")
        if stage != "fit" and _STAGE_SPLITS[stage][0] not in self.rows:
            split = _STAGE_SPLITS[stage][0]
            also = "" if split == "predict" else f", or data.train_file and data.{split}_split"
            raise UserError(f"no {split} rows: set data.{split}_file{also}")
        if self.target is None:
            if "train" not in self.rows:
                raise UserError(f"{stage} needs a checkpoint, whose labels it uses: set --ckpt_path")
            self.target = decide_target(self.rows["train"], self.task, self.labels, self.positive_label)
        elif conflict := self.target.conflict(self.task, self.labels):
            raise UserError(conflict)
        columns = self.columns
        self.hparams.update(
            text_column=columns.text, text_pair_column=columns.text_pair, task=self.target.task,
            labels=list(self.target.labels) or None, positive_label=self.target.positive_label,
        )  # fmt: skip

    def _read_split(self, split: str) -> None:
        if split == "predict" and self.predict_texts is not None:
            self.rows[split] = rows_of_texts(self.predict_texts)
            return
        rows = self._rows_of(split)
        if rows is None and split in ("validation", "test"):
            if self.shares[split] and self._has("train"):
                self._split_training_rows()
            return
        if rows is None:
            return
        if split == "train" and any(self._shared(part) for part in self.shares):
            self._split_training_rows(rows)
        else:
            self._add(split, rows)

    def _has(self, split: str) -> bool:
        return self.files[split] is not None or self.dataset_name is not None

    def _shared(self, split: str) -> bool:
        """Whether a split is a share of the training rows."""
        return bool(self.shares[split]) and self.files[split] is None

    def _rows_of(self, split: str) -> Rows | None:
        """A split's rows from its file or the data set, None where there is neither."""
        file, required = self.files[split], split != "predict"
        if file is not None:
            rows = read_files(
                file, self.columns, self.read_options, option=f"data.{split}_file", label_required=required,
                keep_columns=self.keep_columns and split == "predict",
            )  # fmt: skip
        elif self.dataset_name is not None and not (self.shares.get(split)):
            found = read_dataset(
                self.dataset_name, self.dataset_config_name, "test" if split == "predict" else split, self.columns,
                label_required=required, keep_columns=self.keep_columns and split == "predict",
            )  # fmt: skip
            if found is None:
                return None
            rows = found
        else:
            return None
        if split != "predict":
            self.columns = rows.columns
        return rows

    def _split_training_rows(self, rows: Rows | None = None) -> None:
        """Holds out the shares of the training rows; all sides are known then."""
        rows = rows or self._rows_of("train")
        assert rows is not None
        shares = {split: self.shares[split] if self._shared(split) else None for split in ("test", "validation")}
        codes = _label_codes(rows) if self._is_classification(rows) else None
        train, *held = hold_out(text_keys(rows), codes, *shares.values())
        for split, part in zip(shares, held, strict=True):
            if shares[split]:
                if not len(part):
                    raise UserError(f"data.{split}_split {shares[split]} of {count(len(rows), 'row')} holds out no row")
                self._add(split, rows.take(part))
        self._add("train", rows.take(train))
        parts = ", ".join(f"{count(len(self.rows[split]), 'row')} {split}" for split in SPLITS if split in self.rows)
        say(f"split by a hash of the text: {parts}")

    def _is_classification(self, rows: Rows) -> bool:
        if self.target is not None:
            return self.target.task != "regression"
        return decide_target(rows, self.task, self.labels, self.positive_label).task != "regression"

    def _add(self, split: str, rows: Rows) -> None:
        refuse = split == "train" or (split == "validation" and self._has("train"))
        report_blank(rows, split, refuse=refuse and not self.allow_blank_text)
        limit = self.limits[split]
        if limit is not None and limit < len(rows):
            if split == "train":
                codes = _label_codes(rows) if rows.label is not None and self._is_classification(rows) else None
                indices = stratified_sample(codes, len(rows), limit, int(os.environ.get("PL_GLOBAL_SEED", "0")))
            else:
                indices = np.arange(limit)
            say(f"{split}: {limit:,} of {count(len(rows), 'row')} used (data.max_*_samples)")
            rows = rows.take(indices)
        self.rows[split] = rows

    # Tokens and batches -----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Reads, tokenizes and encodes the rows of a stage; called by the Trainer, or by hand without one.

        Raises:
            UserError: for anything wrong in the options or the files, or an unknown label.
        """
        if self.trainer is not None:
            classifier: Any = self.trainer.lightning_module
            self._tokenizer = self._tokenizer or classifier.tokenizer
            self._max_tokens = classifier.max_tokens
            self.target = self.target or classifier.target
        self._check_max_length()
        self.read(stage)
        for split in _STAGE_SPLITS[stage]:
            if split in self.rows and split not in self.encoded:
                self.encoded[split] = self._encode(split)

    def _encode(self, split: str) -> EncodedRows:
        rows = self.rows[split]
        assert self.target is not None
        targets = _targets_if_all(self.target, rows) if split == "predict" else self.target.encode(rows)
        cache_dir = None if split == "predict" else self.cache_dir
        tokens = tokenize(rows.text, self.tokenizer, cache_dir)
        pairs: TokenColumn | None = None
        if rows.text_pair is not None:
            pairs = tokenize(rows.text_pair, self.tokenizer, cache_dir)
        encoded = EncodedRows(tokens, pairs, Template.of(self.tokenizer), self.max_length, targets)
        share = encoded.truncated / max(1, len(encoded))
        say(
            f"{split}: {count(len(encoded), 'row')}, {encoded.truncated:,} ({share:.1%}) truncated to "
            f"{self.max_length} tokens"
        )
        return encoded

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer in use."""
        if self._tokenizer is None:
            raise UserError(
                "TextDataModule has no tokenizer: give it one, or use it with a Trainer and a TextClassifier"
            )
        return self._tokenizer

    def _check_max_length(self) -> None:
        if self._max_tokens is not None and self.max_length > self._max_tokens:
            raise UserError(
                f"data.max_length {self.max_length}: the model has positions for {self._max_tokens} tokens "
                "(max_position_embeddings); lower data.max_length"
            )

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, shuffled anew each epoch."""
        return self._loader("train", self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Validation batches in input order; an empty list where there are no validation rows."""
        return self._loader("validation", self.eval_batch_size) if "validation" in self.encoded else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Test batches, in input order."""
        return self._loader("test", self.eval_batch_size)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches to be predicted, in input order."""
        return self._loader("predict", self.eval_batch_size)

    def _loader(self, split: str, batch_size: int, *, shuffle: bool = False) -> DataLoader[Any]:
        return DataLoader(
            self.encoded[split],
            batch_size=batch_size,
            shuffle=shuffle,
            collate_fn=Collator(self.tokenizer, self.max_length if self.pad_to_max_length else None),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def label_counts(self, split: str) -> dict[str, int]:
        """The number of rows of each label in a split; empty if it was not read or has no labels."""
        return label_counts(self.rows[split]) if split in self.rows else {}

    def summary(self) -> str:
        """Task, labels with their counts, and rows, in one line."""
        assert self.target is not None
        rows = ", ".join(f"{count(len(self.rows[split]), 'row')} {split}" for split in SPLITS if split in self.rows)
        if self.target.task == "regression":
            return f"regression; {rows}"
        counts = self.label_counts("train")
        names = [f"{name} {counts[name]:,}" if name in counts else name for name in self.target.labels]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{self.target.task}, {len(names)} labels ({shown}); {rows}"


def _targets_if_all(target: Target, rows: Rows) -> np.ndarray | None:
    """Targets of rows to be predicted, if every one has a label; says why not where only some have."""
    if rows.label is None or len(rows.unlabelled()) == len(rows):
        return None
    try:
        return target.encode(rows)
    except UserError as error:
        say(f"no metrics of the predictions: {error}")
        return None


def _label_codes(rows: Rows) -> np.ndarray:
    """Class indices by sorted name, only to keep classes apart; -1 without a label."""
    assert rows.label is not None
    encoded = rows.label.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    rank = {name: place for place, name in enumerate(sorted(names))}
    ranks = np.array([rank[name] for name in names] + [-1])
    return np.asarray(ranks[encoded.indices.fill_null(len(names)).to_numpy()])


def _delimiter(delimiter: str | None) -> str | None:
    if delimiter is None or len(delimiter) == 1:
        return delimiter
    if delimiter == "\\t":
        return "\t"
    raise UserError(f"data.delimiter {delimiter!r}: one character is needed")


def _check_numbers(data: TextDataModule) -> None:
    positive: Sequence[tuple[str, int | None]] = (
        ("batch_size", data.batch_size),
        ("eval_batch_size", data.eval_batch_size),
        ("max_train_samples", data.limits["train"]),
        ("max_eval_samples", data.limits["test"]),
        ("max_predict_samples", data.limits["predict"]),
    )
    for name, value in positive:
        if value is not None and value < 1:
            raise UserError(f"data.{name} {value}: at least 1 is needed")
    if data.num_workers < 0:
        raise UserError(f"data.num_workers {data.num_workers}: below 0")
    if data.max_length < 3:
        raise UserError(f"data.max_length {data.max_length}: at least 3 is needed, two special tokens and one of text")
    if len(data.read_options.quote_char) > 1:
        raise UserError(f"data.quote_char {data.read_options.quote_char!r}: one character is needed, or none")
    for split, share in data.shares.items():
        if share is not None and not 0 <= share < 1:
            raise UserError(f"data.{split}_split {share}: a share between 0 and 1 is needed")
        if share and data.files[split] is not None:
            say(f"data.{split}_split is not used: data.{split}_file is set")
