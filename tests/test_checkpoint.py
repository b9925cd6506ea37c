"""Finding and reading checkpoints; mistakes are in test_bad_input.py, use in test_cli.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lit_textclf import UserError, main
from lit_textclf.checkpoint import find_checkpoint, read_checkpoint
from lit_textclf.labels import Target


class Runs:
    """Pickled code, as an attacker would hide it in a checkpoint."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch was_here",)


def test_no_code_runs_when_a_checkpoint_is_read() -> None:
    torch.save({"hyper_parameters": Runs()}, "evil.ckpt")
    with pytest.raises(UserError, match=r"evil\.ckpt: not a checkpoint, or one that would run code"):
        read_checkpoint(Path("evil.ckpt"))
    assert not Path("was_here").exists()


def test_find(tmp_path: Path) -> None:
    for number, age in ((0, 100), (1, 300), (2, 200)):
        folder = tmp_path / f"lightning_logs/version_{number}/checkpoints"
        folder.mkdir(parents=True)
        for name in ("last", "best"):
            (folder / f"{name}.ckpt").touch()
            os.utime(folder / f"{name}.ckpt", (age, age))
    newest = tmp_path / "lightning_logs/version_1/checkpoints"
    assert find_checkpoint("last", tmp_path) == newest / "last.ckpt"
    assert find_checkpoint("best", tmp_path) == newest / "best.ckpt"
    assert find_checkpoint(str(newest.parent), tmp_path) == newest / "best.ckpt"
    assert find_checkpoint(str(newest / "last.ckpt"), tmp_path) == newest / "last.ckpt"
    with pytest.raises(UserError, match="no such checkpoint"):
        find_checkpoint("lst", tmp_path)


def test_what_a_checkpoint_says(fit_args: list[str]) -> None:
    main(fit_args)
    stored = read_checkpoint(Path("lightning_logs/version_0/checkpoints/best.ckpt"))
    assert stored.target == Target("single_label", ("negative", "positive"), "positive")
    assert stored.model["learning_rate"] == 1e-3
    assert stored.data["max_length"] == 16
    assert stored.data["text_column"] == "text"
    assert not {"batch_size", "train_file", "num_workers", "model_name_or_path"} & {*stored.data, *stored.model}
    assert {"tokenizer.json", "tokenizer_config.json"} <= stored.tokenizer.keys()
