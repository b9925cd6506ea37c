"""The engine that computes the logits of `validate`, `test` and `predict`: torch, or ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.export.onnx_runtime import CPU, digest_of_folder, read_model_folder
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import expand_path

if TYPE_CHECKING:
    from lit_textclf.classifier.module import TextClassifier
    from lit_textclf.cli.precedence import Arguments


def add_engine_options(parser: ArgumentParser) -> None:
    """Adds `--engine`, `--model_dir` and `--execution_provider`."""
    parser.add_argument("--engine", choices=["torch", "onnx"], default="torch", help="what computes the logits")
    parser.add_argument("--model_dir", type=str | None, help="with --engine onnx: the folder of export --format onnx")
    parser.add_argument(
        "--execution_provider", type=str, default=CPU, help="with --engine onnx: its name in onnxruntime"
    )


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

    def attach_to(self, classifier: TextClassifier) -> None:
        """Lets the folder's model compute a classifier's logits."""
        from lit_textclf.export.onnx_model import OnnxModel

        model = OnnxModel(self.stored.path, self.execution_provider, folded=classifier.calibration)
        classifier.attach(model, digest_of_folder(self.folder, self.execution_provider))
        note(f"engine: onnxruntime, {self.execution_provider}, {self.stored.path}")
