"""Metrics of Hugging Face's `evaluate`, from script files on disk, computed once over all rows."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback

from lit_textclf.data.labels.target import Target
from lit_textclf.data.trainer import data_module_of
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from lit_textclf.utils.messages import UserError, first_line, note

OPTION = "metrics.evaluate"


class EvaluateMetrics(Callback):
    """Computes metrics of `evaluate` over the complete validation or test set, gathered from all ranks.

    Logs them as `val_evaluate_<name>` and `test_evaluate_<name>`, next to the other metrics.

    Args:
        entries: for each metric a folder or file with its script, or its name on the Hub; or a mapping with this as
            `path`, optionally `config_name`, `name` (for the results) and the arguments of the script's `compute`
            (`average: macro`).
        collected: has the outcomes; called before this callback. None takes the Trainer's, or adds one to it.

    Raises:
        UserError: if an entry has another form.
    """

    def __init__(self, entries: Sequence[str | Mapping[str, Any]], collected: CollectOutcomes | None = None) -> None:
        self.metrics = [_EvaluateMetric(entry) for entry in entries]
        self.collected = collected

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Loads the scripts, so that mistakes in them show before anything is computed."""
        # The classifier's own setup comes later.
        target = getattr(pl_module, "target", None) or getattr(data_module_of(trainer), "target", None)
        if target is None:
            raise UserError(f"{OPTION}: the labels are not known; give the Trainer a TextDataModule (datamodule=...)")
        for metric in self.metrics:
            metric.load(target)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        index = callbacks.index(self)
        if self.collected not in callbacks[:index]:
            self.collected = next((one for one in callbacks[:index] if isinstance(one, CollectOutcomes)), None)
        if self.collected is None:
            self.collected = CollectOutcomes()
            # A new list: Lightning is iterating over the old one.
            trainer.callbacks = [*callbacks[:index], self.collected, *callbacks[index:]]  # type: ignore[attr-defined]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Computes and logs."""
        if trainer.sanity_checking:
            return
        prefix = "test_evaluate_" if trainer.testing else "val_evaluate_"
        evaluation = None if self.collected is None else self.collected.evaluation(pl_module)
        if evaluation is None:
            raise UserError(f"{OPTION}: no rows; give the Trainer a TextDataModule (datamodule=...)")
        for name, value in self.compute(evaluation, lenient=trainer.state.fn == "fit").items():
            # All ranks have the same value; Lightning asks for a reduction.
            pl_module.log(f"{prefix}{name}", value, sync_dist=trainer.world_size > 1)

    on_test_epoch_end = on_validation_epoch_end

    def compute(self, evaluation: Evaluation, *, lenient: bool = False) -> dict[str, float]:
        """All metrics by name, of the labels that the evaluation decides.

        Raises:
            UserError: if a script cannot compute its metric; `lenient` only notes it, so that training continues.
        """
        found: dict[str, float] = {}
        for metric in self.metrics:
            try:
                results = metric.compute(evaluation)
            except UserError as error:
                if not lenient:
                    raise
                note(str(error))
                continue
            for name, value in results.items():
                arguments = "_".join(map(str, metric.arguments.values())) or "again"
                unique = name if name not in found else f"{name}_{arguments}"
                if unique in found:
                    raise UserError(
                        f"{OPTION}: two entries give {unique!r}; give one of them another name: {{name: ...}}"
                    )
                found[unique] = value
        return found


class _EvaluateMetric:
    """One entry of `metrics.evaluate`."""

    def __init__(self, entry: str | Mapping[str, Any]) -> None:
        values = {"path": entry} if isinstance(entry, str) else dict(entry)
        path = values.pop("path", None)
        if not isinstance(path, str):
            raise UserError(f"{OPTION} {entry!r}: must be a path, or a mapping with path")
        self.path: str = path
        self.config_name: str | None = values.pop("config_name", None)
        self.name: str | None = values.pop("name", None)
        self.arguments = values
        self.module: Any = None

    def load(self, target: Target) -> None:
        """Loads the script.

        Raises:
            UserError: if it cannot be loaded, lacks a package, or does not take an argument.
        """
        import evaluate

        is_local = self.path.startswith((".", "/", "~")) or Path(self.path).exists()
        source = str(Path(self.path).expanduser()) if is_local else self.path
        if is_local and not Path(source).exists():
            raise UserError(f"{OPTION}: {self.path}: no such file or folder")
        config = self.config_name or ("multilabel" if target.has_label_sets else None)
        try:
            self.module = evaluate.load(source, config, keep_in_memory=True)
        except Exception as error:
            if is_local or not isinstance(error, OSError):
                reason = first_line(error)
            else:
                reason = "not on this machine, and the Hub cannot be reached"
            raise UserError(f"{OPTION}: {self.path}: cannot be loaded ({reason:.200})") from None
        accepted = inspect.signature(self.module._compute).parameters
        if any(kind.kind is inspect.Parameter.VAR_KEYWORD for kind in accepted.values()):
            return
        if unknown := [name for name in self.arguments if name not in accepted]:
            known = ", ".join(name for name in accepted if name not in self._features)
            raise UserError(f"{OPTION}: {self.path} takes no {unknown[0]!r}; it takes {known or 'no arguments'}")

    @property
    def _features(self) -> list[str]:
        features = self.module.features
        return list(features[0] if isinstance(features, list) else features)

    def compute(self, evaluation: Evaluation) -> dict[str, float]:
        """The metric's results by name; results for each label by `<name>_<label>`.

        Raises:
            UserError: if the script fails, or returns something other than numbers.
        """
        arguments, target = dict(self.arguments), evaluation.target
        index = target.positive_index
        if index is not None and "pos_label" in inspect.signature(self.module._compute).parameters:
            arguments.setdefault("pos_label", index)
        try:
            results = self.module.compute(**_inputs(self._features, evaluation), **arguments)
        except Exception as error:
            reason = first_line(error)
            raise UserError(f"{OPTION}: {self.path}: cannot be computed ({reason:.200})") from None
        found: dict[str, float] = {}
        for key, value in (results or {}).items():
            name = key if self.name is None else self.name if len(results) == 1 else f"{self.name}_{key}"
            if np.ndim(value) == 1 and len(value) == len(target.labels):
                found |= {f"{name}_{label}": float(of) for label, of in zip(target.labels, value, strict=True)}
            elif np.ndim(value) == 0 and isinstance(value, int | float | np.number):
                found[name] = float(value)
            else:
                note(f"{OPTION}: {self.path}: left out {key!r}, which is not a number")
        if not found:
            raise UserError(f"{OPTION}: {self.path}: gave no number, but {results!r:.80}")
        if unusable := [name for name, value in found.items() if math.isnan(value)]:
            note(f"{OPTION}: {self.path}: {', '.join(unusable)} is not a number on these rows")
        return found


def _inputs(features: Sequence[str], evaluation: Evaluation) -> dict[str, Any]:
    """The inputs of a script by name, according to its features.

    These are label indices for single-label tasks, zeros and ones for label sets, and floats for regression. The
    feature `prediction_scores` gets probabilities before calibration; with two labels, those of the positive label.
    """
    index, scores = evaluation.target.positive_index, evaluation.uncalibrated.probabilities
    references = evaluation.outcomes.targets.astype(evaluation.decided.dtype)
    if "prediction_scores" not in features:
        return {"predictions": evaluation.decided, "references": references}
    if index is not None:
        return {"prediction_scores": scores[:, index], "references": (references == index).astype(np.int64)}
    return {"prediction_scores": scores[:, 0] if scores.shape[1] == 1 else scores, "references": references}
