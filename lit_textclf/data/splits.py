"""The rows of each split: read once, held out, sampled and reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from lit_textclf.data.labels.table import TaskOption
from lit_textclf.data.labels.target import Target, decide_target, missing_labels
from lit_textclf.data.readers.custom import custom_readers
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.holdout import folds_of, hold_out, stratified_sample, text_keys
from lit_textclf.data.rows.hub import load_dataset, read_dataset
from lit_textclf.data.rows.read import read_files, stream_files
from lit_textclf.data.rows.rows import Rows, note_limit, report_blank, rows_of_texts
from lit_textclf.data.rows.stream import RowStream, one_chunk
from lit_textclf.utils.messages import UserError, note, plural

SPLITS = ("train", "validation", "test", "predict")
STAGE_SPLITS: dict[str, tuple[str, ...]] = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": (),
}
_SAME_NAME = (
    "dataset_name", "dataset_config_name", "folds", "fold", "allow_blank_text", "task", "labels", "positive_label",
)  # fmt: skip
"""Options that are attributes of :class:`Splits` under the same name."""


def _delimiter_char(delimiter: str | None) -> str | None:
    r"""The character that `data.delimiter` means; `\t` may be typed for a tab."""
    if delimiter is None or len(delimiter) == 1:
        return delimiter
    if delimiter == r"\t":
        return "\t"
    raise UserError(f"data.delimiter {delimiter!r}: must be one character")


@dataclass
class Splits:
    """The rows of each split, and the target, which the training rows decide.

    Attributes:
        files: the value of `data.*_file` for each split.
        dataset_name: a data set to read instead of files.
        dataset_config_name: its configuration.
        dataset_splits: the names of the splits in the data set, where they differ from ours.
        shares: the shares of the training rows to hold out for `validation` and `test`.
        folds: the number of parts of the training rows, one of which is held out for validation instead of a share.
        fold: which part, from 0.
        columns: the names of the columns; the first file fills in those that are not set.
        read_options: encodings and delimiters.
        limits: the most rows to use of each split.
        allow_blank_text: whether training rows may be blank.
        task: the task, or `auto`.
        labels: the labels' names, or None.
        positive_label: the positive one of two labels, for the metrics.
        target: task and labels, once they are known.
        trained_on: the keys of the rows that a checkpoint was trained on, see :meth:`record`.
        texts: texts to predict instead of a file.
        keep_columns: the splits whose rows keep all their columns.
        rows: the rows by split, once read.
        stream: the rows to predict, which are read part by part.
    """

    files: dict[str, str | list[str] | None]
    dataset_name: str | None
    dataset_config_name: str | None
    dataset_splits: dict[str, str]
    shares: dict[str, float | None]
    folds: int | None
    fold: int | None
    columns: ColumnNames
    read_options: ReadOptions
    limits: dict[str, int | None]
    allow_blank_text: bool
    task: TaskOption
    labels: list[str] | None
    positive_label: str | None
    target: Target | None = None
    trained_on: np.ndarray | None = None
    texts: list[str] | None = None
    keep_columns: set[str] = field(default_factory=set)
    rows: dict[str, Rows] = field(default_factory=dict)
    stream: RowStream | None = None
    _record: np.ndarray | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Splits:
        """The splits that the data module's arguments describe, after :func:`check_data` has checked them."""
        label_columns = tuple(options["label_columns"] or ())
        encoding = options["encoding"]
        encodings = (encoding,) if isinstance(encoding, str) else tuple(encoding)
        return cls(
            files={split: options[f"{split}_file"] for split in SPLITS},
            dataset_splits=options["dataset_splits"] or {},
            shares={split: options[f"{split}_split"] for split in ("validation", "test")},
            columns=ColumnNames(
                options["text_column"],
                options["text_pair_column"],
                None if label_columns else options["label_column"],
                options["id_column"],
                labels=label_columns,
            ),
            read_options=ReadOptions(
                encodings or ("utf-8",),
                _delimiter_char(options["delimiter"]),
                options["quote_char"],
                custom_readers(options["readers"]),
            ),
            limits={
                "train": options["max_train_samples"],
                "validation": options["max_eval_samples"],
                "test": options["max_eval_samples"],
                "predict": options["max_predict_samples"],
            },
            **{name: options[name] for name in _SAME_NAME},
        )

    def use_checkpoint(self, target: Target, trained_on: np.ndarray | None, *, id_required: bool) -> None:
        """Uses a checkpoint's target and the keys of its training rows; see :meth:`RowsModule.use_checkpoint`."""
        self.target, self.trained_on = target, trained_on
        self.columns = replace(self.columns, id_required=id_required)

    def read(self, stage: str) -> None:
        """Reads the rows of a stage (`fit`, `validate`, `test`, `predict`) and decides the target, once.

        Raises:
            UserError: for anything wrong in the options or the files.
        """
        if stage == "predict":
            self.stream = self.stream or self._to_predict()
        new = [split for split in STAGE_SPLITS[stage] if split not in self.rows]
        for split in new:
            if split not in self.rows:  # reading `train` may have held out `validation`
                self._read_split(split)
        if stage == "fit" and "train" not in self.rows:
            raise UserError("no training rows: type --data.train_file FILE, or --data.dataset_name NAME")
        if stage == "predict" and self.stream is None:
            raise UserError("no predict rows: type --data.predict_file FILE")
        if stage in ("validate", "test") and (split := STAGE_SPLITS[stage][0]) not in self.rows:
            raise UserError(
                f"no {split} rows: type --data.{split}_file FILE, or --data.train_file FILE and "
                f"--data.{split}_split SHARE"
            )
        if self.target is None:
            raise UserError(f"{stage} uses the labels of a checkpoint: type --ckpt_path FILE")
        if conflict := self.target.conflict(self.task, self.labels):
            raise UserError(conflict)
        if stage in ("validate", "test"):
            for split in new:
                self._refuse_trained_on(split)

    def read_leniently(self) -> tuple[dict[str, Rows], str | None]:
        """Reads all labelled splits for inspection, without raising errors about single rows.

        Returns:
            The rows of train, validation and test, without splits that are missing, and with all columns of the
            training file; and why task and labels cannot be decided, or None.

        Raises:
            UserError: if a file cannot be read, or no training rows are named.
        """
        self.keep_columns = {"train"}
        rows = self._rows_of("train")
        if rows is None:
            raise UserError("no training rows to check: type --data.train_file FILE, or --data.dataset_name NAME")
        problem = None
        labelled = np.setdiff1d(np.arange(len(rows)), missing_labels(rows, self.task))
        if len(labelled) < len(rows):
            problem = f"{plural(len(rows) - len(labelled), 'row')} without a label"
        try:
            self.target = decide_target(rows.take(labelled), self.task, self.labels, self.positive_label)
        except UserError as error:
            problem = str(error)
        splits = {"train": rows}
        if self.target is not None and problem is None and any(self._is_held_out(split) for split in self.shares):
            splits = self._held_out(rows)
        for split in ("validation", "test"):
            if split not in splits and (found := self._rows_of(split, label_required=False)) is not None:
                splits[split] = found
        return {split: splits[split] for split in SPLITS if split in splits}, problem

    def dataset_split(self, split: str) -> str | None:
        """The name of a split in `data.dataset_splits`; `predict` falls back to `test`. None if neither is there."""
        named = self.dataset_splits.get("test") if split == "predict" else None
        return self.dataset_splits.get(split, named)

    def has(self, split: str) -> bool:
        """Whether the options name rows for a split."""
        return (
            self.files[split] is not None or self.dataset_name is not None or (split == "predict" and bool(self.texts))
        )

    def record(self) -> np.ndarray:
        """The training rows' sorted :func:`text_keys`, uint64 `(texts,)`, which a checkpoint stores."""
        if self._record is None:
            self._record = np.unique(text_keys(self.rows["train"]))
        return self._record

    def _read_split(self, split: str) -> None:
        if split == "train" or (self._is_held_out(split) and self.has("train")):
            self._read_training_rows()
        elif (rows := self._rows_of(split)) is not None:
            self._add(split, rows)

    def _to_predict(self) -> RowStream | None:
        """The rows to predict: texts, files or the data set's test split; None if there are none."""
        read: Callable[[], Iterator[Rows]]
        if self.texts is not None:
            read = partial(one_chunk, rows_of_texts(self.texts))
        elif (files := self.files["predict"]) is not None:
            keep = "predict" in self.keep_columns
            read = partial(
                stream_files, files, self.columns, self.read_options, option="data.predict_file", keep_columns=keep
            )
        elif (rows := self._rows_of("predict")) is not None:
            read = partial(one_chunk, rows)
        else:
            return None
        return RowStream(read, "predict", self.limits["predict"])

    def _is_share(self, split: str) -> bool:
        """Whether a split is a share of the training rows."""
        return bool(self.shares.get(split)) and self.files[split] is None

    def _is_held_out(self, split: str) -> bool:
        """Whether a split is held out of the training rows, as a share or as one of the folds."""
        return self._is_share(split) or (split == "validation" and self.folds is not None)

    def _rows_of(self, split: str, *, label_required: bool = True) -> Rows | None:
        """A split's rows from its file or the data set; None if it has neither."""
        file, required = self.files[split], label_required and split != "predict"
        keep = split in self.keep_columns
        if file is not None:
            option = f"data.{split}_file"
            rows = read_files(
                file, self.columns, self.read_options, option=option, label_required=required, keep_columns=keep
            )
        elif self.dataset_name is not None:
            named = self.dataset_split(split)
            found = read_dataset(
                self.dataset_name, self.dataset_config_name, named or ("test" if split == "predict" else split),
                self.columns, label_required=required, keep_columns=keep, split_required=named is not None,
            )  # fmt: skip
            if found is None:
                return None
            rows = found
        else:
            return None
        if split != "predict":
            self.columns = rows.columns
        return rows

    def _read_training_rows(self) -> None:
        """Reads the training rows, decides the target from all of them, and holds out the shares."""
        rows = self._rows_of("train")
        if rows is None:
            return
        if self.target is None:
            self.target = decide_target(rows, self.task, self.labels, self.positive_label)
        if not any(self._is_held_out(split) for split in self.shares):
            self._add("train", rows)
            return
        for split, part in self._held_out(rows).items():
            self._add(split, part)
        if self.dataset_name is not None:
            own = load_dataset(self.dataset_name, self.dataset_config_name)
            for split in self.shares:
                if self._is_held_out(split) and split in own:
                    note(f"{split}: the data set's own {split} rows are not used; training rows are held out")
        parts = ", ".join(f"{plural(len(self.rows[split]), 'row')} {split}" for split in SPLITS if split in self.rows)
        fold = f" (fold {self.fold} of {self.folds})" if self.folds is not None else ""
        note(f"split by a hash of the text{fold}: {parts}")

    def _held_out(self, rows: Rows) -> dict[str, Rows]:
        """Divides training rows into held-out splits and the rest, `train`."""
        shares = {split: self.shares[split] if self._is_share(split) else None for split in ("test", "validation")}
        keys, codes = text_keys(rows), self._codes(rows)
        train, *held = hold_out(keys, codes, shares["test"], shares["validation"])
        parts = {}
        if self.folds is not None:
            of_row = folds_of(keys[train], None if codes is None else codes[train], self.folds)
            parts["validation"] = rows.take(train[of_row == self.fold])
            train = train[of_row != self.fold]
        for split, part in zip(shares, held, strict=True):
            if shares[split]:
                if not len(part):
                    raise UserError(
                        f"data.{split}_split {shares[split]} of {plural(len(rows), 'row')} holds out no row; raise it"
                    )
                parts[split] = rows.take(part)
        return {**parts, "train": rows.take(train)}

    def _refuse_trained_on(self, split: str) -> None:
        """Reports how many rows of a named file the checkpoint was trained on.

        Raises:
            UserError: if the rows were held out with other shares or folds than in training; use the same ones.
        """
        if self.trained_on is None:
            return
        rows = self.rows[split]
        known = np.flatnonzero(np.isin(text_keys(rows), self.trained_on))
        if not len(known):
            return
        first = rows.where(int(known[0]))
        message = f"{split}: {len(known):,} of {plural(len(rows), 'row')} were trained on (first: {first})"
        if self._is_held_out(split):
            raise UserError(
                f"{message}; use the same --data.validation_split, --data.test_split, --data.folds and --data.fold "
                "as in training"
            )
        note(f"{message} (ignoring case and punctuation): these metrics are too optimistic")

    def _codes(self, rows: Rows) -> np.ndarray | None:
        assert self.target is not None
        return self.target.strata(rows)

    def _add(self, split: str, rows: Rows) -> None:
        refuse = split == "train" or (split == "validation" and self.has("train"))
        report_blank(rows, split, refuse=refuse and not self.allow_blank_text)
        limit = self.limits[split]
        if limit is not None and limit < len(rows):
            if split == "train":
                assert self.target is not None
                if limit < (labels := len(self.target.labels)):
                    raise UserError(f"data.max_train_samples {limit}: must be at least {labels}, the number of labels")
                seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
                indices = stratified_sample(self._codes(rows), len(rows), limit, seed)
            else:
                indices = np.arange(limit)
            note_limit(split, limit, len(rows))
            rows = rows.take(indices)
        self.rows[split] = rows
