"""The options of `predict`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from lit_textclf.utils.messages import UserError

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class PredictOptions:
    """What `predict` writes, and where; this docstring is the command's `--help`.

    Args:
        output: the file to write, which appears complete or not at all; - for standard output; or a folder (with a / at
            its end, or one that exists), in which each file of data.predict_file gets a file of its name
        overwrite: replace the file if it exists
        with_logits: add a column logit_<name> for each label
        keep_columns: add the input's other columns
        text: predict this text in place of a file
        output_encoding: utf-8, or utf-8-sig for spreadsheets
        format: csv; glue for the tab-separated file that the GLUE benchmark takes, whose task is
            data.dataset_config_name or follows from the name of the output; or the dotted path of your own OutputFormat
            class, as my_pkg.MyFormat
        min_score: assign no label to rows whose score is below this probability: label is empty, and a column abstained
            is true

    Raises:
        UserError: if a value is out of its range.
    """

    output: str = PREDICTIONS
    overwrite: bool = False
    with_logits: bool = False
    keep_columns: bool = False
    text: str | None = None
    output_encoding: str = "utf-8"
    format: str = "csv"
    min_score: float | None = None

    def __post_init__(self) -> None:
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise UserError(f"--min_score {self.min_score}: must be a probability from 0 to 1")


def written_as(options: Any) -> dict[str, Any]:
    """The options of a command, as a parser returns them, that say what is written: all but `text`, which is read."""
    return {field.name: options[field.name] for field in fields(PredictOptions) if field.name != "text"}
