"""What `export --format onnx` wrote: the model in ONNX Runtime, and what it carries. Does not import torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load_file

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.data.labels.target import Target
from lit_textclf.utils.messages import UserError, did_you_mean

MODEL, CARRIED, TRAINED_ON = "model.onnx", "lit_textclf.json", "trained_on.safetensors"
CPU = "CPUExecutionProvider"
_TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt")
# ONNX Runtime 1.32 fuses Add and LayerNormalization into SkipLayerNormalization, which takes 1.3 ms for 1,600 x 384
# values on 2 cores of an AMD EPYC, where the two take 0.2 (benchmarks/README.md).
_SLOW_FUSIONS = ["SkipLayerNormFusion"]


class OnnxSession:
    """A sequence classification model in ONNX Runtime.

    Args:
        path: the .onnx file.
        execution_provider: as onnxruntime names it.
        folded: the calibration in the file's weights; it is undone here, once, so that all else sees raw logits.
        threads: of one run of the model; 0 is a thread for each physical core.

    Attributes:
        names: of the model's inputs.

    Raises:
        UserError: if onnxruntime is not installed or does not know the provider, or cannot load the file.
    """

    def __init__(
        self, path: Path, execution_provider: str = CPU, folded: Calibration | None = None, threads: int = 0
    ) -> None:
        self.folded = folded or Calibration()
        runtime = import_onnxruntime()
        known = runtime.get_available_providers()
        if execution_provider not in known:
            near = did_you_mean(execution_provider, known)
            raise UserError(f"--execution_provider {execution_provider!r}{near}: there are {', '.join(known)}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only: warnings are about nodes that run on another provider
        try:
            self.session = runtime.InferenceSession(
                path, options, providers=[execution_provider], disabled_optimizers=_SLOW_FUSIONS
            )
        except Exception as error:  # onnxruntime's errors have no other common type
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{path}: onnxruntime cannot load this model ({reason:.200}); export it again") from None
        if (chosen := self.session.get_providers()[0]) != execution_provider:
            raise UserError(
                f"--execution_provider {execution_provider}: onnxruntime chose {chosen} instead; check that the "
                "provider's libraries are installed"
            )
        self.names = [each.name for each in self.session.get_inputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Raw logits, float32 `(batch, outputs)`, of inputs by name, int64 `(batch, tokens)`."""
        calibrated: np.ndarray = self.session.run(["logits"], {name: inputs[name] for name in self.names})[0]
        return self.folded.undo(calibrated)


def import_onnxruntime() -> Any:
    """The package onnxruntime.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError("onnxruntime is not installed; pip install 'lit-textclf[onnx]'") from None
    return onnxruntime


def read_model_folder(folder: Path) -> CheckpointInfo:
    """Reads what `export --format onnx` wrote beside the weights.

    Raises:
        UserError: if the folder does not exist, or one of its files is missing or damaged.
    """
    if not folder.is_dir():
        raise UserError(f"--model_dir {folder}: no such folder; export --format onnx writes one")
    for name in (MODEL, CARRIED, "config.json"):
        if not (folder / name).is_file():
            raise UserError(f"--model_dir {folder}: has no {name}; name a folder that export --format onnx wrote")
    try:
        carried = json.loads((folder / CARRIED).read_text(encoding="utf-8"))
        json.loads((folder / "config.json").read_text(encoding="utf-8"))  # a damaged one shows here
        files = sorted({path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern)})
        keys = load_file(folder / TRAINED_ON)["trained_on"] if (folder / TRAINED_ON).is_file() else None
        return CheckpointInfo(
            folder / MODEL,
            Target.from_dict(carried["target"]),
            model=dict(carried["model"]),
            data=dict(carried["data"]),
            architecture=(folder / "config.json").read_text(encoding="utf-8"),
            tokenizer={path.name: path.read_text(encoding="utf-8") for path in files},
            trained_on=None if keys is None else keys.view(np.uint64),
            calibration=Calibration.from_dict(carried["calibration"]),
        )
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise UserError(f"--model_dir {folder}: damaged ({error!s:.80}); export it again") from None


def digest_of_folder(folder: Path, execution_provider: str) -> str:
    """A digest of a model folder's contents and of what computes it."""
    digest = hashlib.blake2b(execution_provider.encode(), digest_size=16)
    for path in sorted(path for path in folder.iterdir() if path.name.startswith(("model.onnx", "lit_textclf"))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
