"""Finding and reading checkpoints; mistakes are in test_bad_input.py, use in test_cli.py."""

from __future__ import annotations

import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_textclf import Trainer, UserError, main
from lit_textclf.classifier.checkpoint import find_checkpoint, read_checkpoint
from lit_textclf.data.labels.target import Target
from lit_textclf.training.callbacks.checkpoints import CheckpointFiles, link_or_copy


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


def test_what_a_checkpoint_says(finished_run: Path) -> None:
    stored = read_checkpoint(finished_run / "lightning_logs/version_0/checkpoints/best.ckpt")
    assert stored.target == Target("single_label", ("negative", "positive"), "positive")
    assert stored.model["learning_rate"] == 1e-3
    assert stored.data["max_length"] == 16
    assert stored.data["text_column"] == "text"
    assert not {"batch_size", "train_file", "num_workers", "model_name_or_path"} & {*stored.data, *stored.model}
    assert {"tokenizer.json", "tokenizer_config.json"} <= stored.tokenizer.keys()


def test_last_is_the_best_file_only_where_it_is_the_best_epoch(fit_args: list[str]) -> None:
    """And what is known of the best epoch is in last.ckpt, so that a run that goes on keeps a better best.ckpt."""
    lists = {}
    for epochs, rate in (
        (1, "1e-3"),
        (6, "0.3"),
    ):  # at 0.3 the first epoch's ups and downs leave a best before the last
        main(
            [
                *fit_args,
                "--model.head_init",
                "random",
                "--trainer.max_epochs",
                str(epochs),
                "--model.learning_rate",
                rate,
            ]
        )
        folder = Path(f"lightning_logs/version_{len(lists)}/checkpoints")
        best, last = (torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
        lists[epochs] = (folder, best, last)
        state = next(state for key, state in last["callbacks"].items() if key.startswith("ModelCheckpoint"))
        metrics = json.loads((folder.parent / "metrics.json").read_text(encoding="utf-8"))
        assert float(state["best_model_score"]) == pytest.approx(metrics["val_f1_macro"])
        assert last["global_step"] >= best["global_step"]
    folder, _, _ = lists[1]
    assert (folder / "best.ckpt").samefile(folder / "last.ckpt")
    folder, best, last = lists[6]
    assert last["epoch"] > best["epoch"]
    assert not (folder / "best.ckpt").samefile(folder / "last.ckpt")
    assert {path.name for path in folder.iterdir()} == {"best.ckpt", "last.ckpt"}


def test_a_second_name_or_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    link_or_copy(source, target)
    assert target.samefile(source)
    link_or_copy(source, target)  # once more
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    with monkeypatch.context() as patched:

        def no_links(*args: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        patched.setattr(os, "link", no_links)
        link_or_copy(source, target)
    assert not target.samefile(source)
    assert target.read_bytes() == b"new"
    with pytest.raises(UserError, match="cannot be written"):
        link_or_copy(source, tmp_path / "none" / "last.ckpt")


def test_a_checkpoint_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    files, path = CheckpointFiles(), tmp_path / "deep" / "last.ckpt"
    files.save_checkpoint({"weight": torch.ones(3)}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match=r"last\.ckpt: the checkpoint cannot be written \(.+\)"):
            files.save_checkpoint({"weight": torch.ones(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(files.load_checkpoint(path, weights_only=True)["weight"], torch.ones(3))
    assert [each.name for each in path.parent.iterdir()] == ["last.ckpt"]


def test_what_cannot_be_stored_is_no_mistake_of_the_users(tmp_path: Path) -> None:
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        CheckpointFiles().save_checkpoint({"code": lambda: 0}, tmp_path / "last.ckpt")


def test_lightning_is_told_to_write_that_way() -> None:
    assert isinstance(Trainer(accelerator="cpu", logger=False).strategy.checkpoint_io, CheckpointFiles)

    class Own(TorchCheckpointIO):
        """A user's way to write them, which is kept."""

    own = Own()
    assert Trainer(accelerator="cpu", logger=False, plugins=[own]).strategy.checkpoint_io is own
    assert "_save_checkpoint" in vars(ModelCheckpoint), "runs.LastCheckpoint overrides this private method"


def test_the_one_before_a_damaged_checkpoint_is_offered(
    fit_args: list[str], reviews: dict[str, Path], fails: Callable[[Sequence[str]], str]
) -> None:
    main([*fit_args, "--trainer.max_epochs", "3", "--model.learning_rate", "0.3"])
    folder = Path("lightning_logs/version_0/checkpoints")
    last, content = folder / "last.ckpt", (folder / "last.ckpt").read_bytes()
    (folder / "other.ckpt").write_bytes((folder / "best.ckpt").read_bytes())
    (folder / "best.ckpt").unlink()
    step = torch.load(folder / "other.ckpt", weights_only=True)["global_step"]
    command = ["validate", "--ckpt_path", str(last), "--data.validation_file", str(reviews["validation"])]
    middle = len(content) // 2
    with zipfile.ZipFile(last) as archive:  # inside the largest tensor: a byte of padding would damage nothing
        tensors = [member for member in archive.infolist() if "/data/" in member.filename]
    largest = max(tensors, key=lambda member: member.file_size)
    at = largest.header_offset + largest.file_size // 2
    flipped = content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]
    for damaged in (content[:-1000], content[:middle], flipped):
        last.unlink()  # other.ckpt may be the same file
        last.write_bytes(damaged)
        error = fails(command)
        assert "last.ckpt: the checkpoint is" in error
        assert f"use the one before it: --ckpt_path {folder / 'other.ckpt'} (step {step})" in error
    (folder / "other.ckpt").unlink()
    with zipfile.ZipFile(folder / "foreign.ckpt", "w") as archive:  # whole, and no checkpoint
        archive.writestr("note.txt", "precious")
    assert "no intact checkpoint was found next to it" in fails(command)
