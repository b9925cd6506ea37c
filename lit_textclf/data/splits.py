"""The rows of each split: read once, held out, sampled and reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lit_textclf.data.labels.table import TaskOption
from lit_textclf.data.labels.target import Target, decide_target, label_counts, missing_labels
from lit_textclf.data.readers.formats import custom_readers
from lit_textclf.data.readers.tables import ReadOptions, delimiter_char
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.holdout import folds_of, hold_out, stratified_sample
from lit_textclf.data.rows.hub import load_dataset, read_dataset
from lit_textclf.data.rows.memory import names_paths, source_of
from lit_textclf.data.rows.read import read_files, stream_files
from lit_textclf.data.rows.rows import Rows, note_limit, report_blank, rows_of_texts
from lit_textclf.data.rows.stream import RowStream
from lit_textclf.data.rows.text_keys import describe_known, text_keys
from lit_textclf.utils.messages import UserError, clean, note, plural
from lit_textclf.utils.paths import states_of_files

SPLITS = ("train", "validation", "test", "predict")
STAGE_SPLITS: dict[str, tuple[str, ...]] = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": (),
}

TOO_OPTIMISTIC = "(ignoring case and punctuation): these metrics are too optimistic"


class Splits:
    """The rows, columns and labels of each split.

    Args:
        options: the arguments of :class:`TextData` by name.

    Attributes:
        rows: the rows read so far, by split.
        stream: the rows to predict, once `predict` has read them.
        target: task and labels, once they are known.
        columns: the columns as the options name them, or as found in the files once these are read.
        read_options: encodings, delimiter and quote character.
        dataset_config_name: the configuration of `data.dataset_name`.
        checkpoint_is_known: whether :meth:`use_checkpoint` was called, as commands do before they read rows.
        allow_blank_text: the option.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.rows: dict[str, Rows] = {}
        self.stream: RowStream | None = None
        self.target: Target | None = None
        names = ("text_column", "text_pair_column", "label_column", "id_column", "label_columns")
        self.columns = ColumnNames.of_options(*(options[name] for name in names))
        self._columns_by_options = self.columns
        encoding = options["encoding"]
        self.read_options = ReadOptions(
            ((encoding,) if isinstance(encoding, str) else tuple(encoding or ())) or ("utf-8",),
            delimiter_char(options["delimiter"]),
            options["quote_char"],
            custom_readers(options["readers"]),
            encoding_is_known=encoding is not None,
        )
        self.dataset_config_name: str | None = options["dataset_config_name"]
        self._dataset_name: str | None = options["dataset_name"]
        self._dataset_splits: dict[str, str] = options["dataset_splits"] or {}
        self._files: dict[str, Any] = {
            split: source_of(options[f"{split}_file"], f"data.{split}_file") for split in SPLITS
        }
        self._folds, self._fold = options["folds"], options["fold"]
        shares = {split: options[f"{split}_split"] for split in ("validation", "test")}
        self._shares = {split: share for split, share in shares.items() if share and self._files[split] is None}
        self._held_out = {*self._shares, *(["validation"] if self._folds is not None else [])}
        self._limits: dict[str, int | None] = {
            "train": options["max_train_samples"],
            "validation": options["max_eval_samples"],
            "test": options["max_eval_samples"],
            "predict": options["max_predict_samples"],
        }
        self.allow_blank_text: bool = options["allow_blank_text"]
        self._task: TaskOption = options["task"]
        self._labels: list[str] | None = options["labels"]
        self._positive_label: str | None = options["positive_label"]
        self._trained_on: np.ndarray | None = None
        self.checkpoint_is_known = False
        self._texts: list[str] | None = None
        self._keep_columns: set[str] = set()
        self._given_target: Target | None = None
        self._read_from: dict[str, dict[str, tuple[int, int]]] = {}
        self._streamed: tuple[Any, ...] = ()

    def files(self, split: str) -> Any:
        """The files that `data.*_file` names for a split; None if it names none, or has rows in memory."""
        return self._files[split] if names_paths(self._files[split]) else None

    def has(self, split: str) -> bool:
        """Whether the options name rows for a split."""
        texts = split == "predict" and bool(self._texts)
        return self._files[split] is not None or self._dataset_name is not None or texts

    @property
    def labels_are_names(self) -> bool:
        """Whether the options say that labels are names, even if they look like numbers."""
        return self._task == "single_label" or self._labels is not None

    def dataset_split(self, split: str) -> str | None:
        """The name of a split in `data.dataset_splits`; `predict` falls back to `test`. None if neither is there."""
        named = self._dataset_splits.get("test") if split == "predict" else None
        return self._dataset_splits.get(split, named)

    def predict_texts(self, texts: Sequence[str] | None) -> None:
        """Makes `predict` read these texts instead of `data.predict_file`; with None, the file again."""
        self._texts = None if texts is None else list(texts)

    def predict_file(self, file: Path) -> None:
        """Makes `predict` read this file instead of those of `data.predict_file`."""
        self._files["predict"], self.stream = file, None

    def keep_columns(self, *splits: str) -> None:
        """Keeps all columns of these splits' rows, and of no others."""
        self._keep_columns = set(splits)

    def use_checkpoint(self, target: Target, trained_on: np.ndarray | None, *, id_required: bool = True) -> None:
        """Uses what a checkpoint stores about its training rows.

        Args:
            target: its task and labels.
            trained_on: the keys of its training rows, uint64 `(texts,)`; None if it has none.
            id_required: whether a missing id column is an error.
        """
        self.target = self._given_target = target
        self._trained_on, self.checkpoint_is_known = trained_on, True
        self.columns = replace(self.columns, id_required=id_required)

    def read(self, stage: str) -> None:
        """Reads the rows of a stage and decides task and labels, once; needs no tokenizer.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Raises:
            UserError: for an error in the options or the files, or for rows that the checkpoint was trained on.
        """
        self.forget_changed_files()
        if stage == "predict":
            self._read_stream()
        new = [split for split in STAGE_SPLITS[stage] if split not in self.rows]
        for split in new:
            if split in self.rows:  # reading `train` may have held out `validation`
                continue
            if split == "train" or (split in self._held_out and self.has("train")):
                self._read_training_rows()
            elif (rows := self._rows_of(split)) is not None:
                self._add(split, rows)
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
            raise UserError(f"{str.__str__(stage)} uses the labels of a checkpoint: type --ckpt_path FILE")
        if conflict := self.target.conflict(self._task, self._labels):
            raise UserError(conflict)
        if stage in ("validate", "test"):
            for split in new:
                self._refuse_trained_on(split)

    def use_target(self, target: Target | None) -> None:
        """Uses a classifier's target, or with None that of the training rows; reads the rows again if it is another."""
        if target == self.target or (target is None and self._given_target is None):
            return
        self._given_target = target
        self.forget()

    def forget(self) -> None:
        """Forgets all rows, so that they are read again, and a target that was decided from them."""
        self.rows.clear()
        self._read_from.clear()
        self.stream, self.target = None, self._given_target
        self.columns = replace(self._columns_by_options, id_required=self.columns.id_required)

    def forget_changed_files(self) -> None:
        """Forgets rows whose files have changed on disk since they were read."""
        for split, before in self._read_from.items():
            now = states_of_files(self.files(split))
            if changed := [path for path, state in now.items() if state != before.get(path)]:
                note(f"{changed[0]}: has changed since it was read, and is read again")
                self.forget()
                return

    def _read_stream(self) -> None:
        """Reads the rows to predict, unless the same ones have been read."""
        asked = (self._texts, "predict" in self._keep_columns, states_of_files(self.files("predict")))
        if self.stream is None or self._streamed != asked:
            self.stream, self._streamed = self._to_predict(), asked

    def read_leniently(self) -> tuple[dict[str, Rows], str | None]:
        """Reads all labelled splits for inspection, without raising errors about single rows.

        Returns:
            The rows of train, validation and test, without splits that are missing, and with all columns of the
            training file; and why task and labels cannot be decided, or None.

        Raises:
            UserError: if a file cannot be read, or no training rows are named.
        """
        self.keep_columns("train")
        rows = self._rows_of("train")
        if rows is None:
            raise UserError("no training rows to check: type --data.train_file FILE, or --data.dataset_name NAME")
        problem = None
        labelled = np.setdiff1d(np.arange(len(rows)), missing_labels(rows, self._task))
        if len(labelled) < len(rows):
            problem = f"{plural(len(rows) - len(labelled), 'row')} without a label"
        try:
            self.target = decide_target(rows.take(labelled), self._task, self._labels, self._positive_label)
        except UserError as error:
            problem = str(error)
        splits = {"train": rows}
        if self.target is not None and problem is None and self._held_out:
            splits = self._divided(rows)
        for split in ("validation", "test"):
            if split not in splits and (found := self._rows_of(split, label_required=False)) is not None:
                splits[split] = found
        return {split: splits[split] for split in SPLITS if split in splits}, problem

    def _to_predict(self) -> RowStream | None:
        """The rows to predict: texts, files or the data set's test split; None if there are none."""
        read: Callable[[], Iterator[Rows]]
        if self._texts is not None:
            read = partial(iter, [rows_of_texts(self._texts)])
        elif (files := self._files["predict"]) is not None:
            keep = "predict" in self._keep_columns
            read = partial(
                stream_files, files, self.columns, self.read_options, option="data.predict_file", keep_columns=keep
            )
        elif (rows := self._rows_of("predict")) is not None:
            read = partial(iter, [rows])
        else:
            return None
        return RowStream(read, "predict", self._limits["predict"])

    def _rows_of(self, split: str, *, label_required: bool = True) -> Rows | None:
        """A split's rows from its file or the data set; None if it has neither."""
        file, required = self._files[split], label_required and split != "predict"
        keep = split in self._keep_columns
        rows: Rows | None = None
        if file is not None:
            option = f"data.{split}_file"
            rows = read_files(
                file, self.columns, self.read_options, option=option, label_required=required, keep_columns=keep
            )
        elif self._dataset_name is not None:
            named = self.dataset_split(split)
            rows = read_dataset(
                self._dataset_name, self.dataset_config_name, named or ("test" if split == "predict" else split),
                self.columns, label_required=required, keep_columns=keep, split_required=named is not None,
            )  # fmt: skip
        if rows is not None and split != "predict":
            self.columns = rows.columns
            self._read_from[split] = states_of_files(self.files(split))
        return rows

    def _read_training_rows(self) -> None:
        """Reads the training rows, decides the target from all of them, and holds out the shares."""
        rows = self._rows_of("train")
        if rows is None:
            return
        decided = self.target is None
        if self.target is None:
            self.target = decide_target(rows, self._task, self._labels, self._positive_label)
        for split, part in (self._divided(rows) if self._held_out else {"train": rows}).items():
            self._add(split, part)
        if decided:
            self.target = self.target.scaled_to(self.rows["train"])
        if not self._held_out:
            return
        if self._dataset_name is not None:
            own = load_dataset(self._dataset_name, self.dataset_config_name)
            for split in ("validation", "test"):
                if split in self._held_out and split in own:
                    note(f"{split}: the data set's own {split} rows are not used; training rows are held out")
        fold = f" (fold {self._fold} of {self._folds})" if self._folds is not None else ""
        note(f"split by a hash of the text{fold}: {self._rows_by_split()}")

    def _divided(self, rows: Rows) -> dict[str, Rows]:
        """Divides training rows into held-out splits and the rest, `train`."""
        assert self.target is not None
        shares = {split: self._shares.get(split) for split in ("test", "validation")}
        keys, codes = text_keys(rows), self.target.strata(rows)
        train, *held = hold_out(keys, codes, shares["test"], shares["validation"])
        parts = {}
        if self._folds is not None:
            of_row = folds_of(keys[train], None if codes is None else codes[train], self._folds)
            parts["validation"] = rows.take(train[of_row == self._fold])
            train = train[of_row != self._fold]
        for (split, share), part in zip(shares.items(), held, strict=True):
            if share:
                if not len(part):
                    if codes is not None and len(np.unique(codes)) == len(rows) > 2:
                        raise UserError(
                            f"data.{split}_split {share}: each of the {len(rows):,} labels has one row; is this a "
                            f"regression (data.task), or {rows.columns.label_name!r} the wrong data.label_column?"
                        )
                    raise UserError(
                        f"data.{split}_split {share} of {plural(len(rows), 'row')} holds out no row; raise it, or "
                        "remove it (each label keeps rows to train on)"
                    )
                parts[split] = rows.take(part)
        return {**parts, "train": rows.take(train)}

    def _refuse_trained_on(self, split: str) -> None:
        """Reports how many rows of a named file the checkpoint was trained on.

        Raises:
            UserError: if the rows were held out with other shares or folds than in training; use the same ones.
        """
        if self._trained_on is None or not (found := describe_known(self.rows[split], self._trained_on, split)):
            return
        if split in self._held_out:
            raise UserError(
                f"{found}; use the same --data.validation_split, --data.test_split, --data.folds and --data.fold "
                "as in training"
            )
        note(f"{found} {TOO_OPTIMISTIC}")

    def _add(self, split: str, rows: Rows) -> None:
        refuse = split == "train" or (split == "validation" and self.has("train"))
        report_blank(rows, split, refuse=refuse and not self.allow_blank_text)
        limit = self._limits[split]
        if limit is not None and limit < len(rows):
            if split == "train":
                assert self.target is not None
                if limit < (labels := len(self.target.labels)):
                    raise UserError(f"data.max_train_samples {limit}: must be at least {labels}, the number of labels")
                seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
                indices = stratified_sample(self.target.strata(rows), len(rows), limit, seed)
            else:
                indices = np.arange(limit)
            note_limit(split, limit, len(rows))
            rows = rows.take(indices)
        self.rows[split] = rows

    def _rows_by_split(self) -> str:
        return ", ".join(f"{plural(len(self.rows[split]), 'row')} {split}" for split in SPLITS if split in self.rows)

    def label_counts(self, split: str) -> dict[str, int]:
        """The number of rows of each label in a split; empty if it was not read or has no labels."""
        return label_counts(self.rows[split], self.target) if split in self.rows else {}

    def summary(self) -> str:
        """Task, labels with their counts, and rows, in one line."""
        assert self.target is not None
        rows = self._rows_by_split()
        if not self.target.has_probabilities:
            return f"regression; {rows}"
        counts = self.label_counts("train")
        names = [f"{clean(name)} {counts[name]:,}" if name in counts else clean(name) for name in self.target.labels]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{self.target.task}, {len(names)} labels ({shown}); {rows}"
