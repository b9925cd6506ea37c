"""The table of commands. A new command is a file with a function, and a line here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lit_textclf.utils.messages import ENVIRONMENT_PREFIX


class Command(NamedTuple):
    """A command of the tool.

    Attributes:
        help: one line of `lit-textclf --help`.
        function: `module:function` below `lit_textclf.cli`, imported when the command runs. It takes the arguments,
            starting with the command's name, and returns the metrics and the files that it wrote.
        lightning: whether it always needs Lightning, whose import takes seconds.
        takes_callbacks: whether the function also takes the Lightning `callbacks` passed to `main`.
    """

    help: str
    function: str
    lightning: bool = True
    takes_callbacks: bool = False

    def needs_torch(self, args: Sequence[str]) -> bool:
        """Whether it needs torch for certain."""
        return self.lightning or (self.takes_callbacks and not may_be_onnx(args))


COMMANDS = {
    "fit": Command("fine-tune a model on labelled rows", "lightning_cli:run", takes_callbacks=True),
    "validate": Command(
        "measure a checkpoint on the validation rows",
        "commands.inference.evaluate:evaluate",
        lightning=False,
        takes_callbacks=True,
    ),
    "test": Command(
        "measure a checkpoint on the test rows",
        "commands.inference.evaluate:evaluate",
        lightning=False,
        takes_callbacks=True,
    ),
    "predict": Command(
        "write a checkpoint's predictions to a CSV file",
        "commands.inference.predict:predict",
        lightning=False,
        takes_callbacks=True,
    ),
    "serve": Command(
        "answer requests over HTTP, with a page to try the model", "commands.inference.serve:serve", lightning=False
    ),
    "explain": Command(
        "write which words speak for the predicted label, and how much",
        "commands.inference.explain:explain",
        lightning=False,
    ),
    "check": Command(
        "look at the data before training: what is in it, and what is wrong",
        "commands.data.check:check",
        lightning=False,
    ),
    "init": Command("write a complete, commented config for this data", "commands.data.init:init", lightning=False),
    "export": Command("write a checkpoint as a folder that transformers loads", "commands.inference.export:export"),
    "cross_validate": Command(
        "fit once for each fold: mean and spread of the metrics, out-of-fold predictions",
        "commands.runs.cross_validate:cross_validate",
    ),
    "baseline": Command(
        "measure the most frequent label and linear models of words and of a frozen encoder, without fine-tuning",
        "commands.runs.baseline:baseline",
    ),
    "compare": Command(
        "runs side by side: settings, metrics, and whether they differ by more than chance",
        "commands.runs.compare:compare",
        lightning=False,
    ),
}


def may_be_onnx(args: Sequence[str]) -> bool:
    """Whether the arguments, the environment or a config mention ONNX: all others need not wait for a parser."""
    ours = [value for name, value in os.environ.items() if name.startswith(ENVIRONMENT_PREFIX)]
    words = [word for argument in (*args, *ours) for word in (argument, argument.partition("=")[2])]
    if any("onnx" in word for word in words):
        return True
    for word in words:
        if word.endswith((".yaml", ".yml", ".json")):
            with contextlib.suppress(OSError, ValueError):
                if "onnx" in Path(word).expanduser().read_text(encoding="utf-8"):
                    return True
    return False
