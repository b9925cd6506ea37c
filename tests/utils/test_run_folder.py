"""The files of a run's folder."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lit_textclf.utils.messages import UserError
from lit_textclf.utils.run_folder import dotted, new_folder, options_of_run, read_config, read_metrics, write_metrics


def test_metrics_read_back_with_nan_as_null(tmp_path: Path) -> None:
    path = write_metrics({"val_loss": 0.1, "val_auroc": math.nan}, tmp_path)
    assert path.read_text(encoding="utf-8") == '{\n  "val_loss": 0.1,\n  "val_auroc": null\n}\n'
    found = read_metrics(tmp_path)
    assert found["val_loss"] == 0.1
    assert math.isnan(found["val_auroc"])


@pytest.mark.parametrize(("content", "problem"), [("[1]", "not a mapping"), ("{", "cannot be read")])
def test_damaged_metrics(content: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"metrics\.json: {problem}.*; run the command that wrote it again"):
        read_metrics(tmp_path)


def test_a_config_by_dotted_names(tmp_path: Path) -> None:
    assert read_config(tmp_path) is None
    config, checkpoint = tmp_path / "config.yaml", tmp_path / "checkpoints" / "last.ckpt"
    config.write_text("seed_everything: 42\ndata: {labels: [a, b], dataset_splits: {test: dev}}\n", encoding="utf-8")
    expected = {"seed_everything": 42, "data.labels": ["a", "b"], "data.dataset_splits": {"test": "dev"}}
    assert dotted(read_config(tmp_path) or {}) == options_of_run(checkpoint) == expected
    config.write_text("- no mapping\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.yaml: must be a mapping of options"):
        read_config(tmp_path)
    assert options_of_run(checkpoint) == {}


def test_folders_are_numbered_in_order(tmp_path: Path) -> None:
    (tmp_path / "version_9").mkdir()
    (tmp_path / "version_x").mkdir()
    assert new_folder(tmp_path, "version_").name == "version_10"
    assert new_folder(tmp_path, "cross_validation_").name == "cross_validation_0"
