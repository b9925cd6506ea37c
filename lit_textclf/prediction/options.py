"""Options of `predict` that contradict each other."""

from __future__ import annotations

from pathlib import Path

from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.prediction.glue import file_of, task_of
from lit_textclf.utils.messages import UserError, note

PREDICTIONS = "predictions.csv"


def check_form(form: str, min_score: float | None, *, other_columns: bool) -> None:
    """Refuses options of the output that contradict each other."""
    if min_score is not None and not 0 <= min_score <= 1:
        raise UserError(f"--min_score {min_score}: a probability from 0 to 1 is needed")
    if form == "glue" and (other_columns or min_score is not None):
        raise UserError(
            "--format glue has two columns, and a label for each row; remove --with_logits, --keep_columns and "
            "--min_score"
        )


def submission_of(data: TextDataModule, output: str) -> tuple[str, str]:
    """The GLUE task of a prediction, and its file: the benchmark's own name where none was given."""
    named = None if output == PREDICTIONS else Path(output)
    task = task_of(data.dataset_config_name, named)
    if data.columns.id is not None:
        note(f"--format glue: rows are known by their number; {data.columns.id!r} is not written")
    return task, output if named else file_of(task, data.dataset_split("predict"))
