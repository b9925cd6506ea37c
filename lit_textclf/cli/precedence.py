"""Puts arguments in order of precedence before a parser reads them: config files, environment, flags."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lit_textclf.cli.parser import what_is_meant
from lit_textclf.utils.messages import ENVIRONMENT_PREFIX, SHOW_TRACEBACK, UserError
from lit_textclf.utils.run_folder import SECTIONS

FLAGS = ("--overwrite", "--with_logits", "--keep_columns", "--strict")


@dataclass
class Arguments:
    """Arguments in order of precedence, and the source of each.

    Attributes:
        args: for the parser: the command, `--config` of each file, the environment's values, the flags.
        text: the value of `--text` as typed: a parser would read `null` and `-1` as something else.
        keys: the keys that flags or the environment set, as `data.batch_size`.
        files: the file that sets each key of the config files; the last one if several do.
    """

    args: list[str]
    text: str | None = None
    keys: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)

    def set_by_user(self, key: str) -> bool:
        """Whether a flag, the environment or a config file sets a key, or an argument of the class that it names."""
        below = (f"{key}.", f"{key}+")
        return key in self.files or any(name == key or name.startswith(below) for name in self.keys)


def in_order_of_precedence(
    typed: Sequence[str], known: Iterable[str], environment: Mapping[str, str] = os.environ
) -> Arguments:
    """Puts config files first, then the environment, then flags: the parser lets the later one win.

    The command comes first in `typed`. `known` are its keys, as `data.batch_size`.

    Raises:
        UserError: if a config file is missing or not YAML, or it or the environment has an unknown key.
    """
    known = list(known)
    found = Arguments([typed[0]])
    configs, flags = _typed(list(typed[1:]), found)
    variables: list[str] = []
    for variable, value in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable != SHOW_TRACEBACK:
            key = variable.removeprefix(ENVIRONMENT_PREFIX).replace("__", ".").lower()
            if key == "config":
                configs.insert(0, value)
                continue
            if key not in known:
                raise UserError(f"the environment's {variable}: no key {key!r}{what_is_meant(key, known, '')}")
            found.keys.add(key)
            variables.append(f"--{key}={value}")
    for config in configs:
        content, keys = read_config(config, known, typed[0])
        found.files.update(dict.fromkeys(keys, config))
        if content:
            found.args.append(f"--config={content}")
    found.args += [*variables, *flags]
    return found


def _typed(rest: list[str], found: Arguments) -> tuple[list[str], list[str]]:
    """Separates `--config` and `--text` from the other arguments; returns the config files and the others."""
    configs: list[str] = []
    flags: list[str] = []
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if name in ("--config", "-c", "--text"):
            if not equals and not rest:
                raise UserError(f"{name} needs {'a text' if name == '--text' else 'the name of a file'}")
            value = value if equals else rest.pop(0)
            if name != "--text":
                configs.append(value)
            elif found.text is None:
                found.text = value
            else:
                raise UserError("--text is given twice; put several texts into a file (--data.predict_file)")
        elif argument in FLAGS and not (rest and rest[0].lower() in ("true", "false")):
            flags.append(f"{argument}=true")
            found.keys.add(argument[2:])
        else:
            flags.append(argument)
            if name.startswith("--"):
                found.keys.add(name[2:])
    return configs, flags


def read_config(file: str, known: Sequence[str], command: str) -> tuple[str, list[str]]:
    """Checks a config file before the parser reads it.

    A custom loader of jsonargparse (`set_loader`) is not enough: 4.53 passes it the text without the file's name, and
    accepts `data: 7`, empty sections, and labels that YAML reads as numbers.

    Returns:
        The config for the parser and its keys, as `data.batch_size`. The config is the file's name; or its text
        without empty sections, if it has any; or an empty string, if nothing is left.

    Raises:
        UserError: naming the file, the line or the key, if the file is missing or not YAML, or has an unknown or a
            repeated key.
    """
    path = Path(file).expanduser()
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        _refuse_repeated(node, file)
        content = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise UserError(f"{file}: the config cannot be read ({error.strerror}); change --config") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark is not None else ""
        raise UserError(f"{file}:{line} not YAML ({getattr(error, 'problem', None) or error})") from None
    if content is None:
        return "", []
    if not isinstance(content, dict):
        raise UserError(f"{file}: a config is a mapping of keys such as 'data:', this is {type(content).__name__}")
    options = list(_keys(content, known))
    for key, value in options:
        _check_key(key, value, known, command, file)
    keys = [key for key, _ in options]
    empty = [name for name in (*SECTIONS, "seed_everything") if name in content and content[name] in (None, {})]
    if not empty or node is None:
        return str(path), keys
    # The parser refuses empty sections. Nodes keep each value as written: 1e-5 stays a number.
    node.value = [(name, value) for name, value in node.value if name.value not in empty]
    return (yaml.serialize(node) if node.value else ""), [key for key in keys if key not in empty]


def _refuse_repeated(node: Any, file: str) -> None:
    """Refuses a key that a mapping has twice: YAML would take the last one."""
    if not isinstance(getattr(node, "value", None), list):
        return
    seen: set[str] = set()
    for child in node.value:
        name, value = child if isinstance(child, tuple) else (None, child)
        if name is not None:
            if str(name.value) in seen:
                raise UserError(f"{file}: line {name.start_mark.line + 1}: {name.value} appears a second time")
            seen.add(str(name.value))
        _refuse_repeated(value, file)


def _keys(content: Mapping[Any, Any], known: Sequence[str], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """The keys of a config as `data.batch_size`, with their values; a mapping below a known key is its value."""
    for name, value in content.items():
        key = f"{prefix}{name}"
        if key in SECTIONS and isinstance(value, Mapping) and any(other.startswith(f"{key}.") for other in known):
            yield from _keys(value, known, f"{key}.")
        else:
            yield key, value


def _check_key(key: str, value: Any, known: Sequence[str], command: str, file: str) -> None:
    if key in SECTIONS:
        if value is not None:
            raise UserError(f"{file}: {key} is a section of keys, not {value!r}")
        return
    if key not in known:
        raise UserError(f"{file}: {command} has no key {key!r}{what_is_meant(key, known, '')}")
    names: Iterable[Any] = []
    if key == "data.labels" and value is not None:
        names = value if isinstance(value, list) else [value]
    elif key == "model.class_weights" and isinstance(value, dict):
        names = value
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"{file}: {key}: YAML reads a name as {name!r}, a {type(name).__name__}; put it in quotes")
