"""The command `baseline`: what can be reached without a pretrained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from lightning.pytorch import seed_everything
from rich.console import Console

from lit_textclf.classifier.metrics.stage import StageMetrics
from lit_textclf.cli.commands.check import parsed, parser_of
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.evaluation.baselines import fit_baselines
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.outcomes import Outcomes
from lit_textclf.evaluation.report.csv_files import write_outcomes
from lit_textclf.evaluation.report.tables import table_of_numbers
from lit_textclf.utils.atomic import write_file
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
        "Measures the most frequent label (or the mean), and TF-IDF of words and characters with a linear model: on "
        "the test rows if data.test_file, data.test_split or data.dataset_splits names some, else on the validation "
        "rows. Writes a run folder for each, which compare reads.",
    )
    options, _ = parsed(parser, args)
    seed = options.seed_everything
    seed_everything(
        42 if seed is None or isinstance(seed, bool) else int(seed), verbose=False
    )  # data.max_train_samples
    data = TextDataModule(**options.data.as_dict())
    split = _read(data)
    note(f"baseline: {data.summary()}")
    target, rows = data.target, data.rows[split]
    assert target is not None
    targets = torch.from_numpy(target.encode(rows))
    root = expand_path(options.trainer.default_root_dir or ".", "trainer.default_root_dir") / LOGS
    used = yaml.safe_load(parser.dump(options, skip_none=False))["data"]
    prefix = "test_" if split == "test" else "val_"
    measured: dict[str, dict[str, float]] = {}
    written: list[Path] = []
    for found in fit_baselines(data.rows["train"], rows, target):
        # Nothing is tokenized: the lengths are unknown.
        lengths = torch.zeros(len(rows), dtype=torch.int64)
        evaluation = Evaluation(Outcomes(split, target, rows, found.logits, targets, lengths, data.max_length))
        metrics = StageMetrics(target, prefix)
        metrics.update(found.logits, targets, evaluation.losses.mean())
        measured[found.name] = metrics.compute(alone=True)
        folder = new_folder(root, f"baseline_{found.name}_")
        config = yaml.safe_dump({"baseline": found.name, "data": used}, sort_keys=False, allow_unicode=True)
        write_file(folder / CONFIG, config, remedy=OTHER_ROOT)
        written += [write_outcomes(evaluation, folder), write_metrics(measured[found.name], folder)]
    _print(measured, f"{split}, {plural(len(rows), 'row')}")
    note(f"next: lit-textclf compare {' '.join(dict.fromkeys(str(path.parent) for path in written))} RUN")
    names = measured.items()
    return {
        f"baseline_{name}_{key.removeprefix(prefix)}": value for name, of in names for key, value in of.items()
    }, written


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
    Console().print(table)
