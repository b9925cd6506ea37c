"""Attributes of packages that are imported on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def lazy_attributes(package: str, **modules: str) -> Callable[[str], Any]:
    """A `__getattr__` (PEP 562) that imports a package's attributes on first use, each from its module in the package.

    `lit-textclf --help` is then fast, and modules of a package can be used without Lightning.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return get
