"""Predictions as the GLUE benchmark takes them: a tab-separated file for each task, `index` and `prediction`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from lit_textclf.data.rows.labels import Target
from lit_textclf.data.rows.rows import Rows
from lit_textclf.utils.messages import UserError

# https://gluebenchmark.com/faq: the file's name by the task's, and the labels in the order of GLUE's numbers.
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
"""Tasks whose labels are written by name; the others' by number."""
HIGHEST = 5.0
"""STS-B's similarities are from 0 to this."""


def task_of(config_name: str | None, output: Path | None) -> str:
    """The GLUE task, by `data.dataset_config_name`, else by the output's name.

    Raises:
        UserError: if neither says it.
    """
    if config_name in FILES:
        return config_name
    by_file = {name.lower(): task for task, name in FILES.items()} | {"mnli-mm": "mnli"}
    if output is not None and output.stem.lower() in by_file:
        return by_file[output.stem.lower()]
    raise UserError(
        f"--format glue: which task is not known; set data.dataset_config_name (--config configs/glue/TASK.yaml; "
        f"{', '.join(FILES)}), or call the --output {', '.join(f'{name}.tsv' for name in FILES.values())}"
    )


def file_of(task: str, split: str | None) -> str:
    """The name that the benchmark wants; MNLI has two parts, by the data set's name of the split."""
    return "MNLI-mm.tsv" if task == "mnli" and "mismatched" in (split or "") else f"{FILES[task]}.tsv"


class GlueColumns:
    """The columns of a submission and their lines, in place of `PredictionColumns`.

    Args:
        target: task and labels of the checkpoint.
        task: of GLUE.

    Raises:
        UserError: if the labels are not that task's.
    """

    def __init__(self, target: Target, task: str) -> None:
        self.target, self.task = target, task
        expected = LABELS[task]
        if (target.task == "regression") != (task == "stsb") or set(target.labels) != set(expected):
            has = ", ".join(target.labels) or "numbers"
            raise UserError(
                f"--format glue: {task} has {', '.join(expected) or 'numbers'}, the checkpoint {has}; name the right "
                "task (data.dataset_config_name)"
            )

    def header(self) -> str:
        """The first line."""
        return "index\tprediction\n"

    def lines(self, rows: Rows, logits: Tensor) -> str:
        """The lines of some rows; logits float32 `(rows, outputs)`."""
        numbers = np.arange(len(rows)) if rows.row_numbers is None else rows.row_numbers
        if self.task == "stsb":
            values = [f"{value:.3f}" for value in logits[:, 0].float().clamp(0, HIGHEST).tolist()]
        else:
            names = [self.target.labels[index] for index in logits.argmax(-1).tolist()]
            order = LABELS[self.task]
            values = names if self.task in BY_NAME else [str(order.index(name)) for name in names]
        return "".join(f"{number}\t{value}\n" for number, value in zip(numbers.tolist(), values, strict=True))

    def tally(self, logits: Tensor) -> dict[str, int]:
        """How many predictions are written as the nearest value that the task has."""
        if self.task != "stsb":
            return {}
        return {"clipped": int(((logits[:, 0] < 0) | (logits[:, 0] > HIGHEST)).sum())}
