"""The command `export`: a checkpoint as a folder that transformers, or ONNX Runtime, loads by itself."""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lit_textclf.adapters import merged
from lit_textclf.architecture import fold_temperature
from lit_textclf.checkpoint import StoredRun, find_checkpoint, read_checkpoint
from lit_textclf.classifier import TextClassifier
from lit_textclf.data import TextDataModule
from lit_textclf.errors import UserError, say
from lit_textclf.model_card import model_card, read_run_file
from lit_textclf.onnx_export import put_int8_in_place, write_onnx
from lit_textclf.parser import NOT_OPTIONS, Parser
from lit_textclf.rows.paths import expanded

SAMPLES = ("A short text.", "a somewhat longer one, with words that no training has seen: 42 -- qwx", "!")
"""Texts on which the folder is compared with the checkpoint before it is put in place."""


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
    output = expanded(options.output, "--output")
    _check_folder(output, overwrite=options.overwrite)
    root = expanded(options.trainer.default_root_dir, "trainer.default_root_dir")
    stored = read_checkpoint(find_checkpoint(options.ckpt_path, root))
    data = _validation_rows(parser, args, stored) if options.quantize is not None else None
    with _beside(output) as folder:
        if options.format == "onnx":
            stored = write_onnx(stored, folder)
            if data is not None:
                put_int8_in_place(stored, folder, data, options.max_accuracy_drop)
        else:
            write_hf(stored, folder)
        card = model_card(stored, output.name, form=options.format, quantized=options.quantize)
        (folder / "README.md").write_text(card, encoding="utf-8")
        _put_in_place(folder, output)
    if options.push_to_hub is not None:
        _push(output, options.push_to_hub)
    if options.format == "onnx":
        say(f"next: lit-textclf predict --engine onnx --model_dir {output} --data.predict_file FILE")
        return {}, [output]
    if stored.data.get("long_text", "truncate") != "truncate":
        say(
            f"export: transformers' pipeline reads the first {stored.data.get('max_length')} tokens of a text; "
            f"data.long_text {stored.data['long_text']} is not carried, so that longer texts get other predictions"
        )
    say(f'next: python -c "from transformers import pipeline; print(pipeline(model={str(output)!r})({SAMPLES[0]!r}))"')
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


def _validation_rows(parser: Parser, args: Sequence[str], stored: StoredRun) -> TextDataModule:
    """The rows that `--quantize` is measured on: those of the run's own config, where `data.*` does not say otherwise.

    Raises:
        UserError: if neither names any.
    """
    config = read_run_file(stored, "config.yaml").get("data")
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
    if not any(data.sets.has(split) for split in ("train", "validation")):
        raise UserError(
            "--quantize int8 measures what it costs on validation rows: set --data.validation_file (the run's own "
            "config.yaml is not beside the checkpoint)"
        )
    return data


def write_hf(stored: StoredRun, folder: Path) -> None:
    """Writes model and tokenizer into a folder, loads them as transformers does, and compares.

    Raises:
        UserError: if what was written does not give the checkpoint's logits.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    # With transformers' own modules: what is computed otherwise here is no part of the weights.
    classifier = TextClassifier.load_from_checkpoint(stored.path, map_location="cpu", fast_kernels=False)
    classifier.eval()
    plain = merged(classifier.model)
    model = copy.deepcopy(plain)
    temperature = fold_temperature(model, stored)
    longest = int(stored.data.get("max_length", 256))
    tokenizer = classifier.tokenizer
    tokenizer.model_max_length = longest
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    inputs = AutoTokenizer.from_pretrained(folder, local_files_only=True)(
        list(SAMPLES), padding=True, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        expected: Tensor = classifier(**inputs)
        found: Tensor = loaded(**inputs).logits * temperature
    difference = float((expected - found).abs().max())
    # Weights with LoRA's products added are rounded once more, in every layer.
    if not difference < (1e-5 if plain is classifier.model else 1e-4):
        raise UserError(f"{folder}: what was written gives other logits than {stored.path} (by {difference:.2g})")
    say(f"export: {type(loaded).__name__} loads in transformers; largest difference of logits {difference:.1g}")


def _check_folder(output: Path, *, overwrite: bool) -> None:
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists() and (not overwrite or not output.is_dir()):
        remedy = "add --overwrite, or choose another --output" if output.is_dir() else "choose another --output"
        raise UserError(f"{output}: exists already; {remedy}")
    if output.exists() and not (output / "config.json").is_file():
        raise UserError(f"{output}: a folder without config.json, which export did not write; choose another --output")
    if not output.resolve().parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; make it, or choose another --output")


@contextlib.contextmanager
def _beside(output: Path) -> Any:
    """A folder beside the one that is to be, removed if it does not take its place.

    Raises:
        UserError: if it cannot be written.
    """
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(dir=output.resolve().parent, prefix=f".{output.name:.60}."))
        folder.chmod(0o755)
        yield folder
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror or error}); choose another --output") from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, output: Path) -> None:
    real = output.resolve()
    if not real.exists():
        folder.rename(real)
        return
    old = Path(tempfile.mkdtemp(dir=real.parent, prefix=f".{real.name:.60}.old."))
    try:
        real.rename(old / "old")
        folder.rename(real)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _push(folder: Path, name: str) -> None:
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(name, exist_ok=True)
        url = api.upload_folder(repo_id=name, folder_path=folder)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"--push_to_hub {name}: {reason:.200}; {folder} is written and can be uploaded later") from None
    say(f"export: uploaded to {url}")
