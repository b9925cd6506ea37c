"""What `fit` suggests if too few validation rows measure its model: cross-validation, with the options as typed."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from lit_textclf.cli.precedence import Arguments
from lit_textclf.data.datamodule import TextDataModule
from lit_textclf.evaluation.skill import MIN_ROWS

MOST_ROWS = 1_000
"""Training rows from which a validation split has enough rows, and cross-validation takes long."""
_HELD_OUT = ("data.validation_file", "data.validation_split")


def cross_validation_of(args: Sequence[str], typed: Arguments, data: TextDataModule) -> str | None:
    """The `cross_validate` command for a run of `fit` whose validation rows are too few, or None.

    Args:
        args: the arguments of `fit`, the command first.
        typed: the same with config files and the environment, whose validation rows the command must turn off.
        data: has the rows of the run.
    """
    rows = {split: len(data.rows.get(split, ())) for split in ("train", "validation")}
    if rows["validation"] >= MIN_ROWS or not MIN_ROWS <= rows["train"] < MOST_ROWS:
        return None
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for key in (*_HELD_OUT, "data.folds", "data.fold", "ckpt_path"):
        own.add_argument(f"--{key}", dest=key)
    flags, others = own.parse_known_args(args[1:])
    configured = [key for key in _HELD_OUT if key in typed.files or (key in typed.keys and vars(flags)[key] is None)]
    return shlex.join(["lit-textclf", "cross_validate", *others, *(f"--{key}=null" for key in configured)])
