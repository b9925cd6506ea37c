"""The layout of the package: which module may import which, where a file goes, and how long it may be.

Every list of exceptions here is exact: a test fails on a new exception and on a listed one that has been fixed.
"""

from __future__ import annotations

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

from tests.import_all import WITH_AN_EXTRA

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lit_textclf"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES} - {PACKAGE})

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
# Folders with more than 9 files, or fewer than 2 files and folders, each with its reason.
ODD_FOLDERS: dict[str, str] = {}
# Tests of more than one module, each with its reason.
TESTS_OF_SEVERAL_MODULES = {
    "classifier/test_user_loss.py": "model.loss on its way through options, training and checkpoint",
    "classifier/test_user_metrics.py": "model.metrics on its way through options, metrics and checkpoint",
    "data/readers/test_damaged_files.py": "every reader on files that are cut off or corrupted",
    "data/readers/test_same_rows.py": "every reader gives the same rows",
    "data/rows/test_label_lists.py": "label sets on their way through columns, rows and labels",
}
# Tests that look at the complete program instead of one module.
TESTS_OF_THE_WHOLE = {"gpu", "integration", "lightning"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom, type-only imports and those inside functions counted."""
    return grimp.build_graph("lit_textclf", exclude_type_checking_imports=False, cache_dir=None)


def test_packages_import_in_one_direction(capsys: pytest.CaptureFixture[str]) -> None:
    """The contracts in pyproject.toml hold, and every package of lit_textclf is in one of their layers."""
    result = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert result == 0, capsys.readouterr().out
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    for container, folder in ("lit_textclf", PACKAGE), ("lit_textclf.data", PACKAGE / "data"):
        contract = next(part for part in contracts["contracts"] if part.get("containers") == [container])
        layered = {name for layer in contract["layers"] for name in re.findall(r"\w+", layer)}
        assert layered >= {path.name for path in FOLDERS if path.parent == folder}


def test_no_module_imports_itself_through_others(graph: grimp.ImportGraph) -> None:
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) >= 100
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which lists the modules of the circle


def test_the_top_folder_is_a_table_of_contents() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "version.py"}
    assert len([path for path in FOLDERS if path.parent == PACKAGE]) <= 12


def test_folders_have_two_to_nine_files() -> None:
    odd = set()
    for folder in FOLDERS:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert (folder / "__init__.py").is_file()
        folders = [path for path in FOLDERS if path.parent == folder]
        if len(files) > 9 or len(files) + len(folders) < 2:
            odd.add(name_of(folder))
    assert odd == set(ODD_FOLDERS)


def test_files_are_short() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    long = {name: number for name, number in lines.items() if number > MAX_FILE_LINES}
    assert set(long) == LONG_FILES, long


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a module, and its number of lines from `def` to its last one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}: {name}": lines
        for path in MODULES
        for name, lines in functions(path)
        if lines > MAX_FUNCTION_LINES
    }
    assert set(long) == LONG_FUNCTIONS, long


def test_tests_mirror_the_package() -> None:
    tests, strays = ROOT / "tests", set()
    for path in tests.rglob("test_*.py"):
        relative = path.relative_to(tests)
        if len(relative.parts) == 1 or relative.parts[0] in TESTS_OF_THE_WHOLE:
            continue
        if not (PACKAGE / relative.with_name(relative.name.removeprefix("test_"))).is_file():
            strays.add(relative.as_posix())
    assert strays == set(TESTS_OF_SEVERAL_MODULES)


@pytest.mark.slow  # `make test-imports` does it in an environment without the extras
def test_every_module_is_imported_without_the_extras() -> None:
    """`import onnxruntime` and the like are inside functions: the package works without its optional dependencies."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    optional = sorted(
        re.split(r"[<>=~!\[; ]", requirement)[0].replace("-", "_")
        for name, requirements in extras.items()
        if name not in {"dev", "bench"}
        for requirement in requirements
    )
    assert {"onnx", "onnxruntime", "peft", "optuna"} <= set(optional)
    command = [sys.executable, "-m", "tests.import_all", *optional]
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found = json.loads(result.stdout.splitlines()[-1])
    assert found == {"modules": len(MODULES) - 1 - len(WITH_AN_EXTRA), "imported": []}  # nor is the package counted


def test_contributing_names_files_folders_and_tables_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    missing, folder, tables = set(), PACKAGE, 0
    for name in re.findall(r"`([\w./]+)`", text.split("## Recipes")[1]):
        if name.endswith((".py", ".yml", ".cff", ".md", "/")):
            path = next((base / name for base in (ROOT, PACKAGE, folder) if (base / name).exists()), None)
            if path is None and not any((ROOT / "tests").rglob(name)) and not re.search("FORMAT|TASK|COMMAND", name):
                missing.add(name)
            elif path is not None and path.is_relative_to(PACKAGE):
                folder = path if path.is_dir() else path.parent
        elif re.fullmatch("[A-Z]{4,}S", name):
            tables += 1
            if not any(re.search(rf"^{name}\b.* = ", path.read_text(encoding="utf-8"), re.M) for path in MODULES):
                missing.add(name)
    assert tables >= 8
    assert not missing
    tree = text.split("lit_textclf/\n")[1].split("configs/")[0]
    assert set(re.findall(r"── (\w+)/", tree)) == {path.name for path in FOLDERS if path.parent == PACKAGE}
