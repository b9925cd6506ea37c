"""The rows of the data module: what its options name, and what was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from lit_textclf.data.labels.target import Target, label_counts
from lit_textclf.data.readers.tables import ReadOptions
from lit_textclf.data.rows.columns import ColumnNames
from lit_textclf.data.rows.rows import Rows
from lit_textclf.data.rows.stream import RowStream
from lit_textclf.data.splits import SPLITS, Splits
from lit_textclf.utils.messages import note, plural


class RowsModule(LightningDataModule):
    """The part of the data module that knows rows, columns and labels, but not tokens and batches.

    Args:
        splits: the rows of each split, not read yet.
    """

    def __init__(self, splits: Splits) -> None:
        super().__init__()
        self._splits = splits

    @property
    def rows(self) -> dict[str, Rows]:
        """The rows read so far, by split."""
        return self._splits.rows

    @property
    def target(self) -> Target | None:
        """Task and labels, once they are known."""
        return self._splits.target

    @property
    def columns(self) -> ColumnNames:
        """The columns as the options name them, or as found in the files once these are read."""
        return self._splits.columns

    @property
    def read_options(self) -> ReadOptions:
        """Encodings, delimiter and quote character."""
        return self._splits.read_options

    @property
    def dataset_config_name(self) -> str | None:
        """The configuration of `data.dataset_name`."""
        return self._splits.dataset_config_name

    @property
    def stream(self) -> RowStream | None:
        """The rows to predict, once `predict` has read them."""
        return self._splits.stream

    def files(self, split: str) -> str | list[str] | None:
        """The files that `data.*_file` names for a split; None if it names none."""
        return self._splits.files[split]

    def has(self, split: str) -> bool:
        """Whether the options name rows for a split."""
        return self._splits.has(split)

    def dataset_split(self, split: str) -> str | None:
        """The name of a split in `data.dataset_splits`; None if it is not there."""
        return self._splits.dataset_split(split)

    def predict_texts(self, texts: Sequence[str]) -> None:
        """Makes `predict` read these texts instead of `data.predict_file`."""
        self._splits.texts = list(texts)

    def keep_columns(self, *splits: str) -> None:
        """Keeps all columns of these splits' rows, and of no others."""
        self._splits.keep_columns = set(splits)

    def use_checkpoint(self, target: Target, trained_on: np.ndarray | None, *, id_required: bool = True) -> None:
        """Uses what a checkpoint stores about its training rows.

        Args:
            target: its task and labels.
            trained_on: the keys of its training rows, uint64 `(texts,)`; None if it has none.
            id_required: whether a missing id column is an error.
        """
        self._splits.use_checkpoint(target, trained_on, id_required=id_required)

    def read(self, stage: str) -> None:
        """Reads the rows of a stage and decides task and labels, once; needs no tokenizer.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Raises:
            UserError: for an error in the options or the files, or for rows that the checkpoint was trained on.
        """
        self._splits.read(stage)

    def read_leniently(self) -> tuple[dict[str, Rows], str | None]:
        """Reads all splits for inspection; see :meth:`Splits.read_leniently`."""
        return self._splits.read_leniently()

    def state_dict(self) -> dict[str, Any]:
        """The keys of the training rows, int64 `(texts,)`, by which a checkpoint recognizes them."""
        if "train" not in self.rows:
            return {}
        return {"trained_on": torch.from_numpy(self._splits.record().view(np.int64))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Reports how the training rows of a resumed run differ from those in its checkpoint."""
        saved = state_dict.get("trained_on")
        if saved is not None and "train" in self.rows:
            then, now = saved.numpy(), self.state_dict()["trained_on"].numpy()
            added, gone = len(np.setdiff1d(now, then)), len(np.setdiff1d(then, now))
            if added or gone:
                note(f"training rows: {plural(added, 'text')} new since the checkpoint, {gone:,} no longer there")

    def label_counts(self, split: str) -> dict[str, int]:
        """The number of rows of each label in a split; empty if it was not read or has no labels."""
        return label_counts(self.rows[split], self.target) if split in self.rows else {}

    def summary(self) -> str:
        """Task, labels with their counts, and rows, in one line."""
        assert self.target is not None
        rows = ", ".join(f"{plural(len(self.rows[split]), 'row')} {split}" for split in SPLITS if split in self.rows)
        if not self.target.has_probabilities:
            return f"regression; {rows}"
        counts = self.label_counts("train")
        names = [f"{name} {counts[name]:,}" if name in counts else name for name in self.target.labels]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{self.target.task}, {len(names)} labels ({shown}); {rows}"
