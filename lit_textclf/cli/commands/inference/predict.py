"""The command `predict`: with ONNX Runtime on numpy alone, otherwise through Lightning's Trainer."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_textclf.cli.commands.inference.plain import (
    PlainRun,
    padder_of,
    run_plain_or_with_lightning,
    stopped_by_sigterm,
)
from lit_textclf.cli.engine import check_rows_or_text, refuse_text_and_file
from lit_textclf.cli.parser import Parser
from lit_textclf.data.batches.dataset import TokenizedDataset
from lit_textclf.data.batches.parts import PartBatches, part_rows_for
from lit_textclf.data.encoded_data import EncodedData
from lit_textclf.export.load import OnnxClassifier
from lit_textclf.prediction.folder import write_files
from lit_textclf.prediction.formats import FORMATS
from lit_textclf.prediction.options import PredictOptions, written_as
from lit_textclf.prediction.writing.job import PredictionJob

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


def predict(args: Sequence[str], callbacks: Sequence[Callback] = ()) -> tuple[dict[str, float], list[Path]]:
    """Writes predictions; returns the metrics, if all rows have labels, and the files that were written."""
    return run_plain_or_with_lightning(PlainPrediction, args, callbacks)


class PlainPrediction(PlainRun):
    """A prediction by ONNX Runtime without torch, Lightning and transformers."""

    prefix = "predict_"

    @classmethod
    def suits(cls, options: Any, *, has_torch: bool) -> bool:
        """Formats of the user's own may need torch."""
        return options.format in FORMATS

    @staticmethod
    def add_own_options(parser: Parser) -> None:
        """See :class:`PredictOptions`."""
        parser.add_class_arguments(PredictOptions)

    def run(self) -> tuple[dict[str, float], list[Path]]:
        """Writes the predictions; see :func:`predict`."""
        options = self.options()
        refuse_text_and_file(self.typed.text, options.data)
        data, model = self.start(options)
        check_rows_or_text(self.typed.text, data, "predict")
        wanted = options.trainer.enable_progress_bar
        job = PredictionJob(
            PredictOptions(**written_as(options)),
            progress_bar=sys.stderr.isatty() if wanted is None else wanted,
        )
        with stopped_by_sigterm():
            measure = partial(self.measured, model)
            written, metrics, files = write_files(job, data, partial(self._predict, job, data, model), measure)
        if metrics:
            from lit_textclf.evaluation.report.tables import print_table

            file = sys.stderr if job.path is None else sys.stdout  # which has the predictions
            print_table(metrics, f"predictions of {self.engine.stored.path}{files}", file)
        return metrics, written

    def _predict(self, job: PredictionJob, data: EncodedData, model: OnnxClassifier) -> None:
        """Predicts the rows of the data to the job's file."""
        job.open(model, data)
        try:
            origin = job.origin(
                model, options=self.engine.stored.model, known=self.engine.digest, precision="32-true", device="cpu",
                versions=[f"{name} {importlib.metadata.version(name)}" for name in ("onnxruntime", "tokenizers")],
            )  # fmt: skip
            job.left = job.parts.open(origin, part_rows_for(job.stream.total, data.eval_batch_size, 1))
            job.start(job.left)
            for batch in _batches(job, data):
                job.take(batch["row"], model.logits_of(batch), batch.get("part"), as_given=np.asarray)
            job.stop_clock()
            job.metrics = job.finish(model, partial(self.measured, model))
        finally:
            job.close()


def _batches(job: PredictionJob, data: EncodedData) -> PartBatches:
    """The batches of the parts that are left, as those of :meth:`TextDataModule.predict_dataloader`."""
    assert data.target is not None
    encode = partial(TokenizedDataset, tokenizer=data.tokenizer, max_length=data.max_length, long_text=data.long_text)
    padder = padder_of(data)
    return PartBatches(
        job.stream, data.target, encode, padder.pad, data.eval_batch_size, data.batch_by_length, data.batch_by_length,
        job.parts.part_rows, range(job.parts.number), set(job.left),
    )  # fmt: skip
