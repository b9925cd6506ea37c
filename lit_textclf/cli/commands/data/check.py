"""`check`: examines the data, without weights and without training."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_textclf.check import CHECKS
from lit_textclf.check.findings import Examination, Finding
from lit_textclf.check.suggest import suggested
from lit_textclf.check.tables import show
from lit_textclf.classifier.options import CARRIED, ClassifierOptions
from lit_textclf.cli.parser import Parser, add_data_options, built_once, config_parser
from lit_textclf.cli.precedence import Arguments, in_order_of_precedence
from lit_textclf.data.text_data import TextData
from lit_textclf.data.tokens.special_tokens import SpecialTokens
from lit_textclf.data.tokens.tokenizer import read_tokenizer
from lit_textclf.models.config import DEFAULT_MODEL, positions_of
from lit_textclf.training.config import TensorBoardOptions, UsualTrainerOptions
from lit_textclf.utils.imports.arrow import leave_out_pandas
from lit_textclf.utils.messages import UserError, note, plural
from lit_textclf.utils.paths import is_local

if TYPE_CHECKING:
    from lit_textclf.data.tokens.tokenizer import TextTokenizer


def check(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Prints what the data contains, what is wrong with it, and which options fit it.

    Returns:
        What `--format json` prints; no files.

    Raises:
        SystemExit: with code 1, with `--strict`, if a finding is severe.
    """
    description = "Prints what the data contains, what is wrong with it, and which options fit it."
    options, _, _ = read_options("check", description, args, _add_own_options)
    found, most_tokens = look(options)
    if options.format == "json":
        print(json.dumps(found.to_dict(), indent=2))
    else:
        show(found, suggested(found, most_tokens))
        _say_next(list(args[1:]))
    if options.strict and (severe := found.severe()):
        note(f"{len(severe)} severe: {', '.join(dict.fromkeys(finding.kind for finding in severe))}")
        raise SystemExit(1)
    return found.to_dict(), []


def _add_own_options(parser: Parser) -> None:
    parser.add_argument("--format", choices=["table", "json"], default="table", help="json is for programs")
    parser.add_argument("--strict", type=bool, default=False, help="exit with 1 if a finding is severe")


def _say_next(typed: Sequence[str]) -> None:
    """Prints the commands to run after `check`, with the options that were typed."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--strict", nargs="?")
    own.add_argument("--format")
    _, others = own.parse_known_args(typed)
    options = shlex.join(others)
    configured = any(name.partition("=")[0] in ("--config", "-c") for name in others)
    command = "fit" if configured else "init"
    note(f"next: lit-textclf baseline {options}, for the scores that a model must beat")
    note(f"next: lit-textclf {command} {options}" + ("" if configured else ", for a config with these options"))


def look(options: Any) -> tuple[Examination, int | None]:
    """Reads the rows and runs all checks; returns what was found, and the longest sequence that the model reads."""
    data = TextData(**options.data.as_dict())
    if options.data.dataset_name is None and options.data.readers is None:  # which may use pandas
        leave_out_pandas()
    splits, problem = data.read_leniently()
    tokenizer = _tokenizer_of(options.model)
    # Raises the errors that `fit` would raise about options for long texts.
    pair = splits["train"].text_pair is not None
    special = 0 if tokenizer is None else len(SpecialTokens.from_tokenizer(tokenizer, pair=pair))
    data.long_text.budget(data.max_length, special, pair=pair)
    found = Examination(splits, data.target, data, tokenizer)
    found.run(CHECKS)
    unlabelled = any(finding.kind == "unlabelled" and finding.split == "train" for finding in found.findings)
    if problem is not None and not unlabelled:
        rows = len(splits["train"])
        message = f"{plural(rows, 'row')} cannot be trained on: {problem}"
        found.findings.insert(0, Finding("severe", "target", "train", rows, message, "fix it"))
    return found, _most_tokens(options.model, tokenizer)


def _most_tokens(model: Any, tokenizer: TextTokenizer | None) -> int | None:
    """The longest sequence that the model reads, from its local folder or the tokenizer; None if neither tells."""
    known: list[int | None] = []
    if tokenizer is not None and tokenizer.model_max_length < 1e9:
        known.append(tokenizer.model_max_length)
    if model.from_scratch is None and is_local(model.model_name_or_path):
        known.append(positions_of(model.model_name_or_path))
    return min((number for number in known if number is not None), default=None)


def _tokenizer_of(model: Any) -> TextTokenizer | None:
    """The tokenizer that the options name, or the default model's; None, with a note, if it is not on this machine."""
    if model.tokenizer_name_or_path is not None:
        return read_tokenizer(model.tokenizer_name_or_path, "model.tokenizer_name_or_path")
    if model.model_name_or_path != DEFAULT_MODEL:
        return read_tokenizer(model.model_name_or_path, "model.model_name_or_path")
    with contextlib.suppress(UserError):
        return read_tokenizer(DEFAULT_MODEL, "model.model_name_or_path", local_only=True)
    note(
        f"no tokenizer: {DEFAULT_MODEL} is not on this machine, and --model.tokenizer_name_or_path is not set; lengths "
        "are words between spaces"
    )
    return None


def read_options(
    command: str, description: str, args: Sequence[str], add_own_options: Callable[[Parser], None]
) -> tuple[Any, Arguments, Parser]:
    """The options of a command that needs no Lightning, in order of precedence, where they came from, and the parser.

    A parser of the options that it reads, and of those that most configs have, reads them without Lightning. What this
    parser does not know is left to the complete one: other options of a config, help, and mistakes, which it explains.
    """
    try:
        parser = plain_parser()
        add_own_options(parser)
        return *parsed(parser, args), parser
    except UserError:
        from lit_textclf.cli.lightning_process import lightning_process
        from lit_textclf.cli.sections import parser_of

        with lightning_process():
            parser = parser_of(command, description)
            add_own_options(parser)
            return *parsed(parser, args), parser


@built_once
def plain_parser() -> Parser:
    """A parser of options whose types need no Lightning."""
    parser = config_parser(add_help=False, print_config=None)
    parser.add_class_arguments(ClassifierOptions, "model", skip=set(CARRIED), sub_configs=False)
    add_data_options(parser, TextData)
    parser.add_class_arguments(UsualTrainerOptions, "trainer")
    parser.add_class_arguments(TensorBoardOptions, "tensorboard")
    return parser


def parsed(parser: Parser, args: Sequence[str]) -> tuple[Any, Arguments]:
    """The options, in order of precedence, and where they came from."""
    given = in_order_of_precedence(args, parser.option_keys)
    return parser.parse_args(given.args[1:]), given
