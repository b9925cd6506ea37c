"""Metrics of Hugging Face's `evaluate`, from script files on disk, computed once over all rows of an evaluation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np

from lit_textclf.data.labels.target import Target
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.training.callbacks.collect_outcomes import CollectOutcomes
from lit_textclf.utils.messages import UserError, note

OPTION = "metrics.evaluate"


class EvaluateMetrics(CollectOutcomes):
    """Computes metrics of `evaluate` over the whole validation or test set, gathered from all ranks.

    They are logged as `val_evaluate_<name>` and `test_evaluate_<name>`, beside this project's own.

    Args:
        entries: for each metric a folder or file with its script, or its name on the Hub; or a mapping with it as
            `path`, and if need be `config_name`, `name` (for the results) and the arguments of the script's `compute`
            (`average: macro`).

    Raises:
        UserError: if an entry is none of that.
    """

    def __init__(self, entries: Sequence[str | Mapping[str, Any]]) -> None:
        super().__init__()
        self.metrics = [_EvaluateMetric(entry) for entry in entries]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Loads the scripts, whose mistakes then show before anything is computed."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        target: Target = getattr(pl_module, "target", None) or data.target  # the classifier's own setup comes later
        for metric in self.metrics:
            metric.load(target)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Computes and logs."""
        super().on_validation_epoch_end(trainer, pl_module)
        if not trainer.sanity_checking:
            self._log(trainer, pl_module, "val_evaluate_")

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Computes and logs."""
        super().on_test_epoch_end(trainer, pl_module)
        self._log(trainer, pl_module, "test_evaluate_")

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule, prefix: str) -> None:
        if self.outcomes is None:
            raise UserError(f"{OPTION}: no rows: give the Trainer a TextDataModule (datamodule=...)")
        for name, value in self.compute(self.outcomes, lenient=trainer.state.fn == "fit").items():
            # The same on all ranks; Lightning wants to hear how they are to be joined.
            pl_module.log(f"{prefix}{name}", value, sync_dist=trainer.world_size > 1)

    def compute(self, outcomes: Outcomes, *, lenient: bool = False) -> dict[str, float]:
        """All metrics of some rows, by name.

        Args:
            outcomes: the rows.
            lenient: say that a metric could not be computed, in place of raising: training goes on.

        Raises:
            UserError: if a script cannot compute its metric.
        """
        found: dict[str, float] = {}
        for metric in self.metrics:
            try:
                results = metric.compute(outcomes)
            except UserError as error:
                if not lenient:
                    raise
                note(str(error))
                continue
            for name, value in results.items():
                unique = name if name not in found else f"{name}_{metric.arguments_in_words}"
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
            raise UserError(f"{OPTION}: {entry!r}: a path, or a mapping with path, is needed")
        self.path: str = path
        self.config_name: str | None = values.pop("config_name", None)
        self.name: str | None = values.pop("name", None)
        self.arguments = values
        self.module: Any = None

    @property
    def arguments_in_words(self) -> str:
        """The arguments' values, for a name; `again` without any."""
        return "_".join(str(value) for value in self.arguments.values()) or "again"

    def load(self, target: Target) -> None:
        """Loads the script.

        Raises:
            UserError: if it cannot be had, lacks a package, or does not know an argument.
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
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
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

    def compute(self, outcomes: Outcomes) -> dict[str, float]:
        """The metric's results by name; those of each label by `<name>_<label>`.

        Raises:
            UserError: if the script fails, or gives something else than numbers.
        """
        arguments = dict(self.arguments)
        index = outcomes.target.positive_index
        if index is not None and "pos_label" in inspect.signature(self.module._compute).parameters:
            arguments.setdefault("pos_label", index)
        try:
            results = self.module.compute(**_given(self._features, outcomes), **arguments)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"{OPTION}: {self.path}: cannot be computed ({reason:.200})") from None
        found: dict[str, float] = {}
        for key, value in (results or {}).items():
            name = key if self.name is None else self.name if len(results) == 1 else f"{self.name}_{key}"
            if np.ndim(value) == 1 and len(value) == len(outcomes.target.labels):
                found |= {f"{name}_{label}": float(of) for label, of in zip(outcomes.target.labels, value, strict=True)}
            elif np.ndim(value) == 0 and isinstance(value, int | float | np.number):
                found[name] = float(value)
            else:
                note(f"{OPTION}: {self.path}: {key!r} is no number, and is left out")
        if not found:
            raise UserError(f"{OPTION}: {self.path}: gave no number; it gave {results!r:.80}")
        if unusable := [name for name, value in found.items() if math.isnan(value)]:
            note(f"{OPTION}: {self.path}: {', '.join(unusable)} is not a number on these rows")
        return found


def _given(features: Sequence[str], outcomes: Outcomes) -> dict[str, Any]:
    """What a script is given, by the names that it asks for.

    Indices of labels for one label, zeros and ones for sets, floats for regression; where it asks for
    `prediction_scores` probabilities, with two labels those of the positive one.
    """
    target, logits = outcomes.target, outcomes.logits
    if not target.has_probabilities:
        predictions, scores = logits.squeeze(-1), logits.squeeze(-1)
    elif target.has_label_sets:
        scores = logits.sigmoid()
        predictions = scores.ge(0.5).long()
    else:
        scores, predictions = logits.softmax(-1), logits.argmax(-1)
    references = outcomes.targets.long() if target.has_label_sets else outcomes.targets
    if "prediction_scores" not in features:
        return {"predictions": predictions.numpy(), "references": references.numpy()}
    index = target.positive_index
    if index is not None:
        return {"prediction_scores": scores[:, index].numpy(), "references": references.eq(index).long().numpy()}
    return {"prediction_scores": scores.numpy(), "references": references.numpy()}
