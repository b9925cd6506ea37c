"""Attributes of packages that are imported on first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def lazy_attributes(package: str, **modules: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` (PEP 562) of a package that imports attributes on first use, each from its module.

    `lit-textclf --help` is then fast, and modules of a package can be used without Lightning. Assign them where type
    checkers do not look, which would otherwise accept any attribute.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return get, lambda: sorted(vars(sys.modules[package])["__all__"])
