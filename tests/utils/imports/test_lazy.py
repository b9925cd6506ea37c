"""Packages import their attributes on first use."""

from __future__ import annotations

import json
import sys

import pytest

import lit_textclf
from lit_textclf import classifier, data, training
from lit_textclf.utils.imports.lazy import lazy_attributes


def test_first_use_imports_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "json.tool", raising=False)
    get, names = lazy_attributes("json", main="tool", JSONDecoder="decoder")
    assert names() == sorted(json.__all__)
    assert get("JSONDecoder") is json.JSONDecoder
    assert "json.tool" not in sys.modules
    assert callable(get("main"))
    assert "json.tool" in sys.modules


@pytest.mark.parametrize("package", [lit_textclf, classifier, data, training], ids=lambda package: package.__name__)
def test_packages_have_what_they_list(package: object) -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match=f"^module '{package.__name__}' has no attribute 'Nothing'$"):
        _ = package.Nothing
