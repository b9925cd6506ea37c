"""A real browser and a real TensorBoard, for tests that look at pages."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    # No name but this machine's is looked up, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip

# All elements that a selector finds, in shadow roots too: TensorBoard's pages are nested in them.
FIND = """
const found = [];
const walk = (root) => {
  found.push(...root.querySelectorAll(arguments[0]));
  for (const element of root.querySelectorAll('*')) if (element.shadowRoot) walk(element.shadowRoot);
};
walk(document);
"""


def chromium() -> tuple[str, str] | None:
    """Chromium and its driver: `CHROMIUM` and `CHROMEDRIVER`, or what is in the path; None where one is missing."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    browser = browser or shutil.which("google-chrome")
    driver = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextlib.contextmanager
def page(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """A browser window of this many pixels, which selenium drives; it has no profile but its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    found = chromium()
    assert found is not None, "no chromium or no chromedriver"
    with TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = found[0]
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(found[1]))
        try:
            # A window is never narrower than 500 pixels; the page in it may be.
            driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
            )
            yield driver
        finally:
            driver.quit()


def screenshot(url: str, path: Path, width: int = 1280, height: int = 900) -> dict[str, int]:
    """Takes a picture of a whole page, for pages that need no waiting.

    Args:
        url: the page's address, `file://` too.
        path: the PNG to write.
        width: pixels.
        height: pixels of the window; the picture is as high as the page.

    Returns:
        `width` and `height` of what the page holds, in pixels: wider than the window means that it scrolls sideways.
    """
    with page(width, height) as driver:
        driver.get(url)
        size: dict[str, int] = driver.execute_script(
            "const e = document.documentElement; return {width: e.scrollWidth, height: e.scrollHeight}"
        )
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": max(height, size["height"]), "deviceScaleFactor": 1, "mobile": width < 500},
        )
        driver.save_screenshot(str(path))
    return size


def colors(path: Path) -> int:
    """How many colours a picture has; a blank one has one."""
    return len(np.unique(np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3), axis=0))


class Served:
    """A TensorBoard that serves a folder.

    Args:
        folder: of runs.
        log: the file for what it says.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log = folder, log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Served:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(self.folder), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--reload_interval", "2"]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.runs(), self.log.read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/data/runs", timeout=5) as answer:
                if answer.read().strip() not in (b"", b"[]"):
                    return self
            time.sleep(0.3)
        raise AssertionError(self.log.read_text())

    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def __exit__(self, *raised: object) -> None:
        self._process.terminate()
        self._process.wait(20)
