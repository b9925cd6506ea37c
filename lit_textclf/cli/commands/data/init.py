"""`init`: writes a complete, commented config for the data, ready for `fit --config`."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docstring_parser
import yaml

from lit_textclf.check.findings import Examination
from lit_textclf.check.suggest import suggested
from lit_textclf.classifier.options import CARRIED, ClassifierOptions
from lit_textclf.cli.commands.data.check import look, read_options
from lit_textclf.cli.parser import Parser
from lit_textclf.cli.precedence import Arguments
from lit_textclf.data.text_data import TextData
from lit_textclf.training.config import TensorBoardOptions, UsualTrainerOptions
from lit_textclf.utils.atomic import check_output, refuse_input, write_file
from lit_textclf.utils.messages import note, plural
from lit_textclf.utils.paths import expand_path, resolve_files

INPUTS = ("train_file", "validation_file", "test_file")
_OWNERS = {
    "data": TextData, "model": ClassifierOptions, "trainer": UsualTrainerOptions, "tensorboard": TensorBoardOptions,
    "metrics": None,
}  # fmt: skip
"""The sections of the config, and the class whose options are all in it."""


def init(args: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Writes a config whose columns, task, labels, `max_length`, `batch_size` and class weights fit the data.

    Returns:
        The options that the data decides, and the file that was written.
    """
    description = "Writes a complete, commented config for this data."
    options, given, parser = read_options("init", description, args, _add_own_options)
    path = expand_path(options.output, "--output")
    check_output(path, options.overwrite)
    refuse_input(
        path, [file for name in INPUTS if options.data[name] for file in resolve_files(options.data[name], name)]
    )
    found, most_tokens = look(options)
    decided = suggested(found, most_tokens)
    columns = found.rows["train"].columns
    decided["data"] |= {
        "text_column": columns.text_option,
        "text_pair_column": columns.text_pair,
        "label_column": columns.label,
    }
    values = yaml.safe_load(parser.dump(options))  # plain, also where a class has other arguments
    for section, chosen in decided.items():
        decided[section] = {name: value for name, value in chosen.items() if not given.set_by_user(f"{section}.{name}")}
        values[section] |= decided[section]
    text = _config(values, decided, given, found)
    write_file(path, text)
    for finding in found.severe():
        note(f"severe: {finding.line()}")
    note(f"next: lit-textclf baseline --config {path}, for the scores that a model must beat")
    note(f"next: lit-textclf fit --config {path}")
    return decided, [path]


def _add_own_options(parser: Parser) -> None:
    parser.add_argument("--output", type=str, default="config.yaml", help="the file to write")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace it if it exists")


def _config(values: dict[str, Any], decided: dict[str, dict[str, Any]], given: Arguments, found: Examination) -> str:
    """The text of the file: what was found, each option under its explanation, then what else the user has set."""
    rows = ", ".join(f"{plural(numbers['rows'], 'row')} {split}" for split, numbers in found.splits.items())
    tokens = found.splits["train"]["tokens"]
    lengths = f"median {tokens['p50']}, 99 % up to {tokens['p99']}, most {tokens['max']}"
    lines = _comment(f"{rows}; {found.unit} of a training row: {lengths}.")
    for finding in found.findings:
        if finding.severity != "note":
            lines += _comment(f"{finding.severity}: {finding.line()}")
    lines += _comment("Options marked (found) come from the data; the others are defaults, or were set by you.")
    lines += ["", "seed_everything: 42"]
    for section, owner in _OWNERS.items():
        meanings = {} if owner is None else _meanings(owner)
        others = {name for name in values.get(section, {}) if given.set_by_user(f"{section}.{name}")} - meanings.keys()
        if not meanings and not others:
            continue
        lines += ["", f"{section}:"]
        for name, meaning in {**meanings, **dict.fromkeys(sorted(others), "(set by you)")}.items():
            mark = "(found) " if name in decided.get(section, {}) else ""
            lines += _comment(mark + meaning, "  ")
            lines.append(f"  {name}: {_formatted(values[section].get(name))}")
    return "\n".join(lines) + "\n"


def _formatted(value: Any) -> str:
    """A value on one line of YAML, with strings in quotes: other parsers read 1e3 as a number, PyYAML as a string."""
    strings = isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value))
    style = '"' if strings else None
    # A bare value would end with a document end mark (...); in a list it does not.
    line = yaml.safe_dump([value], allow_unicode=True, default_flow_style=True, width=10**6, default_style=style)
    return str(line.strip()[1:-1])


def _meanings(owner: type) -> dict[str, str]:
    """The explanations of a class's options, in the order of its signature."""
    meanings = {part.arg_name: part.description or "" for part in docstring_parser.parse(owner.__doc__ or "").params}
    return {name: meanings[name] for name in inspect.signature(owner).parameters if name not in CARRIED}


def _comment(text: str, indent: str = "") -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(" ".join(text.split()), 118, initial_indent=start, subsequent_indent=start)
