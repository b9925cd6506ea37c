"""An installation without torch, made as docs/install.md says, predicts the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from lit_textclf import main
from tests.conftest import sentences, write_csv

ROOT = Path(__file__).parents[2]
OWN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
CLASSIFY = "import lit_textclf; print(lit_textclf.load('model').classify('good')['label'])"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with what `requirements-onnx.txt` lists."""
    folder = tmp_path_factory.mktemp("without_torch")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    found = str(folder / "bin" / "python")
    install = [found, "-m", "pip", "install", "-q", "--constraint", str(ROOT / "constraints.txt")]
    try:
        subprocess.run([*install, "-r", str(ROOT / "requirements-onnx.txt")], check=True, env=OWN)
    except subprocess.CalledProcessError:
        pytest.skip("the package index cannot be reached")
    source = folder / "source"  # pip builds in the folder of the sources
    shutil.copytree(ROOT / "lit_textclf", source / "lit_textclf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([*install, "--no-deps", str(source)], check=True, env=OWN)
    return found


def run(python: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, *args], capture_output=True, text=True, check=False, env=OWN)


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_predicts_the_same_bytes(python: str) -> None:
    assert "No module named" in run(python, "-c", "import torch").stderr
    engine = ["predict", "--engine", "onnx", "--model_dir", "model", "--overwrite"]
    write_csv(Path("rows.csv"), ["text", "label"], sentences(150))
    for rows in (["--text", "the film was good"], ["--data.predict_file", "rows.csv", "--with_logits"]):
        main([*engine, *rows, "--output", "torch.csv"], callbacks=[Callback()])
        done = run(python, "-m", "lit_textclf", *engine, *rows, "--output", "plain.csv")
        assert done.returncode == 0, done.stderr
        assert Path("plain.csv").read_bytes() == Path("torch.csv").read_bytes()
    assert "predict_accuracy" in done.stdout
    assert run(python, "-c", CLASSIFY).stdout.strip() in ("negative", "positive")


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_measures_the_same(python: str) -> None:
    write_csv(Path("rows.csv"), ["text", "label"], sentences(150))
    engine = ["test", "--engine", "onnx", "--model_dir", "model", "--data.test_file", "rows.csv"]
    main([*engine, "--trainer.default_root_dir", "through_torch"], callbacks=[Callback()])
    done = run(python, "-m", "lit_textclf", *engine, "--trainer.default_root_dir", "plain")
    assert done.returncode == 0, done.stderr
    assert "tensorboard: no events are written, because torch is not installed" in done.stderr
    folders = [Path(name) / "lightning_logs/version_0" for name in ("through_torch", "plain")]
    for name in ("outcomes.csv", "errors.csv", "per_class.csv", "confusion_matrix.csv"):
        first, second = (folder / name for folder in folders)
        assert first.read_bytes() == second.read_bytes()
    first, second = (json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in folders)
    assert second == pytest.approx(first, abs=1e-6)
    assert (folders[1] / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_what_needs_torch_says_so(python: str) -> None:
    for args, words in (
        (["predict", "--ckpt_path", "last", "--text", "good"], "error: predict needs torch here, which is not"),
        (["test", "--ckpt_path", "last"], "error: test needs torch here, which is not"),
        (["fit", "--data.train_file", "rows.csv"], "error: fit needs torch here, which is not"),
        (["predict", "--engine", "onnx", "--model_dir", "model", "--text", "a", "--trainer.devices", "1"],
         "error: no option --trainer.devices (torch, which has more options, is not installed)"),
    ):  # fmt: skip
        done = run(python, "-m", "lit_textclf", *args)
        assert done.returncode == 2
        assert done.stderr.startswith(words), done.stderr
