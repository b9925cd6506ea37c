"""Postponed imports: each script runs in a process of its own, which has imported nothing before."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import sys
from types import ModuleType
from lit_textclf.utils.imports.postponed import POSTPONED, postpone_unneeded
postpone_unneeded()

def is_postponed(name):
    return name in sys.modules and type(sys.modules[name]) is not ModuleType
"""


def run(script: str) -> str:
    """Runs a script; returns what it printed."""
    done = subprocess.run([sys.executable, "-c", BEGIN + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_module_is_imported_when_something_else_is_read() -> None:
    run("""
import scipy.optimize
assert is_postponed("scipy.optimize")
assert scipy.optimize.brentq(lambda x: x - 2, 0, 5) == 2
assert type(scipy.optimize) is ModuleType
from scipy.optimize import linear_sum_assignment
assert linear_sum_assignment is scipy.optimize.linear_sum_assignment
assert not isinstance(linear_sum_assignment, type)
""")


def test_a_stand_in_does_what_it_stands_for() -> None:
    run("""
from scipy.optimize import linear_sum_assignment
assert is_postponed("scipy.optimize")
rows, columns = linear_sum_assignment([[4, 1], [2, 8]])
assert columns.tolist() == [1, 0]
""")


def test_modules_of_one_package_get_real_names() -> None:
    run("""
import matplotlib
import matplotlib.axes
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
context, hint = plt.style.context, matplotlib.colors.Colormap | None
assert all(is_postponed(name) for name in ("matplotlib", "matplotlib.axes", "matplotlib.pyplot"))
assert not isinstance(1, Axes) and is_postponed("matplotlib.axes")

@context("ggplot")
def drawn():
    return plt.rcParams["axes.facecolor"]

assert is_postponed("matplotlib.pyplot")
assert drawn() == "#E5E5E5" != plt.rcParams["axes.facecolor"]
import matplotlib.backends.backend_agg, matplotlib.figure
axes = matplotlib.figure.Figure().subplots()
assert isinstance(axes, Axes) and isinstance(axes, matplotlib.axes.Axes) and issubclass(type(axes), Axes)
assert not any(is_postponed(name) for name in POSTPONED)
""")


def test_another_submodule_brings_its_package() -> None:
    run("""
import matplotlib
assert is_postponed("matplotlib")
import matplotlib.colors
assert matplotlib.colors.to_hex("red") == "#ff0000" and not is_postponed("matplotlib")
""")


def test_a_subclass_of_a_stand_in_is_one_of_the_class() -> None:
    run("""
import matplotlib.axes
from matplotlib.axes import Axes

class Mine(Axes):
    name = "mine"

assert is_postponed("matplotlib.axes") is False and Mine.__mro__[1] is matplotlib.axes.Axes
""")


def test_a_module_that_was_imported_before_stays() -> None:
    run("""
sys.meta_path.pop(0)
import scipy.signal
postpone_unneeded()
import scipy.signal as again
assert again is scipy.signal and type(again) is ModuleType and len(again.windows.hann(3)) == 3
""")


def test_scikit_learn_fits_linear_models_without_most_of_scipy() -> None:
    run("""
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import pairwise_distances
from sklearn.preprocessing import PowerTransformer, SplineTransformer
features, labels = TfidfVectorizer().fit_transform(["good film", "bad film"] * 5), ["pos", "neg"] * 5
assert LogisticRegression().fit(features, labels).predict(features[:2]).tolist() == ["pos", "neg"]
assert np.allclose(Ridge(alpha=1e-9).fit([[0.0], [1.0]], [0, 2]).coef_, 2)
unused = [f"scipy.{name}" for name in ("integrate", "interpolate", "spatial", "stats")] + ["numpy.f2py"]
assert all(is_postponed(name) for name in unused)

assert pairwise_distances([[0, 0], [3, 4]], metric="chebyshev")[0, 1] == 4 and not is_postponed("scipy.spatial")
assert SplineTransformer().fit_transform([[0.0], [1.0]]).shape == (2, 7) and not is_postponed("scipy.interpolate")
assert PowerTransformer().fit_transform([[1.0], [2.0], [4.0]]).shape == (3, 1)
from scipy.stats import rankdata
assert rankdata([30, 10]).tolist() == [2, 1]
""")


def test_what_asks_every_module_imports_none() -> None:
    run("""
import inspect, warnings
import scipy.signal
inspect.getmodule(postpone_unneeded)
assert not hasattr(scipy.signal, "__warningregistry__") and is_postponed("scipy.signal")
""")


def test_transformers_finds_the_same_names_of_its_models() -> None:
    run("""
from pathlib import Path
import transformers
from transformers.utils import import_utils
scan, names = import_utils.create_import_structure_from_path, import_utils.fetch__all__
models = Path(transformers.__file__).parent / "models"
found = scan(models)
assert scan(f"{models}/__init__.py") is found and "BertModel" in str(found["bert"])
for name in ("__name__", "__wrapped__"):
    assert getattr(names, name, "") != "fetch__all__"  # it is ours
original = names.__closure__[0].cell_contents
for file in models.glob("*/*.py"):
    content = file.read_text(encoding="utf-8")
    assert names(content) == original(content), file
assert names("__all__ = ['a']\\n__all__ = [\\n    'b',\\n]\\n") == original("__all__ = ['b']") == ["b"]
""")


@pytest.mark.slow
def test_the_libraries_import_none_of_them() -> None:
    found = run("""
import lightning.pytorch, lit_textclf.cli.lightning_cli
from transformers import BertConfig, BertForSequenceClassification, get_scheduler
BertForSequenceClassification(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9))
print(*(name for name in POSTPONED if name in sys.modules and not is_postponed(name)))
print(*(name for name in ("sympy", "matplotlib.figure", "torch._dynamo.utils", "sklearn") if name in sys.modules))
""")
    assert found.split() == []


@pytest.mark.slow
def test_torch_compiles_a_module_after_all() -> None:
    run("""
import torch
from lightning.pytorch.utilities.compile import OptimizedModule
layer = torch.nn.Linear(2, 2)
optimizer = torch.optim.AdamW(layer.parameters())
layer(torch.ones(1, 2)).sum().backward()
optimizer.step()
assert is_postponed("torch._dynamo") and not isinstance(layer, OptimizedModule)
compiled = torch.compile(layer, backend="eager")
assert isinstance(compiled, OptimizedModule) and torch.equal(compiled(torch.ones(1, 2)), layer(torch.ones(1, 2)))
""")
