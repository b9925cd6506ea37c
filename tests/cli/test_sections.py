"""Help texts and documents name every line of the tables that options choose from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import docstring_parser
import pytest

from lit_textclf import main
from lit_textclf.classifier.options import ClassifierOptions
from lit_textclf.cli.commands import COMMANDS
from lit_textclf.cli.commands.inference.export import export
from lit_textclf.cli.sections import NOT_OPTIONS, names_a_class, parser_of
from lit_textclf.data.batches.sampler_names import SAMPLERS
from lit_textclf.data.labels.table import TASKS
from lit_textclf.data.readers.formats import READERS
from lit_textclf.data.text_data import TextData
from lit_textclf.data.tokens.long_text import Mode, Pooling
from lit_textclf.export.formats import EXPORTERS
from lit_textclf.prediction.formats import FORMATS
from lit_textclf.prediction.options import PredictOptions

DOCS = Path(__file__).parent.parent.parent / "docs"
ENDINGS = [ending for ending in READERS if ending.count(".") == 1]


def help_of(owner: type, option: str) -> str:
    """The help text of an option, which is its line in the class's docstring."""
    params = docstring_parser.parse(owner.__doc__ or "").params
    return next(param.description or "" for param in params if param.arg_name == option)


def missing(names: Iterable[str], text: str) -> list[str]:
    """The names that are not words of a text."""
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


@pytest.mark.parametrize(
    ("owner", "option", "names"),
    [
        (TextData, "train_file", ENDINGS),
        (TextData, "sampler", SAMPLERS),
        (TextData, "task", [*TASKS, "auto"]),
        (TextData, "long_text", get_args(Mode)),
        (ClassifierOptions, "window_pooling", get_args(Pooling)),
        (PredictOptions, "format", FORMATS),
    ],
)
def test_help_texts_name_all_that_an_option_takes(owner: type, option: str, names: Iterable[str]) -> None:
    assert not missing(names, help_of(owner, option))


def test_the_help_of_export_names_all_formats_and_quantizations(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        export(["export", "--help"])
    text = capsys.readouterr().out.partition("Writes a checkpoint")[2]  # after the usage
    own = text[text.index("--format") : text.index("--max_accuracy_drop")]
    assert not missing([*EXPORTERS, *(each for kind in EXPORTERS.values() for each in kind.quantizations)], own)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("index.md", COMMANDS), ("data.md", [*ENDINGS, *TASKS]), ("extending.md", SAMPLERS), ("prediction.md", FORMATS),
        ("exporting.md", EXPORTERS),
    ],
)  # fmt: skip
def test_documents_name_every_line_of_a_table(page: str, names: Iterable[str]) -> None:
    assert not missing(names, (DOCS / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["fit", "cross_validate", "check"])
def test_help_begins_with_what_most_runs_set(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    begin, _, options = text.partition("all options:")
    assert begin.startswith(f"usage: lit-textclf {command} [--config FILE.yaml] [--OPTION VALUE ...]\n")
    assert len(begin.splitlines()) < 15
    assert "--data.train_file FILE" in begin
    for line in begin.splitlines()[3:]:
        assert line.split(maxsplit=1)[0] in options.split() if line.strip() else True
    of_folds = [name for name in ("--output ", "--overwrite ", "--data.fold ", "--ckpt_path ") if name in options]
    if command != "check":
        assert of_folds == (["--data.fold ", "--ckpt_path "] if command == "fit" else ["--output ", "--overwrite "])


def test_every_option_has_a_help_text() -> None:
    for owner in (TextData, ClassifierOptions, PredictOptions):
        documented = {param.arg_name for param in docstring_parser.parse(owner.__doc__ or "").params}
        assert documented | NOT_OPTIONS >= set(owner.__init__.__annotations__) - {"return"}


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ([], False),
        (["--trainer.logger=false", "--trainer.strategy=auto", "--model.lr_scheduler=cosine"], False),
        (["--data.sampler=shuffled"], False),
        (["--data.sampler={class_path: my_package.Sampler}"], True),
        (["--model.lr_scheduler=torch.optim.lr_scheduler.StepLR"], True),
        (["--model.metrics={kappa: torchmetrics.classification.MulticlassCohenKappa}"], True),
        (["--trainer.callbacks+=lightning.pytorch.callbacks.Timer"], True),
        (["--data.readers={.xml: my_package.read_xml}"], True),
        (["--data.dataset_name=imdb"], True),
        (["--metrics.evaluate=[accuracy]"], True),
    ],
)
def test_classes_among_the_options_are_noticed(typed: list[str], found: bool) -> None:
    assert names_a_class(parser_of("baseline", "").parse_args(typed)) is found
