"""The model that is served: how a worker loads it, what it answers, and what `/info` says of it."""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from lit_textclf.classifier.inference.calibration import resolve_threshold
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.export.onnx_runtime import CPU
from lit_textclf.prediction.csv_output import check_min_score
from lit_textclf.serving.options import ServeOptions
from lit_textclf.utils.messages import UserError
from lit_textclf.utils.run_folder import read_metrics, run_of
from lit_textclf.version import __version__

if TYPE_CHECKING:
    from lit_textclf.classifier.module import TextClassifier
    from lit_textclf.export.load import OnnxClassifier

Answer = dict[str, Any]
CPU_TEXTS = 8
"""Texts that a CPU computes at once. 32 sentences of SST-2 are then computed 1.6 times as fast as in one batch, because
texts of similar length need little padding (MiniLM-L6 in float32, one core)."""


@dataclass(frozen=True)
class ServedModel:
    """What a worker process gets, to load the model once.

    Attributes:
        stored: what the checkpoint or the folder contains besides the weights.
        engine: torch or onnx.
        digest: of the checkpoint's or the folder's contents.
        thresholds: decision thresholds by label, or None.
        min_score: texts with a lower score get no label.
        top_k: how many probabilities are answered; None answers all.
        batch_size: texts of a batch that the model reads at once.
        execution_provider: of ONNX Runtime.
    """

    stored: CheckpointInfo
    engine: str
    digest: str
    thresholds: Mapping[str, float] | None = None
    min_score: float | None = None
    top_k: int | None = None
    batch_size: int = 64
    execution_provider: str = CPU

    @classmethod
    def of(
        cls, stored: CheckpointInfo, engine: str, digest: str, options: ServeOptions, threshold: Any,
        execution_provider: str = CPU, *, on_cpu: bool = True,
    ) -> ServedModel:  # fmt: skip
        """The model with the options of the command; `on_cpu` says what computes it.

        Raises:
            UserError: if an option does not suit the model's task.
        """
        target = stored.target
        check_min_score(options.min_score, target)
        if options.top_k is not None and not target.has_probabilities:
            raise UserError(f"--top_k {options.top_k}: the model is a regression, which has no probabilities")
        thresholds = resolve_threshold(threshold, target, stored.calibration.thresholds)
        batch_size = min(options.max_batch_size, CPU_TEXTS) if on_cpu else options.max_batch_size
        return cls(stored, engine, digest, thresholds, options.min_score, options.top_k, batch_size, execution_provider)

    @property
    def reads_pairs(self) -> bool:
        """Whether the model was trained on pairs of texts."""
        return self.stored.data.get("text_pair_column") is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels; none for a regression."""
        return tuple(self.stored.target.labels) if self.stored.target.has_probabilities else ()

    def load(self, device: str) -> TextClassifier | OnnxClassifier:
        """Loads the model in this process.

        Args:
            device: as torch names it; ONNX Runtime's is that of the execution provider.
        """
        from lit_textclf.export.load import OnnxClassifier, load

        if self.engine == "onnx":
            return OnnxClassifier(self.stored, self.execution_provider)
        return load(self.stored.path).to(device)  # type: ignore[union-attr]

    def answers(
        self, model: TextClassifier | OnnxClassifier, firsts: Sequence[str], seconds: Sequence[str] | None
    ) -> list[Answer]:
        """What `classify` answers, by the options of the command, for texts or pairs of texts."""
        found = model.classify(
            firsts, seconds, batch_size=self.batch_size, thresholds=self.thresholds, min_score=self.min_score
        )
        for answer in found if self.top_k is not None else ():
            ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])
            answer["probabilities"] = dict(ranked[: self.top_k])
        return found

    def info(self) -> dict[str, Any]:
        """What `/info` answers."""
        target, metrics = self.stored.target, {}
        with contextlib.suppress(UserError):  # the checkpoint stands somewhere else now, or was exported
            metrics = read_metrics(run_of(self.stored.path))
        libraries = ("onnxruntime", "tokenizers") if self.engine == "onnx" else ("torch", "transformers", "lightning")
        return {
            "task": target.task,
            "labels": list(self.classes),
            "reads_pairs": self.reads_pairs,
            "engine": self.engine,
            "digest": self.digest,
            "threshold": self.thresholds and dict(self.thresholds),
            "min_score": self.min_score,
            "top_k": self.top_k,
            "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
            "versions": {
                "lit_textclf": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in (*libraries, "litserve")},
            },
        }
