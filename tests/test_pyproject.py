"""The lists of versions agree with pyproject.toml and with what the tools need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lit_textclf import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(name: str) -> dict[str, str]:
    """The exact versions in a constraints file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(package): version for package, version in pinned.items()}


def requirements(*extras: str) -> dict[str, Requirement]:
    """The dependencies, and those of extras."""
    optional = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in optional[extra])]
    parsed = [Requirement(text) for text in texts]
    return {canonicalize_name(part.name): part for part in parsed if part.name != PROJECT["name"]}


def test_an_installation_without_torch_has_the_same_bounds() -> None:
    text = (ROOT / "requirements-onnx.txt").read_text(encoding="utf-8")
    listed = [Requirement(line) for line in text.splitlines() if not line.startswith("#")]
    known = requirements("onnx")
    assert listed
    assert {part.name: (part.specifier, part.extras) for part in listed} == {
        part.name: (known[canonicalize_name(part.name)].specifier, known[canonicalize_name(part.name)].extras)
        for part in listed
    }


def test_the_minimum_versions_are_the_lower_bounds() -> None:
    bounds = {
        name: part.version
        for name, requirement in requirements(*PROJECT["optional-dependencies"]).items()
        for part in requirement.specifier
        if part.operator in {">=", "=="}
    }
    minimum = pins("constraints-min.txt")
    assert len(bounds) > 30
    assert bounds.keys() == minimum.keys()
    assert {name: Version(version) for name, version in bounds.items()} == {
        name: Version(version) for name, version in minimum.items()
    }


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    pinned = pins("constraints.txt")
    for name, requirement in requirements(*PROJECT["optional-dependencies"]).items():
        assert requirement.specifier.contains(pinned[name]), name


def test_the_makefile_installs_the_torch_that_is_pinned() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"torch=={pins('constraints.txt')['torch']}" in makefile
    assert "torch==$(" not in makefile


def test_what_make_lint_calls_is_in_the_dev_extra() -> None:
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    dev = requirements("dev")
    for command, package in {
        "ruff": "ruff", "lint-imports": "import-linter", "codespell": "codespell", "mypy": "mypy",
    }.items():  # fmt: skip
        assert f"$(BIN)/{command}" in rules
        assert package in dev
        assert package in pins("constraints.txt")


def test_classifiers_name_the_versions_of_python_that_continuous_integration_runs() -> None:
    classified = [text.split(" :: ")[-1] for text in PROJECT["classifiers"] if "Python :: 3." in text]
    workflow = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    assert re.findall(r'"(3\.\d+)"', re.search(r"python: \[(.*)\]", workflow)[1]) == classified  # type: ignore[index]
    assert PROJECT["requires-python"] == f">={classified[0]}"


def test_the_citation_and_the_changelog_know_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {__version__}\n" in citation
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
