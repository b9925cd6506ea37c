"""Finding and reading checkpoints; mistakes are in test_bad_input.py, use in test_cli.py."""

from __future__ import annotations

import json
import os
import pickle
import re
import resource
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

import lit_textclf
from lit_textclf import Target, TextClassifier, TextDataModule, Trainer, UserError, main
from lit_textclf.classifier.checkpoint import FORMAT, MIGRATIONS, find_checkpoint, read_checkpoint, refuse
from lit_textclf.classifier.losses import FiniteLosses
from lit_textclf.training.callbacks.checkpoints import CheckpointFiles, link_or_copy

pytestmark = pytest.mark.usefixtures("no_figures")


class Runs:
    """Pickled code, as an attacker would hide it in a checkpoint."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch was_here",)


def test_no_code_runs_when_a_checkpoint_is_read() -> None:
    torch.save({"hyper_parameters": Runs()}, "evil.ckpt")
    with pytest.raises(UserError, match=r"evil\.ckpt: not a checkpoint, or one that would run code"):
        read_checkpoint(Path("evil.ckpt"))
    assert not Path("was_here").exists()


def test_none_is_written_after_a_loss_that_is_not_finite() -> None:
    """On a GPU losses are looked at some steps later, but not later than this."""
    classifier = TextClassifier(target=Target("regression"))
    classifier.finite_losses = FiniteLosses(every=10)
    classifier.finite_losses.add(torch.tensor(torch.inf), 7)
    with pytest.raises(UserError, match="the loss of step 7 is inf"):
        classifier.on_save_checkpoint({})


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
    assert not {"batch_size", "train_file", "num_workers", "compile"} & {*stored.data, *stored.model}
    assert {"tokenizer.json", "tokenizer_config.json"} <= stored.tokenizer.keys()


def test_last_knows_the_best_epoch_and_the_state_of_the_optimizer(fit_args: list[str]) -> None:
    """A resumed run keeps a better best.ckpt; best.ckpt is a third of the size, whichever epoch is the best."""
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
        assert {"optimizer_states", "lr_schedulers"} <= last.keys() - best.keys()
        assert (folder / "best.ckpt").stat().st_size < (folder / "last.ckpt").stat().st_size / 2
        assert {path.name for path in folder.iterdir()} == {"best.ckpt", "last.ckpt"}
    folder, best, last = lists[1]
    assert last["epoch"] == best["epoch"]
    assert all(torch.equal(best["state_dict"][name], tensor) for name, tensor in last["state_dict"].items())
    folder, best, last = lists[6]
    assert last["epoch"] > best["epoch"]


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
    assert "_save_checkpoint" in vars(ModelCheckpoint), "LastCheckpoint.save_now calls this private method"


def test_the_one_before_a_damaged_checkpoint_is_offered(
    fit_args: list[str], reviews: dict[str, Path], fails: Callable[[Sequence[str]], str]
) -> None:
    main([*fit_args, "--trainer.max_epochs", "3", "--model.learning_rate", "0.3"])
    folder = Path("lightning_logs/version_0/checkpoints")
    last, content = folder / "last.ckpt", (folder / "last.ckpt").read_bytes()
    (folder / "other.ckpt").write_bytes((folder / "best.ckpt").read_bytes())
    (folder / "best.ckpt").unlink()
    stored = torch.load(folder / "other.ckpt", weights_only=True)
    step = f"{stored['global_step']}, not to resume fit"
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


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Writes a checkpoint with other contents beside it."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path.with_name("changed.ckpt"))
    return path.with_name("changed.ckpt")


def test_each_older_format_has_a_migration(fitted: Path) -> None:
    content = torch.load(fitted / "checkpoints/best.ckpt", weights_only=True)
    assert content["lit_textclf"] == {"format": FORMAT, "version": lit_textclf.__version__}
    assert list(MIGRATIONS) == list(range(1, FORMAT))


def test_a_checkpoint_without_a_number_is_of_the_first_format(fitted: Path) -> None:
    def first(content: dict[str, Any]) -> None:
        del content["lit_textclf"], content["hyper_parameters"]["pooling"]

    path = changed(fitted / "checkpoints/last.ckpt", first)
    assert read_checkpoint(path).model["pooling"] == "own"
    assert TextClassifier.load_from_checkpoint(path).build_options.pooling == "own"


def test_a_newer_format_is_refused_in_one_line(
    fitted: Path, reviews: dict[str, Path], fails: Callable[[Sequence[str]], str]
) -> None:
    def later(content: dict[str, Any]) -> None:
        content["lit_textclf"] = {"format": FORMAT + 1, "version": "9.9"}

    path = changed(fitted / "checkpoints/last.ckpt", later)
    expected = f"written by lit_textclf 9.9 in format {FORMAT + 1}, and this version, {lit_textclf.__version__}, reads"
    error = fails(["test", "--ckpt_path", str(path), "--data.test_file", str(reviews["test"])])
    assert f"{path}: {expected}" in error
    assert "pip install -U lit-textclf" in error
    with pytest.raises(UserError, match=expected):
        TextClassifier.load_from_checkpoint(path)


def test_an_architecture_that_transformers_does_not_know(
    fitted: Path, reviews: dict[str, Path], fails: Callable[[Sequence[str]], str]
) -> None:
    def future(content: dict[str, Any]) -> None:
        stored = content["hyper_parameters"]
        stored["architecture"] = stored["architecture"].replace('"model_type": "bert"', '"model_type": "bert9"')

    path = changed(fitted / "checkpoints/last.ckpt", future)
    error = fails(["test", "--ckpt_path", str(path), "--data.test_file", str(reviews["test"])])
    assert re.search(r"model is a 'bert9', which transformers \S+ does not know: it needs a newer transformers", error)


def test_a_target_without_a_positive_label(fitted: Path, reviews: dict[str, Path]) -> None:
    target = {"task": "single_label", "labels": ["negative", "positive"]}
    assert Target.from_dict(target) == Target("single_label", ("negative", "positive"))

    def without(content: dict[str, Any]) -> None:
        del content["hyper_parameters"]["target"]["positive_label"]

    path = changed(fitted / "checkpoints/last.ckpt", without)
    assert "test_f1" in main(["test", "--ckpt_path", str(path), "--data.test_file", str(reviews["test"])])


def test_fit_does_not_resume_without_the_state_of_the_optimizer(
    fit_args: list[str], fitted: Path, fails: Callable[[Sequence[str]], str]
) -> None:
    last = fitted / "checkpoints/last.ckpt"
    error = fails([*fit_args, "--ckpt_path", "best", "--trainer.max_epochs", "3"])
    assert "best.ckpt: has no state of the optimizer, so that fit cannot resume from it; use --ckpt_path " in error
    assert error.rstrip().endswith(str(last))
    assert "val_loss" in main([*fit_args, "--ckpt_path", str(last), "--trainer.max_epochs", "3"])


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_only_a_file_that_exists_is_proposed_to_resume_from(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot resume from it; leave out --ckpt_path to train from the start"):
        refuse({"hyper_parameters": {}}, None, {}, resumes=(path := tmp_path / name))
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(UserError, match="last.ckpt" if name == "best.ckpt" else "leave out") as raised:
        refuse({"hyper_parameters": {}}, None, {}, resumes=path)
    assert str(raised.value).endswith(f"use --ckpt_path {tmp_path / 'last.ckpt'}") == (name == "best.ckpt")


class OwnOptions(TextClassifier):
    """A subclass with an option of its own, saved as Lightning's documentation shows it."""

    def __init__(self, *args: Any, extra: int = 3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.save_hyperparameters()


def test_hyper_parameters_say_what_was_trained(tiny_bert: Path, reviews: dict[str, Path]) -> None:
    """The tokenizer is left out, whoever saves them."""
    common: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 1, "precision": "32-true", "log_every_n_steps": 1}
    files = {f"{split}_file": str(reviews[split]) for split in ("train", "validation")}
    classifier = OwnOptions(str(tiny_bert), extra=4, head_init="random")
    first = Trainer(**common)
    first.fit(classifier, TextDataModule(**files, max_length=16))
    first.save_checkpoint("own.ckpt")
    loaded = OwnOptions.load_from_checkpoint("own.ckpt")
    assert (loaded.hparams["model_name_or_path"], loaded.hparams["extra"]) == (tiny_bert.name, 4)
    second = Trainer(**common)
    second.fit(loaded, TextDataModule(**files, max_length=16))
    for trainer in (first, second):
        assert trainer.logger is not None
        written = yaml.safe_load(Path(str(trainer.logger.log_dir), "hparams.yaml").read_text(encoding="utf-8"))
        assert Path(written["model_name_or_path"]).name == tiny_bert.name
        assert not {"target", "calibration", "architecture", "tokenizer"} & written.keys()


def test_what_needs_labels_says_so(reviews: dict[str, Path]) -> None:
    """Before any fit, in Python: no checkpoint is written, and nothing is measured."""
    trainer = Trainer(accelerator="cpu", logger=False, precision="32-true", enable_progress_bar=False)
    data = TextDataModule(validation_file=str(reviews["validation"]))
    with pytest.raises(UserError, match=r"^validate uses the labels of a checkpoint: type --ckpt_path FILE$"):
        trainer.validate(TextClassifier("none"), data)
    with pytest.raises(UserError, match=r"^a checkpoint needs the labels: call fit first, or give TextClassifier a "):
        TextClassifier("none").on_save_checkpoint({})
