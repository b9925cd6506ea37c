"""The private names of libraries that the package uses: each exists, and each is listed here.

A library may rename them in any release. Where one does, the test of that name fails, and says which file to look at.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import lit_textclf

ROOT = Path(lit_textclf.__file__).parent
CHECKPOINT = "lightning.pytorch.callbacks:ModelCheckpoint"
LISTED = [
    # owner, private name, the files that use it
    ("argparse:ArgumentParser", "_actions", "cli/commands/runs/cross_validate.py cli/parser.py"),
    ("atexit", "_run_exitfuncs", "cli/main.py"),
    ("codecs:CodecInfo", "_is_text_encoding", "data/readers/open_text.py prediction/output_file.py"),
    ("evaluate:Metric", "_compute", "training/callbacks/hf_evaluate.py"),
    (
        "lightning.pytorch:LightningModule",
        "_trainer",
        "classifier/checkpoint.py classifier/module.py classifier/network.py",
    ),
    ("lightning.pytorch:Trainer", "_signal_connector", "training/callbacks/stop_and_resume.py"),
    ("lightning.pytorch.loops:_FitLoop", "_data_source", "data/trainer.py"),
    (CHECKPOINT, "_last_global_step_saved", "training/callbacks/checkpoints.py"),
    (CHECKPOINT, "_save_checkpoint", "training/callbacks/checkpoints.py"),
    (
        "lightning.pytorch.callbacks:ModelCheckpoint",
        "_should_skip_saving_checkpoint",
        "training/callbacks/checkpoints.py",
    ),
    ("lightning.pytorch.cli:LightningCLI", "_parse_ckpt_path", "cli/lightning_cli.py"),
    ("lightning.pytorch.cli:LightningCLI", "_parser", "cli/commands/runs/cross_validate.py cli/lightning_cli.py"),
    ("lightning.pytorch.cli:LightningCLI", "_subcommand_method_arguments", "cli/lightning_cli.py"),
    ("lightning.pytorch.cli:LightningCLI", "_subcommand_parsers", "cli/lightning_cli.py"),
    (
        "lightning.pytorch.strategies.launchers",
        "_MultiProcessingLauncher",
        "classifier/network.py prediction/writer.py",
    ),
    *(
        ("litserve:LitServer", f"_{name}", "serving/server.py")
        for name in (
            "callback_runner",
            "inference_workers_config_for_api",
            "register_api_endpoints",
            "register_internal_endpoints",
        )
    ),
    ("os", "_exit", "cli/main.py serving/processes.py"),
    ("sys", "_getframe", "utils/imports/arrow.py"),
    ("threading", "_shutdown", "cli/main.py"),
    ("torch", "_softmax_backward_data", "models/attention.py"),
    ("torch.nn.modules.module", "_has_any_global_hook", "models/last_layer.py"),
    *(
        ("torch.nn:Module", f"_{kind}", "models/last_layer.py")
        for kind in ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
    ),
    ("torch.nn:Module", "_apply", "classifier/metrics/stage.py"),
    ("torch.nn:Module", "_modules", "classifier/outputs.py"),
    ("transformers:PreTrainedConfig", "_attn_implementation", "models/attention.py models/last_layer.py"),
]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.strip("_") != ""


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Each file of the package, named from its root, and its syntax tree."""
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def own_names() -> set[str]:
    """The private names that the package itself defines: functions, classes, variables, attributes."""
    found = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
            elif isinstance(node, ast.alias):
                found.add(node.asname or "")
    return found


def used_names() -> set[tuple[str, str]]:
    """Private names that are imported from a library, or are attributes that the package does not define."""
    own, found = own_names(), set()
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("lit_textclf"):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                found |= {(file, name) for name in names if is_private(name)}
            elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
                found.add((file, node.attr))
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr", "hasattr"):
                name = getattr(node.args[1], "value", "")
                if is_private(str(name)) and name not in own:
                    found.add((file, name))
    return found


def inherited_names() -> set[tuple[str, str]]:
    """Private names that a class of the package shares with a library's base class: overridden, or used by chance."""
    found = set()
    for module in pkgutil.walk_packages([str(ROOT)], "lit_textclf."):
        if module.name == "lit_textclf.__main__":
            continue
        for owner in vars(importlib.import_module(module.name)).values():
            if not inspect.isclass(owner) or owner.__module__ != module.name:
                continue
            file = Path(inspect.getsourcefile(owner) or "").relative_to(ROOT).as_posix()
            names = set(re.findall(r"(?:self\.|def )(_[a-z]\w*)", inspect.getsource(owner)))
            libraries = [base for base in owner.__mro__ if not base.__module__.startswith("lit_textclf")]
            found |= {(file, name) for name in names if any(has(base, name) for base in libraries)}
    return found


def has(owner: Any, name: str) -> bool:
    """Whether a module or a class has a name, or a class sets it in its own code."""
    if name in vars(owner) or name in inspect.get_annotations(owner):
        return True
    return name in assigned_by(owner)


@cache
def assigned_by(owner: Any) -> set[str]:
    """The private attributes that a class sets in its own code."""
    try:
        source = inspect.getsource(owner) if inspect.isclass(owner) else ""
    except (OSError, TypeError):  # made without a file, or in C
        return set()
    return set(re.findall(r"self\.(_\w+) *[:=]", source))


@pytest.mark.parametrize(("owner", "name", "files"), LISTED, ids=[f"{owner}.{name}" for owner, name, _ in LISTED])
def test_exists(owner: str, name: str, files: str) -> None:
    found = pkgutil.resolve_name(owner)
    owners = found.__mro__ if inspect.isclass(found) else [found]
    assert any(has(owner, name) for owner in owners), f"{owner} has no {name} any more; see {files}"


def test_a_name_that_went_away_is_noticed() -> None:
    owner = pkgutil.resolve_name(CHECKPOINT)
    assert has(owner, "_save_checkpoint")
    assert has(owner, "_last_global_step_saved")
    assert not any(has(base, "_saved_now") for base in owner.__mro__)


def test_all_are_listed() -> None:
    listed = {(file, name) for _, name, files in LISTED for file in files.split()}
    assert used_names() | inherited_names() == listed
