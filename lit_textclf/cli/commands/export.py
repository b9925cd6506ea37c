"""The command `export`: a checkpoint as a folder that transformers, or ONNX Runtime, loads by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lit_textclf.classifier.checkpoint import CheckpointInfo, find_checkpoint, read_checkpoint
from lit_textclf.cli.parser import Parser
from lit_textclf.cli.sections import NOT_OPTIONS
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.export.huggingface import SAMPLES, push_to_hub, write_hf
from lit_textclf.export.model_card import model_card
from lit_textclf.export.onnx import write_onnx
from lit_textclf.export.quantize import put_int8_in_place
from lit_textclf.utils.atomic import atomic_folder, check_output_folder
from lit_textclf.utils.messages import UserError, note
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import read_run_file


def export(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Writes a checkpoint as a folder for others: weights, configuration, tokenizer, model card.

    Args:
        args: the command and its options.

    Returns:
        Nothing, and the folder that was written.

    Raises:
        UserError: for anything wrong in the options; a folder that is there is left alone without `--overwrite`.
    """
    parser = _parser()
    options = parser.parse_args(list(args[1:]))
    if options.ckpt_path is None or options.output is None:
        raise UserError("export needs --ckpt_path (a checkpoint, last or best) and --output (the folder to write)")
    if options.quantize is not None and options.format != "onnx":
        raise UserError(f"--quantize {options.quantize} is for --format onnx")
    output = expand_path(options.output, "--output")
    check_output_folder(output, options.overwrite)
    root = expand_path(options.trainer.default_root_dir, "trainer.default_root_dir")
    stored = read_checkpoint(find_checkpoint(options.ckpt_path, root))
    data = _validation_rows(parser, args, stored) if options.quantize is not None else None
    with atomic_folder(output) as folder:
        if options.format == "onnx":
            stored = write_onnx(stored, folder)
            if data is not None:
                put_int8_in_place(stored, folder, data, options.max_accuracy_drop)
        else:
            write_hf(stored, folder)
        card = model_card(stored, output.name, form=options.format, quantized=options.quantize)
        (folder / "README.md").write_text(card, encoding="utf-8")
    if options.push_to_hub is not None:
        push_to_hub(output, options.push_to_hub)
    if options.format == "onnx":
        note(f"next: lit-textclf predict --engine onnx --model_dir {output} --data.predict_file FILE")
        return {}, [output]
    if stored.data.get("long_text", "truncate") != "truncate":
        note(
            f"export: transformers' pipeline reads the first {stored.data.get('max_length')} tokens of a text; "
            f"data.long_text {stored.data['long_text']} is not carried, so that longer texts get other predictions"
        )
    note(f'next: python -c "from transformers import pipeline; print(pipeline(model={str(output)!r})({SAMPLES[0]!r}))"')
    return {}, [output]


def _parser() -> Parser:
    parser = Parser(prog="lit-textclf export", description="Writes a checkpoint in a form that others load.")
    parser.add_argument("--ckpt_path", type=str, help="the checkpoint: a file, a run's folder, last or best")
    parser.add_argument("--output", type=str, help="the folder to write")
    parser.add_argument(
        "--format", choices=["hf", "onnx"], default="hf",
        help="hf: what AutoModel, AutoTokenizer, pipeline load; onnx: for onnxruntime, and for --engine onnx here",
    )  # fmt: skip
    parser.add_argument(
        "--quantize", type=Literal["int8"] | None, default=None,
        help="with --format onnx: int8 weights; what they cost is measured on the run's validation rows, or on others "
        "that data.* names",
    )  # fmt: skip
    parser.add_argument(
        "--max_accuracy_drop", type=float, default=0.01,
        help="the most that --quantize may cost: accuracy, micro F1 of label sets, Pearson's r of a regression",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it is there")
    parser.add_argument("--push_to_hub", type=str | None, default=None, help="also upload to this name on the Hub")
    parser.add_argument("--trainer.default_root_dir", type=str, default=".", help="where last and best are looked for")
    parser.add_class_arguments(TextDataModule, "data", skip=NOT_OPTIONS, sub_configs=False)
    return parser


def _validation_rows(parser: Parser, args: Sequence[str], stored: CheckpointInfo) -> TextDataModule:
    """The rows that `--quantize` is measured on: those of the run's own config, where `data.*` does not say otherwise.

    Raises:
        UserError: if neither names any.
    """
    config = read_run_file(stored.path, "config.yaml").get("data")
    known = {action.dest for action in parser._actions}
    of_run = {f"data.{name}": value for name, value in (config if isinstance(config, dict) else {}).items()}
    carried = {f"data.{name}": value for name, value in stored.data.items()}
    given = {argument.partition("=")[0].removeprefix("--") for argument in args}
    sources = {f"data.{name}" for name in ("train_file", "validation_file", "dataset_name")}
    if given & sources:  # other rows: the run's files and shares do not go with them
        of_run = {}
    defaults = {name: value for name, value in {**of_run, **carried}.items() if name in known}
    parser.set_defaults(defaults)
    data = TextDataModule(**parser.parse_args(list(args[1:])).data.as_dict())
    if not any(data.has(split) for split in ("train", "validation")):
        raise UserError(
            "--quantize int8 measures what it costs on validation rows: set --data.validation_file (the run's own "
            "config.yaml is not beside the checkpoint)"
        )
    return data
