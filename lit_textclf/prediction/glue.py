"""Predictions as the GLUE benchmark takes them: a tab-separated file for each task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.classifier.inference.decisions import decisions_of
from lit_textclf.data.encoded_data import EncodedData
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import Rows
from lit_textclf.prediction.options import PREDICTIONS, PredictOptions
from lit_textclf.prediction.output_format import Logits, Model, OutputFormat
from lit_textclf.utils.messages import UserError, note, plural

# https://gluebenchmark.com/faq: file names by task, and labels in the order of GLUE's numbers.
FILES = {
    "cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "stsb": "STS-B", "qqp": "QQP", "mnli": "MNLI-m", "qnli": "QNLI",
    "rte": "RTE", "wnli": "WNLI",
}  # fmt: skip
LABELS = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "stsb": (),
    "qqp": ("not_duplicate", "duplicate"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
    "wnli": ("not_entailment", "entailment"),
}
BY_NAME = ("mnli", "qnli", "rte")
"""Tasks whose labels are written by name; those of the others by number."""
HIGHEST = 5.0
"""Similarities of STS-B range from 0 to this."""


def task_of(config_name: str | None, output: Path | None) -> str:
    """The GLUE task, by `data.dataset_config_name`, or else by the output's name.

    Raises:
        UserError: if neither names a task.
    """
    if config_name in FILES:
        return config_name
    by_file = {name.lower(): task for task, name in FILES.items()} | {"mnli-mm": "mnli"}
    if output is not None and output.stem.lower() in by_file:
        return by_file[output.stem.lower()]
    raise UserError(
        f"--format glue: the task is unknown; set data.dataset_config_name (--config configs/glue/TASK.yaml; "
        f"{', '.join(FILES)}), or name the --output {', '.join(f'{name}.tsv' for name in FILES.values())}"
    )


def file_of(task: str, split: str | None) -> str:
    """The file name that the benchmark wants; MNLI has two files, told apart by the data set's name of the split."""
    return "MNLI-mm.tsv" if task == "mnli" and "mismatched" in (split or "") else f"{FILES[task]}.tsv"


class GlueFormat(OutputFormat):
    """A submission: `index` and `prediction`.

    Args:
        target: the checkpoint's task and labels.
        task: the GLUE task.
        thresholds: decision thresholds by label; None takes the most probable label.
        calibration: turns raw logits into calibrated ones.

    Raises:
        UserError: if the labels are not that task's.
    """

    ending = ".tsv"

    def __init__(
        self, target: Target, task: str, *, thresholds: Mapping[str, float] | None = None,
        calibration: Calibration | None = None,
    ) -> None:  # fmt: skip
        self.target, self.task, self.thresholds = target, task, thresholds
        self.calibration = calibration or Calibration()
        expected = LABELS[task]
        if target.has_probabilities == (task == "stsb") or set(target.labels) != set(expected):
            has = ", ".join(target.labels) or "numbers"
            raise UserError(
                f"--format glue: {task} has {', '.join(expected) or 'numbers'}, the checkpoint {has}; set "
                "data.dataset_config_name to the right task"
            )

    @classmethod
    def output(cls, options: PredictOptions, data: EncodedData) -> str:
        """The benchmark's own file name where none was given."""
        if options.with_logits or options.keep_columns or options.min_score is not None:
            raise UserError(
                "--format glue has two columns, and a label for each row; remove --with_logits, --keep_columns and "
                "--min_score"
            )
        task = cls._task(options, data)
        if data.columns.id is not None:
            note(f"--format glue: rows are identified by their number; {data.columns.id!r} is not written")
        return options.output if _named(options) else file_of(task, data.dataset_split("predict"))

    @classmethod
    def _task(cls, options: PredictOptions, data: EncodedData) -> str:
        return task_of(data.dataset_config_name, _named(options))

    @classmethod
    def from_options(cls, options: PredictOptions, model: Model, data: EncodedData) -> GlueFormat:
        """Refuses a checkpoint whose labels are not the task's."""
        assert data.target is not None
        task = cls._task(options, data)
        return cls(data.target, task, thresholds=model.thresholds, calibration=model.calibration)

    @property
    def name(self) -> str:
        """The format and the task."""
        return f"glue {self.task}"

    def header(self) -> str:
        """The column names."""
        return "index\tprediction\n"

    def lines(self, rows: Rows, logits: Logits) -> str:
        """Numbers or names of labels, or similarities with three decimals."""
        calibrated = self.calibration.apply(np.asarray(logits, np.float32))
        decided = decisions_of(self.target).decide(self.target, calibrated, self.thresholds)
        if self.task == "stsb":
            values = [f"{value:.3f}" for value in decided.clip(0, HIGHEST).tolist()]
        else:
            names = self.target.texts(decided)
            order = LABELS[self.task]
            values = names if self.task in BY_NAME else [str(order.index(name)) for name in names]
        return "".join(f"{number}\t{value}\n" for number, value in zip(rows.row_numbers.tolist(), values, strict=True))

    def tally(self, logits: Logits) -> dict[str, int]:
        """How many predictions lie outside of the task's values, and are written as the nearest one."""
        if self.task != "stsb":
            return {}
        return {"clipped": int(((logits[:, 0] < 0) | (logits[:, 0] > HIGHEST)).sum())}

    def report(self, tally: Mapping[str, int], *, measured: bool) -> list[str]:
        """How many predictions were clipped."""
        clipped = tally["clipped"]
        return [f"{plural(clipped, 'prediction')} below 0 or above 5, clipped to that range"] if clipped else []


def _named(options: PredictOptions) -> Path | None:
    return None if options.output == PREDICTIONS else Path(options.output)
