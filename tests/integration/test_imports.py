"""What a command imports: each answers without the libraries that it does not need, whose import takes seconds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lit_textclf.cli.commands import COMMANDS

HEAVY = {"torch", "lightning", "torchmetrics", "transformers", "datasets", "scipy", "matplotlib", "sklearn"}
# Of the others each takes as long as Python itself to start.
ALL = HEAVY | {"lightning_utilities", "jsonargparse", "numpy", "pyarrow", "yaml", "rich"}

CHECK = "check --model.model_name_or_path MODEL"
ONNX = "predict --engine onnx --model_dir ONNX --output PREDICTIONS"
EVALUATE = "test --engine onnx --model_dir ONNX --data.test_file train.csv --trainer.logger false"
# What is typed, the exit code, and what is not imported. RUN are the folders of two runs.
TABLE = [
    ("", 0, ALL),
    ("--help", 0, ALL),
    ("-h", 0, ALL),
    ("--version", 0, ALL),
    ("fot", 2, ALL),
    *((f"{command} --help", 0, ALL) for command in COMMANDS),
    ("fit -h", 0, ALL),
    ("compare", 2, HEAVY),
    ("compare RUN RUN", 0, HEAVY),
    ("compare RUN RUN --format json", 0, HEAVY),
    (f"{CHECK} --data.train_file train.csv", 0, HEAVY),
    (f"{CHECK} --data.train_file train.csv --trainer.max_epochs 5 --format json", 0, HEAVY),
    ("init --model.model_name_or_path MODEL --data.train_file train.csv --output OUT", 0, HEAVY),
    ("check --data.train_file train.csv", 0, HEAVY),  # the default model is not on this machine
    ("predict --ckpt_path best --text good --output PREDICTIONS", 0, {"datasets", "pandas", "sklearn"}),
    (f"{ONNX} --text good", 0, HEAVY | {"rich"}),
    (f"{ONNX} --data.predict_file train.csv --data.eval_batch_size 7 --with_logits", 0, HEAVY),  # and metrics
    ("explain --engine onnx --model_dir ONNX --output PREDICTIONS --text good", 0, HEAVY),
    # The figures of the report need matplotlib.
    (f"{EVALUATE} --trainer.default_root_dir PREDICTIONS", 0, HEAVY - {"matplotlib"}),
]
SCRIPT = """
import json, sys
from lit_textclf.cli.main import main
from lit_textclf.utils.imports.postponed import postpone_unneeded
postpone_unneeded()
code = 0
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    code = stopped.code
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize(
    ("typed", "code", "unused"),
    # The export of an ONNX model takes ten seconds.
    [pytest.param(*row, id=row[0], marks=[pytest.mark.slow] if "ONNX" in row[0] else []) for row in TABLE],
)
def test_a_command_imports_only_what_it_needs(
    typed: str, code: int, unused: set[str], finished_run: Path, tiny_bert: Path, tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    runs = [shutil.copytree(finished_run / "lightning_logs/version_0", tmp_path / name) for name in ("first", "second")]
    words = {"MODEL": str(tiny_bert), "OUT": str(tmp_path / "config.yaml"), "PREDICTIONS": str(tmp_path / "p.csv")}
    if "ONNX" in typed:
        words["ONNX"] = str(request.getfixturevalue("exported_model"))
    args = [str(runs.pop()) if word == "RUN" else words.get(word, word) for word in typed.split()]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *args], capture_output=True, text=True, check=False, cwd=finished_run
    )
    assert done.returncode == 0, done.stderr
    ended, imported = json.loads(done.stdout.splitlines()[-1])
    assert ended == code
    assert not unused & set(imported)


def test_a_report_needs_no_torch() -> None:
    modules = ", ".join(
        f"lit_textclf.evaluation.{name}" for name in ("report.html", "report.csv_files", "worst_errors")
    )
    script = f"import json, sys, {modules}; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.slow
def test_an_onnx_folder_classifies_without_torch(exported_model: Path) -> None:
    answer = "lit_textclf.load(sys.argv[1]).classify('good')['label']"
    script = f"import json, sys, lit_textclf; print(json.dumps([{answer}, *sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(exported_model)], capture_output=True, text=True, check=True
    )
    label, *imported = json.loads(done.stdout)
    assert label in ("negative", "positive")
    assert not HEAVY & {name.partition(".")[0] for name in imported}
