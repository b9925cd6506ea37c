"""Every shipped config is parsed, has its header, and the keys that are there are explained."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lit_textclf import main

CONFIGS = sorted((Path(__file__).parent.parent / "configs").rglob("*.yaml"))


def test_all_are_found() -> None:
    names = {path.stem for path in CONFIGS}
    assert names >= {
        "quickstart",
        "single_text",
        "text_pair",
        "regression",
        "multi_label",
        "long_documents",
        "gpu",
        "fast",
    }
    assert len(CONFIGS) == 8


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_parses(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["fit", "--config", str(path), "--print_config"])
    assert raised.value.code == 0
    parsed, written = yaml.safe_load(capsys.readouterr().out), yaml.safe_load(path.read_text(encoding="utf-8"))
    for group in ("model", "data"):
        for key, value in written.get(group, {}).items():
            assert parsed[group][key] == value
    assert path.read_text(encoding="utf-8").startswith("# What:     ")
    assert "# Run:      lit-textclf" in path.read_text(encoding="utf-8")
