"""An exported ONNX model as the classifier's model: ONNX Runtime computes the logits, the rest stays the same."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor, nn

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.export.onnx_runtime import CARRIED, CPU, MODEL, TRAINED_ON, OnnxSession


class OnnxModel(nn.Module):
    """A sequence classification model in ONNX Runtime, called as transformers' models are; see :class:`OnnxSession`."""

    def __init__(self, path: Path, execution_provider: str = CPU, folded: Calibration | None = None) -> None:
        super().__init__()
        self.session = OnnxSession(path, execution_provider, folded, threads=torch.get_num_threads())

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """Runs the model.

        Args:
            **inputs: int64 `(batch, tokens)`, on the CPU.

        Returns:
            Something whose `logits` are raw, float32 `(batch, outputs)`.
        """
        logits = self.session.run({name: tensor.cpu().numpy() for name, tensor in inputs.items()})
        return SimpleNamespace(logits=torch.from_numpy(logits))


def write_carried(stored: CheckpointInfo, folder: Path) -> None:
    """Writes what :func:`read_model_folder` reads: labels, options, and the keys of the rows that were trained on."""
    values = {
        "target": stored.target.to_dict(),
        "calibration": stored.calibration.to_dict(),
        "model": stored.model,
        "data": stored.data,
    }
    (folder / CARRIED).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if stored.trained_on is not None:
        keys = {"trained_on": stored.trained_on.view(np.int64)}
        (folder / TRAINED_ON).write_bytes(save(keys))  # save_file would make a file that only its owner reads


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the messages of the exporter and the quantizer about their own steps."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def megabytes(folder: Path) -> str:
    """The size of a folder's model, as `91.4 MB`."""
    return f"{sum(path.stat().st_size for path in folder.glob(f'{MODEL}*')) / 1e6:.1f} MB"
