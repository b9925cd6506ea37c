"""The command `export`: writes a checkpoint as a folder that transformers or ONNX Runtime loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_textclf.classifier.checkpoint import find_checkpoint, read_checkpoint
from lit_textclf.classifier.inference.stored import CheckpointInfo
from lit_textclf.cli.parser import Parser, add_data_options
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.export.formats import find_exporter, formats_help
from lit_textclf.export.huggingface import push_to_hub
from lit_textclf.export.model_card import model_card
from lit_textclf.utils.atomic import atomic_folder, check_output_folder
from lit_textclf.utils.messages import UserError, note, still_working
from lit_textclf.utils.paths import expand_path
from lit_textclf.utils.run_folder import options_of_run


def export(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Writes a checkpoint as a folder for other tools: weights, configuration, tokenizer, model card."""
    parser = _parser()
    options = parser.parse_args(list(args[1:]))
    if options.ckpt_path is None or options.output is None:
        raise UserError("export needs --ckpt_path (a checkpoint, last or best) and --output (the folder to write)")
    exporter = find_exporter(options.format, options.quantize)
    output = expand_path(options.output, "--output")
    check_output_folder(output, options.overwrite)
    root = expand_path(options.trainer.default_root_dir, "trainer.default_root_dir")
    stored = read_checkpoint(find_checkpoint(options.ckpt_path, root))
    data = _validation_rows(parser, args, stored) if options.quantize is not None else None
    with atomic_folder(output) as folder, still_working("export"):
        stored = exporter.write(stored, folder)
        if data is not None:
            exporter.quantize(stored, folder, data, options.max_accuracy_drop)
        card = model_card(stored, output.name, exporter, options.quantize)
        (folder / "README.md").write_text(card, encoding="utf-8")
    if options.push_to_hub is not None:
        with still_working("upload"):
            push_to_hub(output, options.push_to_hub)
    for line in exporter.report(stored, output):
        note(line)
    return {}, [output]


def _parser() -> Parser:
    parser = Parser(prog="lit-textclf export", description="Writes a checkpoint in a format that other tools load.")
    parser.add_argument("--ckpt_path", type=str, help="the checkpoint: a file, a run's folder, last or best")
    parser.add_argument("--output", type=str, help="the folder to write")
    parser.add_argument("--format", type=str, default="hf", help=formats_help())
    parser.add_argument(
        "--quantize", type=str | None, default=None,
        help="with --format onnx: int8 weights; their cost is measured on the run's validation rows, or on the rows of "
        "data.*",
    )  # fmt: skip
    parser.add_argument(
        "--max_accuracy_drop", type=float, default=0.01,
        help="the most that --quantize may cost: accuracy, micro F1 of label sets, Pearson's r of a regression",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it exists")
    parser.add_argument("--push_to_hub", type=str | None, default=None, help="also upload to this name on the Hub")
    parser.add_argument("--trainer.default_root_dir", type=str, default=".", help="where to look for last and best")
    add_data_options(parser, TextDataModule)
    return parser


def _validation_rows(parser: Parser, args: Sequence[str], stored: CheckpointInfo) -> TextDataModule:
    """The rows to measure `--quantize` on: those of the run's config, unless `data.*` sets others."""
    known = set(parser.option_keys)
    of_run = {key: value for key, value in options_of_run(stored.path).items() if key.startswith("data.")}
    carried = {f"data.{name}": value for name, value in stored.data.items()}
    typed = {argument.partition("=")[0].removeprefix("--") for argument in args}
    if typed & {"data.train_file", "data.validation_file", "data.dataset_name"}:  # the run's splits do not apply
        of_run = {}
    parser.set_defaults({name: value for name, value in {**of_run, **carried}.items() if name in known})
    data = TextDataModule(**parser.parse_args(list(args[1:])).data.as_dict())
    if not any(data.has(split) for split in ("train", "validation")):
        raise UserError(
            "--quantize measures its cost on validation rows: set --data.validation_file (the run's own "
            "config.yaml is not next to the checkpoint)"
        )
    return data
