"""The data module: from files to batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.accelerators import XLAAccelerator
from torch.utils.data import DataLoader, Sampler

from lit_textclf.data.batches.collate import Collator
from lit_textclf.data.batches.dataset import WINDOW_BATCHES, TokenizedDataset
from lit_textclf.data.batches.loaders import ResumableLoader
from lit_textclf.data.batches.parts import part_rows_for
from lit_textclf.data.batches.predict_dataset import PredictDataset
from lit_textclf.data.batches.samplers import SortedWindowSampler, make_sampler
from lit_textclf.data.encoded_data import EncodedData, ReadsText
from lit_textclf.data.options import CARRIED
from lit_textclf.data.rows.holdout import stratified_sample
from lit_textclf.data.rows.text_keys import text_keys
from lit_textclf.data.splits import STAGE_SPLITS
from lit_textclf.data.trainer import evaluating_trainer, is_left_over, note_trained_on
from lit_textclf.utils.messages import UserError, note, plural


class TextDataModule(EncodedData, LightningDataModule):
    """Rows of text with labels, tokenized, and in batches that are padded to their longest row.

    Takes the arguments of :class:`TextData`.
    """

    def _take_over(self, options: Mapping[str, Any]) -> None:
        super()._take_over(options)
        self.save_hyperparameters(*CARRIED)
        self._parts: Callable[[], tuple[int, Sequence[int]]] | None = None

    def prepare(self, stage: str, classifier: ReadsText | None = None) -> None:
        """See :meth:`EncodedData.prepare`; hyper-parameters are then what was decided from the rows."""
        super().prepare(stage, classifier)
        self.hparams.update(self.carried)

    def forget(self) -> None:
        """Forgets rows and token ids."""
        super().forget()
        self.__dict__.pop("_training_keys", None)

    def setup(self, stage: str | None = None) -> None:
        """Reads, tokenizes and encodes the rows of a stage; called by the Trainer, or by hand without one.

        Any LightningModule can be trained on the batches, see :class:`Batch`; one that is not a TextClassifier needs
        this data module's own `tokenizer`.
        """
        if not is_left_over(self):
            self._prepare_for_trainer(stage or "fit")

    def _prepare_for_trainer(self, stage: str) -> None:
        module = None if self.trainer is None else self.trainer.lightning_module
        reads_text = all(hasattr(type(module), name) for name in ("tokenizer", "max_tokens"))
        self.prepare(stage, module if reads_text else None)  # type: ignore[arg-type]

    @cached_property
    def _training_keys(self) -> torch.Tensor:
        return torch.from_numpy(np.unique(text_keys(self.rows["train"])).view(np.int64))

    def state_dict(self) -> dict[str, Any]:
        """The keys of the training rows, int64 `(texts,)`, by which a checkpoint recognizes them."""
        return {"trained_on": self._training_keys} if "train" in self.rows else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Reports how the training rows of a resumed run differ from those in its checkpoint."""
        saved = None if is_left_over(self) else state_dict.get("trained_on")
        if saved is not None and "train" in self.rows:
            then, now = saved.numpy(), self._training_keys.numpy()
            added, gone = len(np.setdiff1d(now, then)), len(np.setdiff1d(then, now))
            if added or gone:
                note(f"training rows: {plural(added, 'text')} new since the checkpoint, {gone:,} no longer there")

    def _follow_checkpoint(self, stage: str) -> None:
        """Reads texts as a checkpoint did that Lightning loaded after `setup`, and reports rows it was trained on."""
        trainer = evaluating_trainer(self)
        if trainer is None or self.checkpoint_is_known:
            return
        if trainer.ckpt_path is not None:
            self._prepare_for_trainer(stage)
        for split in STAGE_SPLITS[stage]:
            note_trained_on(trainer.lightning_module, split, self.rows[split])

    def train_dataloader(self) -> DataLoader[Any]:
        """Training batches, in a new order each epoch; see :data:`SAMPLERS`."""
        default = "length_grouped" if self.batch_by_length else "shuffled"
        lengths, size = self.encoded["train"].lengths, self.batch_size
        if self.max_tokens_per_batch is not None:
            default, size = "token_budget", self.max_tokens_per_batch
            if self.pad_to_max_length:  # each row takes as much of the budget
                lengths = np.full_like(lengths, self.max_length)
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        sampler = make_sampler(self.sampler or default, lengths, size, seed, *self._ranks)
        return self._loader("train", self.batch_size, sampler)

    def probe_dataloader(self, most_rows: int, most_tokens: int) -> DataLoader[Any]:
        """Training rows by length, the same on every rank; a stratified sample of more rows or tokens.

        With `trainer.limit_train_batches` and the like, as many rows as one epoch trains on.
        """
        encoded, rows = self.encoded["train"], np.arange(len(self.rows["train"]))
        most = min(most_rows, max(1, int(most_tokens / encoded.lengths.mean())))
        if self.trainer is not None:
            batches = self.trainer.num_training_batches * self._ranks[0]
            most = int(min(most, batches * self.batch_size))
        if most < len(rows):
            assert self.target is not None
            rows = stratified_sample(self.target.strata(self.rows["train"]), len(rows), most, seed=0)
        order = rows[np.argsort(-encoded.lengths[rows], kind="stable")]
        return DataLoader(encoded, self.eval_batch_size, sampler=order.tolist(), collate_fn=self._collator())

    @property
    def _ranks(self) -> tuple[int, int]:
        """How many ranks read different rows, and which one this is."""
        given = None if self.trainer is None else getattr(self.trainer.strategy, "distributed_sampler_kwargs", None)
        return (1, 0) if given is None else (given["num_replicas"], given["rank"])

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Validation batches; an empty list without validation rows."""
        self._follow_checkpoint("validate")
        return self._eval_loader("validation") if "validation" in self.encoded else []

    def test_dataloader(self) -> DataLoader[Any]:
        """Test batches."""
        self._follow_checkpoint("test")
        return self._eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Batches of the parts that this rank predicts, made as they are needed; see :class:`PredictDataset`."""
        self._follow_checkpoint("predict")
        stream, target = self.stream, self.target
        assert stream is not None
        assert target is not None
        replicas, rank = self._ranks
        part_rows = part_rows_for(stream.total, self.eval_batch_size, replicas)
        part_rows, left = (part_rows, None) if self._parts is None else self._parts()
        parts = range(-(-stream.total // part_rows))
        encode = partial(
            TokenizedDataset, tokenizer=self.tokenizer, max_length=self.max_length, long_text=self.long_text
        )
        batches = PredictDataset(
            stream, target, encode, self._collator(), self.eval_batch_size, self.batch_by_length,
            self.batch_by_length and self._parts is not None, part_rows, parts[rank::replicas],
            parts if left is None else set(left),
        )  # fmt: skip
        return DataLoader(batches, batch_size=None, num_workers=self.num_workers, pin_memory=torch.cuda.is_available())

    def predict_parts(self, parts: Callable[[], tuple[int, Sequence[int]]] | None) -> None:
        """Sets what `predict` predicts; rows of a part that are equal are then computed once.

        Args:
            parts: called when the loader is made; returns the rows of a part, and the parts (from 0) that are left.
                None predicts all rows.
        """
        self._parts = parts

    def _collator(self) -> Collator:
        on_xla = self.trainer is not None and isinstance(self.trainer.accelerator, XLAAccelerator)
        if on_xla and not self.pad_to_max_length:
            note("data.pad_to_max_length is true on a TPU: each new length would be compiled again")
            self.pad_to_max_length = True
        pad_to = self.max_length if self.pad_to_max_length else None
        return Collator(self.tokenizer, pad_to, windows=self.long_text.mode == "window")

    def _eval_loader(self, split: str) -> DataLoader[Any]:
        (replicas, rank), lengths = self._ranks, self.encoded[split].lengths
        if 0 < len(lengths) < replicas:
            raise UserError(f"{split}: {plural(len(lengths), 'row')} for {replicas} ranks; lower --trainer.devices")
        window = self.eval_batch_size * WINDOW_BATCHES if self.batch_by_length else 1
        return self._loader(split, self.eval_batch_size, SortedWindowSampler(lengths, window, replicas, rank))

    def _loader(self, split: str, batch_size: int, sampler: Sampler[Any]) -> DataLoader[Any]:
        kind = ResumableLoader if split == "train" else DataLoader
        batches: dict[str, Any] = {"sampler": sampler, "batch_size": batch_size}
        if getattr(sampler, "yields_batches", False):
            batches = {"batch_sampler": sampler}
        return kind(
            self.encoded[split],
            collate_fn=self._collator(),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **batches,
        )
