"""The command line before anything heavy is imported: help, version, config files, environment, their order."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_textclf.errors import UserError, nearest
from lit_textclf.version import __version__

COMMANDS = {
    "fit": "fine-tune a model on labelled rows",
    "validate": "measure a checkpoint on the validation rows",
    "test": "measure a checkpoint on the test rows",
    "predict": "write a checkpoint's predictions to a CSV file",
}
LATER = ("check", "export", "compare", "init")
LATER_KEYS = (
    "data.long_text",
    "data.label_columns",
)
FLAGS = ("--overwrite", "--with_logits", "--keep_columns")
ENVIRONMENT_PREFIX = "LIT_TEXTCLF_"

HELP = """\
usage: lit-textclf [--help] [--version] {{{names}}} [options]

Fine-tunes BERT-family text classifiers on your own rows, and predicts to CSV.

{commands}

  lit-textclf fit --config cfg.yaml                       options of a command: lit-textclf fit --help
  lit-textclf fit --data.train_file train.csv --data.validation_split 0.1
  lit-textclf test --ckpt_path best --data.test_file test.csv
  lit-textclf predict --ckpt_path best --data.predict_file new.csv --output predictions.csv

Order of precedence: defaults < checkpoint < --config files < environment ({prefix}DATA__BATCH_SIZE=16) < flags.
"""


def main(args: Sequence[str] | None = None) -> dict[str, float]:
    """Runs a command of the tool in this process.

    Args:
        args: what follows the program's name, as `["fit", "--config", "cfg.yaml"]`; None takes `sys.argv`.

    Returns:
        The metrics by name, where the command has any.

    Raises:
        SystemExit: with code 2 after a line on standard error, for a mistake of the user's; with 1 where a signal
            stopped it; with 0 after help.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help"):
        commands = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
        print(HELP.format(names=",".join(COMMANDS), commands=commands, prefix=ENVIRONMENT_PREFIX), end="")
        raise SystemExit(0)
    if arguments[0] == "--version":
        print(f"lit-textclf {__version__}")
        raise SystemExit(0)
    try:
        if arguments[0] in LATER:
            raise UserError(f"{arguments[0]} is not there yet; the commands are {', '.join(COMMANDS)}")
        if arguments[0] not in COMMANDS:
            raise UserError(f"no command {arguments[0]!r}{nearest(arguments[0], COMMANDS)}; see lit-textclf --help")
        from lit_textclf.cli import run  # imports Lightning, which takes seconds

        return run(arguments)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        raise SystemExit(1) from None


def main_script() -> None:
    """The console script `lit-textclf`; a script's return value would become its exit code."""
    main()


def in_order_of_precedence(
    args: Sequence[str], known: Iterable[str], environment: Mapping[str, str] = os.environ
) -> list[str]:
    """Puts config files first, then the environment, then flags: the parser lets the later one win.

    Args:
        args: the command and its options, as typed.
        known: the keys of the command, as `data.batch_size`.
        environment: the environment's variables; those with our prefix count.

    Raises:
        UserError: if a config file is missing, no YAML or has an unknown key, or the environment has one.
    """
    known = list(known)
    command, *rest = args
    configs: list[str] = []
    flags: list[str] = []
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name in ("--config", "-c"):
            if not equals and not rest:
                raise UserError("--config needs the name of a file")
            configs.append(value if equals else rest.pop(0))
        elif argument in FLAGS and not (rest and rest[0].lower() in ("true", "false")):
            flags.append(f"{argument}=true")
        else:
            flags.append(argument)
    if sum(argument.partition("=")[0] == "--text" for argument in flags) > 1:
        raise UserError("--text is given twice; put several texts into a file (--data.predict_file)")
    variables: list[str] = []
    for variable, value in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX):
            key = variable.removeprefix(ENVIRONMENT_PREFIX).replace("__", ".").lower()
            if key == "config":
                configs.insert(0, value)
                continue
            if key not in known:
                raise UserError(f"the environment's {variable}: no key {key!r}{nearest(key, known)}")
            variables.append(f"--{key}={value}")
    for config in configs:
        check_config(config, known, command)
    return [command, *(f"--config={config}" for config in configs), *variables, *flags]


def check_config(file: str, known: Sequence[str], command: str) -> None:
    """Refuses a config file that is missing, no YAML, or has an unknown key, and names the nearest.

    Raises:
        UserError: naming the file, the line or the key.
    """
    import yaml

    path = Path(file).expanduser()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: the config cannot be read ({error.strerror}); change --config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark is not None else ""
        raise UserError(f"{file}:{line} not YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: a config is a mapping of keys such as 'data:', this is {type(content).__name__}")
    for key, value in _keys(content, known):
        if key in LATER_KEYS:
            raise UserError(f"{file}: {key} is not supported yet; remove it")
        if key not in known:
            raise UserError(f"{file}: {command} has no key {key!r}{nearest(key, known)}")
        if key == "data.labels" and value is not None:
            _check_label_names(value, file)


def _keys(content: Mapping[Any, Any], known: Sequence[str], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """The keys of a config as `data.batch_size`; what lies below a known key is its value."""
    for name, value in content.items():
        key = f"{prefix}{name}"
        group = any(other.startswith(f"{key}.") for other in known) and key in ("trainer", "model", "data")
        if group and isinstance(value, Mapping):
            yield from _keys(value, known, f"{key}.")
        else:
            yield key, value


def _check_label_names(value: Any, file: str) -> None:
    for name in value if isinstance(value, list) else [value]:
        if not isinstance(name, str):
            raise UserError(
                f"{file}: data.labels: YAML reads a name as {name!r}, a {type(name).__name__}; put it in quotes"
            )
