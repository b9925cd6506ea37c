"""What README.md and the pages of docs/ show is run: commands, Python, YAML, tables of flags, links, error messages.

The blocks of a page run in order, in a folder with data and four finished runs, so that a page can use what it wrote.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lit_textclf import TextDataModule, main
from tests.conftest import leave_out_figures, sentences, write_csv
from tests.training.callbacks.test_hf_evaluate import write_script

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONG = {"data", "evaluation", "exporting", "extending", "prediction", "training"}
"""Pages whose commands take more than a few seconds."""

# Commands that are parsed only: they need real weights and texts, or GPUs.
PARSED_ONLY = ("configs/quickstart.yaml", "configs/strategies/")


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each fenced block of a page, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def page_params(language: str, *, long: set[str] = LONG) -> list[object]:
    """The pages with blocks in a language; long ones are marked slow."""
    return [
        pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in long else [])
        for page in PAGES
        if any(found == language for found, _ in blocks(page))
    ]


def environment(monkeypatch: pytest.MonkeyPatch, tiny_bert: Path) -> None:
    """The environment beats config files: it makes everything tiny."""
    for key, value in {
        "MODEL__MODEL_NAME_OR_PATH": str(tiny_bert), "DATA__MAX_LENGTH": "16", "TRAINER__MAX_EPOCHS": "1",
        "TRAINER__ACCELERATOR": "cpu", "TRAINER__PRECISION": "32-true", "DATA__NUM_WORKERS": "0",
        "TENSORBOARD__FIGURES": "false",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LIT_TEXTCLF_{key}", value)


@pytest.fixture(scope="session")
def template(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: files of rows, two trained runs (version_0, version_1), each tested (version_2, version_3)."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        environment(patch, tiny_bert)
        leave_out_figures(patch)
        for name in ("reviews", "more_reviews", "train", "validation", "test", "mine"):
            write_csv(Path(f"{name}.csv"), ["text", "label"], sentences(40))
        write_csv(Path("new.csv"), ["text"], [("good film",), ("bad film",)])
        Path("in").mkdir()
        for name in ("monday", "tuesday"):
            write_csv(Path(f"in/{name}.csv"), ["text", "label"], sentences(2))
        for name in ("accuracy", "f1"):
            write_script(name)
        for _ in range(2):
            main(["fit", "--data.train_file", "train.csv", "--data.validation_file", "validation.csv"])
        for version in range(2):
            checkpoint = f"lightning_logs/version_{version}/checkpoints/best.ckpt"
            main(["test", "--ckpt_path", checkpoint, "--data.test_file", "test.csv"])
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


@pytest.fixture
def user(template: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the user's folder, which is the current one and is where Python finds modules."""
    folder = tmp_path / "user"
    shutil.copytree(template, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    environment(monkeypatch, tiny_bert)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if (folder / f"{name}.py").is_file():
            del sys.modules[name]


def run_block(code: str, tiny_bert: Path) -> dict[str, object]:
    """Runs a block of Python with a tiny model; one that begins with `# NAME.py` is written to that file instead."""
    if named := re.match(r"# (\w+\.py)\n", code):
        Path(named[1]).write_text(code, encoding="utf-8")
        return {}
    code = code.replace("google-bert/bert-base-uncased", str(tiny_bert)).replace("max_length=128", "max_length=16")
    code = code.replace("Trainer(max_epochs=3)", "Trainer(max_epochs=1, accelerator='cpu', enable_progress_bar=False)")
    names: dict[str, object] = {}
    code = code.replace("5e-5", "5e-3").replace("range(3)", "range(20)")  # two batches an epoch
    exec(compile(code, "docs", "exec"), names)
    return names


def commands_of(code: str) -> list[list[str]]:
    """The words of each command of a shell block; comments and line continuations are taken out."""
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines for part in line.split(" && ") if (words := shlex.split(part, comments=True))]


def run_command(words: list[str]) -> None:
    """Runs a command of a page; what needs the network, weights or other programs is checked against the repository."""
    program, arguments = words[0], words[1:]
    if program == "lit-textclf" and not any(part in word for word in arguments for part in PARSED_ONLY):
        main(arguments)
    elif program == "lit-textclf":
        with pytest.raises(SystemExit) as raised:
            main([*arguments, "--print_config"])
        assert raised.value.code == 0, words
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        named = [extra for word in arguments for found in re.findall(r"\[(.*)\]", word) for extra in found.split(",")]
        assert set(named) <= set(project["optional-dependencies"])
        assert "--constraint" not in arguments or "constraints.txt" in arguments
    elif program == "python":
        script = (ROOT / arguments[0]).read_text(encoding="utf-8")
        own = arguments[: arguments.index("--")] if "--" in arguments else arguments
        assert all(f'"{word}"' in script for word in own if word.startswith("--")), words
    else:
        assert program in ("tensorboard", "python3.11", ".", "export"), f"how is {program!r} to be tested?"


@pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning")  # two batches, logged every ten
@pytest.mark.parametrize("page", page_params("sh"))
def test_page(page: Path, user: Path, tiny_bert: Path) -> None:
    """Commands and Python in the order of the page; loops over epochs have a test of their own."""
    for language, code in blocks(page):
        if language == "sh":
            for words in commands_of(code):
                run_command(words)
        elif language == "python" and "for epoch in" not in code:
            run_block(code, tiny_bert)
        elif language == "yaml":
            (user / "block.yaml").write_text(code, encoding="utf-8")
            with pytest.raises(SystemExit) as raised:
                main(["fit", "--config", "block.yaml", "--print_config"])
            assert raised.value.code == 0
        else:
            assert language in ("sh", "python", "text")
    written = re.findall(r"--output (\w+(?:\.csv|\.png|\.yaml|\.jsonl)?)", "\n".join(code for _, code in blocks(page)))
    assert all((user / name).exists() for name in written)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning")
@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")  # of a ModelCheckpoint, in predict
def test_python_without_commands(user: Path, tiny_bert: Path) -> None:
    """docs/python.md has no commands: its blocks without loops."""
    pages = [page for page in PAGES if {"python"} == {language for language, _ in blocks(page)}]
    assert [page.stem for page in pages] == ["python"]
    for _, code in blocks(pages[0]):
        if "for epoch in" not in code:
            run_block(code, tiny_bert)
    assert Path("reviews.ckpt").is_file()


LOOPS = [code for _, code in blocks(ROOT / "docs" / "python.md") if "for epoch in" in code]


@pytest.mark.parametrize("number", [0, 1], ids=["plain", "fabric"])
def test_loops_without_a_trainer(number: int, user: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each epoch's line has the loss of validation: it falls, and is that of the model as it is in the end."""
    assert len(LOOPS) == 2
    torch.manual_seed(0)
    names = run_block(LOOPS[number], tiny_bert)
    losses = [float(line.split()[2]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 20
    assert losses[-1] < losses[0]
    model, data = names["model"], names["data"]
    assert isinstance(data, TextDataModule)
    with torch.inference_mode():
        for batch in data.val_dataloader():
            model.validation_step(batch)  # type: ignore[attr-defined]
    assert model.stage_metrics("val").compute()["val_loss"] == pytest.approx(losses[-1], rel=1e-4)  # type: ignore[attr-defined]


RUN_GLUE = (ROOT / "docs" / "run_glue.md").read_text(encoding="utf-8").split("| flag | key |")


def cells(table: str) -> str:
    """The right column of a table."""
    return "\n".join(line.split("|")[2] for line in table.splitlines() if line.count("|") == 3)


@pytest.mark.slow
def test_commands_of_run_glue_are_run(user: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In the table's order: a user who has done one has what the next one needs."""
    write_csv(Path("scores.csv"), ["text", "label"], [(text, f"{len(text)}.5") for text, _ in sentences(40)])
    pairs = [(text, text[::-1], label) for text, label in sentences(40)]
    write_csv(Path("pairs.csv"), ["sentence1", "sentence2", "label"], pairs)
    commands = re.findall(r"`lit-textclf ([^`]*)`", cells(RUN_GLUE[0]))
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
    assert "trainer.precision: a CPU does not support 16-mixed" in capfd.readouterr().err


def test_flags_of_run_glue_have_a_key_each(capsys: pytest.CaptureFixture[str]) -> None:
    flags = re.findall(r"`(--[^`]*)`", cells(RUN_GLUE[1]))
    assert len(flags) >= 8
    for flag in flags:
        typed = re.sub(r" ([MFD])(?= |$)", r" x\1", flag)
        with pytest.raises(SystemExit) as raised:
            main(["fit", *shlex.split(typed), "--print_config"])
        assert raised.value.code == 0, flag


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them from its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_are_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)]*)\)", page.read_text(encoding="utf-8"))
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def test_every_page_is_linked_from_the_readme_and_the_overview() -> None:
    names = {page.name for page in PAGES if page.parent != ROOT}
    for start, prefix in ((ROOT / "README.md", "docs/"), (ROOT / "docs" / "index.md", "")):
        text = start.read_text(encoding="utf-8")
        assert all(f"]({prefix}{name})" in text for name in names - {start.name}), start


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_pictures_are_small() -> None:
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    assert [picture.name for picture in pictures] == ["report.png", "tensorboard.png"]
    assert all(picture.stat().st_size <= 200_000 for picture in pictures)


def test_paths_in_how_it_works_are_there() -> None:
    """The folders of the tree, the files that a claim is tested by."""
    text = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
    folders = re.findall(r"── (\w+)/ ", text)
    packages = {path.parent.name for path in (ROOT / "lit_textclf").rglob("__init__.py")} - {"lit_textclf"}
    assert packages == set(folders)
    named = re.findall(r"`((?:tests|benchmarks|lit_textclf|configs)/[\w./]*)`", text)
    assert len(named) > 15
    assert all((ROOT / name).exists() for name in named)


def templates() -> list[re.Pattern[str]]:
    """Every text of the package up to its first semicolon, as a pattern; what an f-string fills in matches anything."""
    found = []
    for file in (ROOT / "lit_textclf").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            text = text.partition(";")[0]
            if len(text.replace("\0", "")) >= 10:
                found.append(re.compile(re.escape(text).replace("\0", ".*")))
    return found


def test_messages_of_the_errors_page_are_those_of_the_package() -> None:
    messages = re.findall(r"^error: (.*)$", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(messages) >= 30
    known = templates()
    unknown = [
        text for text in messages if not any(pattern.fullmatch(text.partition(";")[0]) for pattern in known)
    ]  # fmt: skip
    assert unknown == []
