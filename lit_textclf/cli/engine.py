"""The engine that computes the logits of `validate`, `test` and `predict`: torch, or ONNX Runtime."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import ArgumentParser

from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.export.onnx_runtime import CPU, digest_of_folder, read_model_folder
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import expand_path

if TYPE_CHECKING:
    from lit_textclf.classifier.module import TextClassifier
    from lit_textclf.cli.precedence import Arguments
    from lit_textclf.data.encoded_data import EncodedData


def add_runtime_options(parser: ArgumentParser) -> None:
    """Adds `--engine`, `--model_dir` and `--execution_provider`."""
    parser.add_argument("--engine", choices=["torch", "onnx"], default="torch", help="what computes the logits")
    parser.add_argument("--model_dir", type=str | None, help="with --engine onnx: the folder of export --format onnx")
    parser.add_argument(
        "--execution_provider", type=str, default=CPU, help="with --engine onnx: its name in onnxruntime"
    )


def add_engine_options(parser: ArgumentParser) -> None:
    """Adds the options of :func:`add_runtime_options`, and `--threshold`."""
    add_runtime_options(parser)
    parser.add_argument(
        "--threshold", type=float | Literal["best"] | dict[str, float] | None, default=None,
        help="decision threshold of the positive label, or of every label of a label set, or {label: "
        "threshold}; best uses those stored in the checkpoint",
    )  # fmt: skip


def fill_in(
    options: Any, stored: CheckpointInfo, values: dict[str, dict[str, Any]], typed: Arguments,
    always: Collection[str] = (),
) -> CheckpointInfo:  # fmt: skip
    """Fills in what the options leave open with a checkpoint's values.

    null in a saved config meant the value in the checkpoint; null on the command line means null.

    Args:
        options: as a parser returns them.
        stored: the checkpoint's.
        values: by section and name.
        typed: where options come from.
        always: names of options that only the command line sets.

    Returns:
        What the checkpoint has, with the positive label of the options: it only selects the label of F1, not
        predictions, and may differ.

    Raises:
        UserError: if task or labels contradict the checkpoint.
    """
    for section, of_section in values.items():
        for name, value in of_section.items():
            is_open = options[section].get(name) in (None, "auto") or name in always
            if is_open and f"{section}.{name}" not in typed.keys:
                options[section][name] = value
    data = options.data
    if conflict := stored.target.conflict(data.task, data.labels):
        raise UserError(f"{stored.path}: {conflict}")
    return replace(stored, target=replace(stored.target, positive_label=data.positive_label))


def carried_data(stored: CheckpointInfo, known: Collection[str]) -> dict[str, Any]:
    """The options of data that a checkpoint has values for, as far as a parser knows them."""
    return {name: value for name, value in stored.data.items() if f"data.{name}" in known}


def check_rows_or_text(text: str | None, data: EncodedData, command: str) -> None:
    """Refuses a command on rows to predict without rows; `--text` is its row.

    Raises:
        UserError: naming the option to set or to remove.
    """
    if text is None and not data.has("predict"):
        raise UserError(f"{command} needs rows: set --data.predict_file, or --text")
    if text is not None and data.columns.text_pair is not None:
        raise UserError("--text is one text, and the checkpoint's model reads pairs; use --data.predict_file")
    if text is not None:
        data.predict_texts([text])


def refuse_text_and_file(text: str | None, options: Any) -> None:
    """Refuses two sources of rows; `options` are those of `data`."""
    if text is not None and options.predict_file is not None:
        raise UserError("--text and data.predict_file exclude each other; remove one")


@dataclass(frozen=True)
class Engine:
    """ONNX Runtime, used instead of torch; `stored` has what a checkpoint would have."""

    folder: Path
    execution_provider: str
    stored: CheckpointInfo

    @classmethod
    def from_options(cls, options: Any) -> Engine | None:
        """The engine that the options of a command select; None for torch.

        Raises:
            UserError: if options contradict each other, or `export` did not write the folder.
        """
        if options.get("engine", "torch") == "torch":
            if options.get("model_dir") is not None:
                raise UserError("--model_dir is for --engine onnx; use --ckpt_path for a checkpoint")
            if options.get("execution_provider", CPU) != CPU:
                raise UserError("--execution_provider is for --engine onnx; with torch, use trainer.accelerator")
            return None
        if options.model_dir is None:
            raise UserError("--engine onnx needs --model_dir: the folder that export --format onnx wrote")
        if options.ckpt_path is not None:
            raise UserError("--engine onnx takes its model from --model_dir; remove --ckpt_path")
        folder = expand_path(options.model_dir, "--model_dir")
        return cls(folder, options.execution_provider, read_model_folder(folder))

    def take_over(self, trainer: Any, typed: Arguments) -> None:
        """Sets the Trainer to CPU and float32, and notes options that are therefore ignored."""
        for name, ours in (("accelerator", "cpu"), ("precision", "32-true")):
            if typed.set_by_user(f"trainer.{name}") and str(trainer[name]) not in (ours, "auto"):
                note(f"trainer.{name} {trainer[name]} is ignored: --engine onnx computes as the model was exported")
            trainer[name] = ours

    @property
    def digest(self) -> str:
        """A digest of the folder's model and of what computes it."""
        return digest_of_folder(self.folder, self.execution_provider)

    def attach_to(self, classifier: TextClassifier) -> None:
        """Lets the folder's model compute a classifier's logits."""
        from lit_textclf.export.onnx_model import OnnxModel

        model = OnnxModel(self.stored.path, self.execution_provider, folded=classifier.calibration)
        classifier.attach(model, self.digest)
        self.note()

    def note(self) -> None:
        """Reports what computes the logits."""
        note(f"engine: onnxruntime, {self.execution_provider}, {self.stored.path}")
