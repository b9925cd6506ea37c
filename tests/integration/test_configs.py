"""Every shipped config is parsed, has its header, and the keys that are there are explained."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lit_textclf import main
from lit_textclf.prediction.glue import LABELS

CONFIGS = sorted((Path(__file__).parent.parent.parent / "configs").rglob("*.yaml"))


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
        "ddp",
        "fsdp",
        "deepspeed_stage_2",
        "model_parallel",
        "two_nodes_torchrun",
        "tpu",
        *LABELS,
    }
    assert {path.parent.name for path in CONFIGS} == {"configs", "chinese", "debug", "glue", "strategies"}
    assert len(CONFIGS) == 25


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_parses(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["fit", "--config", str(path), "--print_config"])
    assert raised.value.code == 0
    parsed, written = yaml.safe_load(capsys.readouterr().out), yaml.safe_load(path.read_text(encoding="utf-8"))
    for group in ("model", "data", "trainer"):
        for key, value in written.get(group, {}).items():
            found = parsed[group][key]
            if key == "callbacks":
                found, value = ([part["class_path"] for part in parts] for parts in (found, value))
            if isinstance(value, dict) and "class_path" in value:  # completed with the class's defaults
                assert found["class_path"] == value["class_path"]
                found, value = {name: found["init_args"][name] for name in value["init_args"]}, value["init_args"]
            assert found == value
    assert path.read_text(encoding="utf-8").startswith("# What:     ")
    assert re.search(r"^# Run:      .*\blit[-_]textclf", path.read_text(encoding="utf-8"), re.M | re.S)


def test_the_slurm_job_is_a_script_of_options_that_are_there(tmp_path: Path) -> None:
    job = Path(__file__).parent.parent.parent / "configs/strategies/slurm.sbatch"
    assert subprocess.run(["bash", "-n", str(job)], check=False).returncode == 0
    command = re.search(r"-m lit_textclf (.*)", job.read_text(encoding="utf-8").replace("\\\n", " "))
    assert command is not None
    args = command[1].replace('"$SLURM_SUBMIT_DIR/runs"', str(tmp_path)).split()
    args[args.index("--config") + 1] = str(job.parent.parent / "single_text.yaml")
    with pytest.raises(SystemExit) as raised:
        main([*args, "--print_config"])
    assert raised.value.code == 0
