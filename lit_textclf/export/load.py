"""`load`: a trained model to classify with, from a checkpoint or from a folder that `export --format onnx` wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_textclf.classifier.explanation.explain import ExplainsTexts
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.data.batches.padding import ArrayBatch, pool
from lit_textclf.data.options import READS_TEXT
from lit_textclf.data.tokens.long_text import Pooling
from lit_textclf.data.tokens.saved_tokenizer import SavedTokenizer
from lit_textclf.export.onnx_runtime import CPU, MODEL, OnnxSession, read_model_folder
from lit_textclf.models.config import max_positions_of
from lit_textclf.utils.messages import UserError
from lit_textclf.utils.paths import expand_path

if TYPE_CHECKING:
    from lit_textclf.classifier.module import TextClassifier


class OnnxClassifier(ExplainsTexts):
    """A classifier whose logits ONNX Runtime computes, on numpy alone; pickled, it loads the folder again.

    Args:
        stored: what the folder contains, see :func:`read_model_folder`.
        execution_provider: as onnxruntime names it.
        window_pooling: of a document's windows; None means as in training.

    Attributes:
        thresholds: decision thresholds by label; None takes the most probable label.
        window_pooling: of a document's windows.

    Raises:
        UserError: if onnxruntime is not installed, or cannot load the model, or the tokenizer is damaged.
    """

    def __init__(
        self, stored: CheckpointInfo, execution_provider: str = CPU, window_pooling: Pooling | None = None
    ) -> None:
        self.target, self.calibration = stored.target, stored.calibration
        self.thresholds: Mapping[str, float] | None = None
        self.trained_with = {name: stored.data[name] for name in READS_TEXT if name in stored.data}
        self.window_pooling: Pooling = window_pooling or stored.model.get("window_pooling", "mean")
        self.session = OnnxSession(stored.path, execution_provider, stored.calibration, _threads())
        try:
            self._tokenizer = SavedTokenizer.from_files(stored.tokenizer, self.session.names)
        except (ValueError, KeyError) as error:
            folder = stored.path.parent
            raise UserError(f"--model_dir {folder}: damaged ({error!s:.80}); export it again") from None
        self._positions = max_positions_of(stored.architecture)
        self._made_of = (stored, execution_provider, self.window_pooling)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leaves out the session, which cannot be pickled."""
        return type(self), self._made_of, {"thresholds": self.thresholds, "trained_with": self.trained_with}

    @property
    def tokenizer(self) -> SavedTokenizer:
        """The tokenizer."""
        return self._tokenizer

    @property
    def max_tokens(self) -> int | None:
        """The longest sequence that the model reads, in tokens; None if it knows no limit."""
        longest = self._tokenizer.model_max_length
        return self._positions or (longest if longest < 1e9 else None)

    def logits_of(self, batch: ArrayBatch) -> np.ndarray:
        """Raw logits of a batch's rows, those of windows pooled, float32 `(batch, outputs)`."""
        logits = self.session.run(batch["inputs"])
        return pool(logits, batch["windows"], self.window_pooling) if "windows" in batch else logits

    def logits_in_order(self, batches: Iterable[ArrayBatch]) -> np.ndarray:
        """Raw logits of the rows of batches, in row order, float32 `(rows, outputs)`; for :meth:`classify`."""
        row, logits = zip(*((batch["row"], self.logits_of(batch)) for batch in batches), strict=True)
        return np.asarray(np.concatenate(logits)[np.concatenate(row).argsort()])


def _threads() -> int:
    """The threads that OMP_NUM_THREADS allows, as in torch; 0 if it is not set."""
    allowed = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(allowed) if allowed.isdigit() else 0


_NAME = "name a checkpoint, the folder of a run, or a folder that export wrote"


def _of_transformers(folder: Path) -> TextClassifier:
    """The classifier in a folder of `export --format hf`, whose weights have the temperature and the scale of values.

    Long texts are cut at the tokenizer's `model_max_length`, as transformers' pipeline does.
    """
    from lit_textclf.classifier.module import TextClassifier
    from lit_textclf.classifier.tasks.table import RULES
    from lit_textclf.data.labels.table import TASKS
    from lit_textclf.data.labels.target import Target
    from lit_textclf.models.config import load_config

    config = load_config(str(folder))
    task = next((name for name, rules in RULES.items() if rules.problem_type == config.problem_type), None)
    if task is None:
        raise UserError(f"load: {folder}: config.json has no problem_type, so that the task is not known; {_NAME}")
    labels = [name for _, name in sorted(dict(config.id2label or {}).items())] if TASKS[task].has_probabilities else []
    target = Target.from_dict({"task": task, "labels": labels})
    classifier = TextClassifier(str(folder), pooling="own", head_init="random", target=target)
    classifier.configure_model()
    classifier.remember({"max_length": classifier.tokenizer.model_max_length}, None)
    return classifier.eval()


def load(path: str | os.PathLike[str]) -> TextClassifier | OnnxClassifier:
    """Loads a trained model, whose `classify` takes texts; that of an ONNX folder needs no torch.

    Args:
        path: a checkpoint, a run's folder, or a folder that `export` wrote, for ONNX Runtime or for transformers.

    Raises:
        UserError: if this path has neither, or it is damaged.

    Example:
        >>> from lit_textclf import load
        >>> load("onnx").classify("A film that one does not forget.")  # doctest: +SKIP
        {'label': 'positive', 'score': 0.98, 'probabilities': {'negative': 0.02, 'positive': 0.98}}
    """
    found = expand_path(os.fspath(path), "load")
    if (found / MODEL).is_file():
        return OnnxClassifier(read_model_folder(found))
    if (found / "model.safetensors").is_file():
        return _of_transformers(found)
    if found.is_dir() and not (found / "checkpoints" / "best.ckpt").is_file():
        raise UserError(f"load: {found} has neither a checkpoint nor an exported model; {_NAME}")
    from lit_textclf.classifier.checkpoint import ALIASES, find_checkpoint
    from lit_textclf.classifier.module import TextClassifier

    if not found.exists() and str(found) not in ALIASES:
        raise UserError(f"load: {found}: no such file or folder; {_NAME}")
    return TextClassifier.load_from_checkpoint(find_checkpoint(str(found), Path.cwd()), map_location="cpu").eval()
