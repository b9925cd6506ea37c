"""The table of exporters. A new one is a file with an `Exporter`, and a line here."""

from __future__ import annotations

from lit_textclf.export.exporter import Exporter
from lit_textclf.export.huggingface import HuggingFaceExporter
from lit_textclf.export.onnx import OnnxExporter
from lit_textclf.utils.class_path import load_named
from lit_textclf.utils.messages import UserError

EXPORTERS: dict[str, type[Exporter]] = {"hf": HuggingFaceExporter, "onnx": OnnxExporter}


def find_exporter(name: str, quantize: str | None = None) -> Exporter:
    """The exporter that `--format` names, from the table or by the dotted path of a user's class.

    Raises:
        UserError: if the name is unknown, the class is not an Exporter, or it cannot quantize that way.
    """
    exporter = load_named(name, EXPORTERS, Exporter, "--format")
    if quantize is not None and quantize not in exporter.quantizations:
        able = [other for other, kind in EXPORTERS.items() if quantize in kind.quantizations]
        known = ", ".join(dict.fromkeys(each for kind in EXPORTERS.values() for each in kind.quantizations))
        raise UserError(f"--quantize {quantize} is for --format {able[0]}" if able else f"--quantize: must be {known}")
    return exporter()


def formats_help() -> str:
    """The help of `--format`."""
    known = "; ".join(f"{name}: {exporter.help}" for name, exporter in EXPORTERS.items())
    return f"{known}; or the dotted path of your own Exporter class"
