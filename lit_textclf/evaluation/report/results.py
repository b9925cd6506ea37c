"""What `validate` and `test` show and write: tables on the terminal, and the files of the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.csv_files import write_evaluation
from lit_textclf.evaluation.report.html import write_report
from lit_textclf.evaluation.report.tables import print_labels, print_table
from lit_textclf.evaluation.skill import describe_no_skill
from lit_textclf.utils.messages import note
from lit_textclf.utils.run_folder import write_metrics


def show_and_write(
    evaluation: Evaluation | None, metrics: Mapping[str, float], folder: Path, split: str, model: str
) -> list[Path]:
    """Prints metrics and label scores, writes all files, and returns those to name: `metrics.json` and the report.

    Args:
        evaluation: of the split; None if its rows were not collected.
        metrics: by their logged names.
        folder: of the run.
        split: `validation` or `test`.
        model: the checkpoint or ONNX model.
    """
    written = [write_metrics(metrics, folder)]
    print_table(dict(metrics), f"{split} of {model}")
    if evaluation is not None:
        print_labels(evaluation)
        if not evaluation.has_skill:
            note(f"{split}: {describe_no_skill(evaluation.outcomes)}")
        write_evaluation(evaluation, folder)
        written.append(write_report(evaluation, metrics, folder, model))
    return written
