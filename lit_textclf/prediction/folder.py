"""`predict` of several files into a folder: one file for each, all checked before anything is computed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lit_textclf.classifier.metrics.table import shown_in
from lit_textclf.data.readers.formats import stem_of
from lit_textclf.prediction.formats import find_format
from lit_textclf.prediction.options import PredictOptions
from lit_textclf.prediction.writing.job import Measure, PredictionJob, metrics_of
from lit_textclf.prediction.writing.parts import PredictionParts, is_joined
from lit_textclf.utils.atomic import OTHER_OUTPUT, not_writable
from lit_textclf.utils.messages import UserError, hushed, note, plural
from lit_textclf.utils.paths import expand_path, resolve_files
from lit_textclf.utils.standard_input import DASH

if TYPE_CHECKING:
    from lit_textclf.data.encoded_data import EncodedData


def is_folder(output: str) -> bool:
    """Whether `--output` names a folder: it ends with a slash, or the folder exists."""
    return output.endswith(("/", os.sep)) or (output not in ("", DASH) and expand_path(output, "--output").is_dir())


def write_files(
    job: PredictionJob, data: EncodedData, predict: Callable[[], None], measure: Measure, *, joins: bool = True
) -> tuple[list[Path], dict[str, float], str]:
    """Predicts to the job's output: a file, or a folder in which each file of `data.predict_file` gets one.

    Each file of a folder is predicted as by a command of its own, but the checkpoint is loaded once. The parts of all
    files are kept until the last one is written, so that the same command resumes after the files that are complete.

    Args:
        job: the prediction.
        data: has the rows.
        predict: predicts the rows of the data to the job's file.
        measure: of all rows in files with labels.
        joins: whether this process joins the parts.

    Returns:
        The files that were written; the metrics of all rows in files with labels; and for a folder how many files these
        are, to be added to the metrics' title.

    Raises:
        UserError: for anything wrong in the options or the files, before the first file is predicted.
    """
    if not is_folder(job.options.output):
        predict()
        return [] if job.path is None else [job.path], job.metrics, ""
    files, done, labelled = _files(job.options, data), list[PredictionParts](), list[PredictionParts]()
    try:
        for source, output in files.items():
            note(f"predict: file {len(done) + 1:,} of {len(files):,}: {source}")
            data.predict_file(source)
            job.write_next_to(output)
            predict()
            done.append(job.parts)
            if job.metrics:
                labelled.append(job.parts)
                note(f"predict: {output}: {_in_short(job.metrics)}")
    except BaseException:
        if done:
            note(f"predict: {len(done):,} of {plural(len(files), 'file')} complete; run the same command to resume")
        raise
    metrics: dict[str, float] = {}
    if joins:
        metrics = metrics_of(labelled, measure)
        for parts in done:
            parts.remove()
    some = f"{len(labelled):,} of " if len(labelled) < len(done) else ""
    return list(files.values()), metrics, f", {some}{plural(len(done), 'file')}"


def _files(options: PredictOptions, data: EncodedData) -> dict[Path, Path]:
    """The input files and what is written for each; makes the folder."""
    folder = expand_path(options.output, "--output")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{options.output}: {folder} is a file; write it without the / at its end, or {OTHER_OUTPUT}")
    named = data.files("predict")
    if named is None:
        raise UserError(f"{options.output}: a folder, for the files of data.predict_file; --output names a file here")
    ending, sources = find_format(options.format).ending, resolve_files(named, "data.predict_file")
    of_output: dict[Path, list[Path]] = defaultdict(list)
    for source in sources:
        of_output[folder / f"{stem_of(source, data.read_options)}{ending}"].append(source)
        if folder.resolve() in (source.resolve(), source.resolve().parent):
            raise UserError(f"{source}: is in the folder {options.output}, where predictions go; {OTHER_OUTPUT}")
    for output, several in of_output.items():
        if len(several) > 1:
            raise UserError(f"{several[0]} and {several[1]}: both would be {output}; predict them in two commands")
    taken = [output for output in of_output if os.path.lexists(output) and not is_joined(output)]
    if taken and not options.overwrite:
        of = f" ({len(taken):,} of {plural(len(of_output), 'file')} do)" if len(of_output) > 1 else ""
        raise UserError(f"{taken[0]}: exists already{of}; add --overwrite, or {OTHER_OUTPUT}")
    if not folder.resolve().parent.is_dir():
        raise UserError(f"{folder}: the folder {folder.parent} does not exist; make it, or {OTHER_OUTPUT}")
    for source in sources:  # a mistake in the last file shows before the first one is predicted
        data.predict_file(source)
        with hushed():
            data.read("predict")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from None
    return {several[0]: output for output, several in of_output.items()}


def _in_short(metrics: dict[str, float]) -> str:
    """The metrics that progress bars show, or all of them."""
    named = {name.removeprefix("predict_"): value for name, value in metrics.items()}
    names = [name for name in shown_in("progress_bar") if name in named] or list(named)
    return ", ".join(f"{name} {named[name]:.4f}" for name in names)
