"""Imports every module of the package: `python -m tests.import_all`.

Prints how many there are, and the packages named as arguments that were imported with them.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys

import lit_textclf

# Modules whose classes are those of an extra; only commands that need the extra import them.
WITH_AN_EXTRA = {"lit_textclf.serving.endpoint", "lit_textclf.serving.server", "lit_textclf.serving.worker"}

if __name__ == "__main__":
    names = [module.name for module in pkgutil.walk_packages(lit_textclf.__path__, "lit_textclf.")]
    names = [name for name in names if name not in WITH_AN_EXTRA]
    for name in names:
        if name != "lit_textclf.__main__":  # it runs the command line
            importlib.import_module(name)
    print(json.dumps({"modules": len(names), "imported": [name for name in sys.argv[1:] if name in sys.modules]}))
