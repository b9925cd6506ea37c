"""What the README says is run: its commands, its Python, its table of run_glue.py's flags."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from lit_textclf import TextDataModule, main
from tests.conftest import sentences, write_csv
from tests.training.callbacks.test_hf_evaluate import write_script

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
    if line.startswith("lit-textclf") and "quickstart" not in line
]  # fmt: skip


@pytest.fixture
def user(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's folder; the environment, which beats config files, makes everything tiny."""
    for name in ("reviews", "more_reviews", "train", "validation", "test", "mine"):
        write_csv(Path(f"{name}.csv"), ["text", "label"], sentences(40))
    write_csv(Path("new.csv"), ["text"], [("good film",), ("bad film",)])
    Path("configs").symlink_to(ROOT / "configs")
    for name in ("accuracy", "f1"):
        write_script(name)
    for key, value in {
        "MODEL__MODEL_NAME_OR_PATH": str(tiny_bert), "DATA__MAX_LENGTH": "16", "TRAINER__MAX_EPOCHS": "1",
        "TRAINER__ACCELERATOR": "cpu", "TRAINER__PRECISION": "32-true", "DATA__NUM_WORKERS": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LIT_TEXTCLF_{key}", value)


def test_commands(user: None) -> None:
    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        main(shlex.split(command)[1:])
    assert len(Path("predictions.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert len(Path("one.csv").read_text(encoding="utf-8").splitlines()) == 2


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run_block(code: str, tiny_bert: Path) -> dict[str, object]:
    """Runs a block of Python with a tiny model."""
    code = code.replace("google-bert/bert-base-uncased", str(tiny_bert)).replace("max_length=128", "max_length=16")
    code = code.replace("Trainer(max_epochs=3)", "Trainer(max_epochs=1, accelerator='cpu', enable_progress_bar=False)")
    names: dict[str, object] = {}
    code = code.replace("5e-5", "5e-3").replace("range(3)", "range(20)")  # two batches an epoch
    exec(compile(code, "README.md", "exec"), names)
    return names


@pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning")  # two batches, logged every ten
def test_python(user: None, tiny_bert: Path) -> None:
    run_block(BLOCKS[0], tiny_bert)
    assert Path("reviews.ckpt").is_file()


@pytest.mark.parametrize("number", [1, 2], ids=["plain", "fabric"])
def test_loops_without_a_trainer(number: int, user: None, tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each epoch's line has the loss of validation: it falls, and is that of the model as it is in the end."""
    assert len(BLOCKS) == 3
    torch.manual_seed(0)
    names = run_block(BLOCKS[number], tiny_bert)
    losses = [float(line.split()[2]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    model, data = names["model"], names["data"]
    assert isinstance(data, TextDataModule)
    with torch.inference_mode():
        for batch in data.val_dataloader():
            model.validation_step(batch)  # type: ignore[attr-defined]
    assert model.stage_metrics("val").compute()["val_loss"] == pytest.approx(losses[-1], rel=1e-4)  # type: ignore[attr-defined]


TABLES = README.split("## Coming from run_glue.py")[1].split("\n## ")[0].split("| flag | key |")


def cells(table: str) -> str:
    """The right column of a table."""
    return "\n".join(line.split("|")[2] for line in table.splitlines() if line.count("|") == 3)


@pytest.mark.slow
def test_commands_of_run_glue_are_run(user: None, capfd: pytest.CaptureFixture[str]) -> None:
    """In the table's order: a user who has done one has what the next one needs."""
    write_csv(Path("scores.csv"), ["text", "label"], [(text, f"{len(text)}.5") for text, _ in sentences(40)])
    pairs = [(text, text[::-1], label) for text, label in sentences(40)]
    write_csv(Path("pairs.csv"), ["sentence1", "sentence2", "label"], pairs)
    commands = re.findall(r"`lit-textclf ([^`]*)`", cells(TABLES[0]))
    assert len(commands) >= 17
    results = [
        main(shlex.split(command)) for command in commands if not command.startswith("export --ckpt_path best --output")
    ]
    measured = [found for found in results if "val_evaluate_accuracy" in found]
    assert len(measured) == 2
    assert "val_evaluate_f1" in measured[1]
    assert "val_mse" in next(found for found in results if "val_pearson" in found)
    header = Path("predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "row,label,score,prob_negative,prob_positive,logit_negative,logit_positive"
    assert "trainer.precision: a CPU has no 16-mixed" in capfd.readouterr().err


def test_flags_of_run_glue_have_a_key_each(capsys: pytest.CaptureFixture[str]) -> None:
    flags = re.findall(r"`(--[^`]*)`", cells(TABLES[1]))
    assert len(flags) >= 8
    for flag in flags:
        typed = re.sub(r" ([MFD])(?= |$)", r" x\1", flag)
        with pytest.raises(SystemExit) as raised:
            main(["fit", *shlex.split(typed), "--print_config"])
        assert raised.value.code == 0, flag


def test_files_that_are_linked_are_there() -> None:
    links = re.findall(r"\]\(([^)h][^)]*)\)", README)
    assert len(links) >= 6
    assert all((ROOT / link).is_file() for link in links)
