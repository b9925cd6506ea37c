"""The command `baseline`: what can be reached without a pretrained model, or without training one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import yaml
from lightning.pytorch import seed_everything
from lightning.pytorch.callbacks import Callback

from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.classifier.module import TextClassifier
from lit_textclf.classifier.start.head import as_probe
from lit_textclf.classifier.tasks.table import rules_of
from lit_textclf.cli.commands.data.check import parsed
from lit_textclf.cli.sections import parser_of
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.data.trainer import data_module_of
from lit_textclf.evaluation.baselines import Baseline, fit_baselines
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.csv_files import write_outcomes
from lit_textclf.evaluation.report.tables import table_of_numbers
from lit_textclf.training.callbacks.collect_outcomes import PROBE, outcomes_of
from lit_textclf.training.trainer import Trainer
from lit_textclf.utils.atomic import write_file
from lit_textclf.utils.console import stdout_console
from lit_textclf.utils.messages import UserError, note, plural
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import CONFIG, LOGS, OTHER_ROOT, new_folder, write_metrics


def baseline(args: Sequence[str]) -> tuple[dict[str, float], list[Path]]:
    """Fits baselines on the training rows, and writes a run folder for each.

    Returns:
        Their metrics, as `baseline_tfidf_accuracy`, and the files that were written.
    """
    parser = parser_of(
        "baseline",
        "Measures the most frequent label (or the mean), TF-IDF of words and characters with a linear model and, with "
        "model.model_name_or_path, this frozen encoder with a linear model: on the test rows if data.test_file, "
        "data.test_split or data.dataset_splits names some, else on the validation rows. Writes a run folder for each, "
        "which compare reads.",
    )
    options, given = parsed(parser, args)
    seed = options.seed_everything
    seed_everything(
        42 if seed is None or isinstance(seed, bool) else int(seed), verbose=False
    )  # data.max_train_samples
    data = TextDataModule(**options.data.as_dict())
    split = _read(data)
    note(f"baseline: {data.summary()}")
    target, rows = data.target, data.rows[split]
    assert target is not None
    targets, rules = target.encode(rows), rules_of(target)
    root = expand_path(options.trainer.default_root_dir or ".", "trainer.default_root_dir") / LOGS
    dumped = yaml.safe_load(parser.dump(options, skip_none=False))
    settings = {"data": dumped["data"]}
    started = time.perf_counter()
    baselines = fit_baselines(data.rows["train"], rows, target)
    cost = f"{' and '.join(found.name for found in baselines)} in {time.perf_counter() - started:.0f} s"
    if given.set_by_user("model.model_name_or_path") and options.model.from_scratch is None:
        started = time.perf_counter()
        classifier, probe = measure_probe(options, data, split)
        settings["model"] = {**dumped["model"], "pooling": classifier.resolved["pooling"]}
        if probe is not None:
            baselines.append(probe)
            cost += f", probe in {time.perf_counter() - started:.0f} s"
    note(f"baseline: {cost}")
    prefix = "test_" if split == "test" else "val_"
    measured: dict[str, dict[str, float]] = {}
    written: list[Path] = []
    for found in baselines:
        # No file shows the lengths, and without a model nothing is tokenized.
        lengths, logits = np.zeros(len(rows), np.int64), found.logits.numpy()
        evaluation = Evaluation(Outcomes(split, target, rows, logits, targets, lengths, data.max_length))
        metrics, tensor = StageMetrics(target, prefix), torch.from_numpy(targets)
        metrics.update(found.logits, tensor, rules.loss(found.logits, tensor))
        measured[found.name] = metrics.compute(alone=True)
        folder = new_folder(root, f"baseline_{found.name}_")
        used = settings if found.name == PROBE[0] else {"data": settings["data"]}
        config = yaml.safe_dump({"baseline": found.name, **used}, sort_keys=False, allow_unicode=True)
        write_file(folder / CONFIG, config, remedy=OTHER_ROOT)
        written += [write_outcomes(evaluation, folder), write_metrics(measured[found.name], folder)]
    _print(measured, f"{split}, {plural(len(rows), 'row')}")
    note(f"next: lit-textclf compare {' '.join(dict.fromkeys(str(path.parent) for path in written))} RUN")
    names = measured.items()
    return {
        f"baseline_{name}_{key.removeprefix(prefix)}": value for name, of in names for key, value in of.items()
    }, written


class _Measure(Callback):
    """Computes the logits of a split before training, from the head that a probe has started."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.logits: torch.Tensor | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Computes them."""
        assert isinstance(pl_module, TextClassifier)
        data: Any = data_module_of(trainer)
        if pl_module.probe is not None:
            loader = data.test_dataloader() if self.split == "test" else data.val_dataloader()
            with as_probe(pl_module):
                self.logits = torch.from_numpy(outcomes_of(trainer, pl_module, self.split, loader).logits)


def measure_probe(options: Any, data: TextDataModule, split: str) -> tuple[TextClassifier, Baseline | None]:
    """Measures the frozen encoder with a linear model, as `fit` does before its first step.

    Args:
        options: of the command; of `trainer`, those that change the numbers.
        data: with the rows.
        split: the name of the rows to measure on.

    Returns:
        The model, and the baseline; None if its head is not linear.
    """
    classifier, measured = TextClassifier(**{**options.model.as_dict(), "head_init": "probe"}), _Measure(split)
    for stage in ("fit", "test") if split == "test" else ("fit",):
        data.prepare(stage, classifier)
    names = ("accelerator", "precision", "limit_train_batches")
    Trainer(
        **{name: options.trainer[name] for name in names}, devices=1, max_epochs=0, num_sanity_val_steps=0,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, callbacks=[measured],
    ).fit(classifier, data)  # fmt: skip
    return classifier, None if measured.logits is None else Baseline(*PROBE, measured.logits)


def _read(data: TextDataModule) -> str:
    """Reads the training rows and those to measure on; returns the name of their split."""
    data.read("fit")
    if "test" in data.rows or data.files("test") is not None or data.dataset_split("test") is not None:
        data.read("test")
        return "test"
    if "validation" not in data.rows:
        raise UserError(
            "baseline needs rows to measure on: type --data.test_file FILE, --data.validation_file FILE or "
            "--data.validation_split SHARE"
        )
    return "validation"


def _print(measured: dict[str, dict[str, float]], title: str) -> None:
    print(title)
    table = table_of_numbers("metric", measured)
    for name in next(iter(measured.values())):
        table.add_row(name, *(f"{metrics[name]:.4f}" for metrics in measured.values()))
    stdout_console().print(table)
