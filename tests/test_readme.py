"""What the README says is run: its commands, its Python, its table of run_glue.py's flags."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lit_textclf import main
from tests.conftest import sentences, write_csv

ROOT = Path(__file__).parent.parent
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


@pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning")  # two batches, logged every ten
def test_python(user: None, tiny_bert: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = code.replace("google-bert/bert-base-uncased", str(tiny_bert)).replace("max_length=128", "max_length=16")
    code = code.replace("Trainer(max_epochs=3)", "Trainer(max_epochs=1, accelerator='cpu', enable_progress_bar=False)")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert Path("reviews.ckpt").is_file()


def test_flags_of_run_glue_have_a_key_each(capsys: pytest.CaptureFixture[str]) -> None:
    table = README.split("## Coming from run_glue.py")[1].split("\n## ")[0]
    flags = re.findall(
        r"`(--[^`]*)`", "\n".join(line.split("|")[2] for line in table.splitlines() if line.count("|") == 3)
    )
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
