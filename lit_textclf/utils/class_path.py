"""Classes and functions that users name in options, as `{class_path: my_pkg.FocalLoss, init_args: {gamma: 2}}`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from lit_textclf.utils.messages import UserError, did_you_mean, either, first_line

T = TypeVar("T")
Spec = str | Mapping[str, Any]
"""A dotted name, or `class_path` with optional `init_args`, as jsonargparse spells classes."""


def is_class_path(value: Any) -> bool:
    """Whether an option that also takes plain names has a class path."""
    return isinstance(value, Mapping) or (isinstance(value, str) and "." in value)


def split_spec(spec: Spec, option: str) -> tuple[str, dict[str, Any]]:
    """Splits the spec of an option into the dotted name and the arguments, without importing anything."""
    path: Any = spec
    arguments: Any = {}
    if not isinstance(spec, str):
        wrong = [str(key) for key in spec if key not in ("class_path", "init_args")]
        if wrong or not isinstance(spec.get("class_path"), str):
            problem = f"unknown key {wrong[0]!r}" if wrong else "class_path is missing"
            raise UserError(f"{option}: {problem}; write {{class_path: package.Name, init_args: {{...}}}}")
        path, arguments = spec["class_path"], spec.get("init_args") or {}
        if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
            raise UserError(f"{option} {path}: init_args must map argument names to values, got {arguments!r:.80}")
    if "." not in path or not all(part.isidentifier() for part in path.split(".")):
        raise UserError(f"{option} {path!r}: must be a dotted name, as package.module.Name")
    return path, dict(arguments)


def load_class(spec: Spec, option: str) -> Any:
    """Imports the class or function that the spec of an option names.

    Raises:
        UserError: if the module or the name in it does not exist, or the module cannot be imported.
    """
    path, _ = split_spec(spec, option)
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{option} {path}: no module {error.name!r}; install it, or add its folder to PYTHONPATH"
            ) from None
        raise UserError(f"{option} {path}: importing {module_name} failed: {first_line(error)}") from error
    found = getattr(module, name, None)
    if found is None:
        raise UserError(f"{option} {path}: {module_name} has no {name!r}{did_you_mean(name, vars(module))}")
    if not callable(found):
        raise UserError(f"{option} {path}: must be a class or function, not {type(found).__name__}")
    return found


def load_named(name: str, table: Mapping[str, type[T]], base: type[Any], option: str) -> type[T]:
    """The class that an option names: one of a table, or a subclass of `base` by dotted path.

    Raises:
        UserError: if the table has no such name, or the class cannot be imported or is not a subclass.
    """
    if name in table:
        return table[name]
    if "." not in name:
        raise UserError(
            f"{option} {name!r}: unknown{did_you_mean(name, table)}; use {either(table)}, or the dotted path of "
            f"your own {base.__name__}"
        )
    found = load_class(name, option)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(f"{option} {name}: must be a subclass of {base.__module__}.{base.__qualname__}")
    return found


def instantiate(spec: Spec, option: str, **kwargs: Any) -> Any:
    """Calls what the spec of an option names with its `init_args`, and with `kwargs`, which they may not repeat.

    Raises:
        UserError: as :func:`load_class`, or if the arguments do not fit.
    """
    path, arguments = split_spec(spec, option)
    made = load_class(spec, option)
    if repeated := sorted(arguments.keys() & kwargs.keys()):
        raise UserError(f"{option} {path}: {repeated[0]!r} is set by lit_textclf; remove it from init_args")
    try:
        inspect.signature(made).bind(**arguments, **kwargs)
    except TypeError as error:
        raise UserError(f"{option} {path}: {first_line(error)}; change init_args") from None
    except ValueError:  # a built-in without a signature: calling it shows what is wrong
        pass
    try:
        return made(**arguments, **kwargs)
    except (TypeError, ValueError) as error:
        raise UserError(f"{option} {path}: {type(error).__name__}: {first_line(error)}; change init_args") from error
