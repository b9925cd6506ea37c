"""The table of commands. A new command is a file with a function, and a line here."""

from __future__ import annotations

from typing import NamedTuple


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
