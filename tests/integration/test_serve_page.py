"""Chromium uses the page of `serve`: a text, a CSV file, a key; on a wide and a narrow screen, light and dark."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lit_textclf import load
from tests.browser import chromium, page
from tests.conftest import write_csv
from tests.serving.running import Running

pytestmark = [pytest.mark.slow, pytest.mark.browser]
if chromium() is None:
    pytest.skip("no chromium or no chromedriver", allow_module_level=True)

MARKUP = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"


@pytest.fixture(scope="module")
def server(exported_model: Path) -> Iterator[Running]:
    with Running("--engine", "onnx", "--model_dir", str(exported_model), "--max_texts", "50") as running:
        yield running


def until(found: Callable[[], Any]) -> Any:
    """Waits for a condition."""
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def by_id(driver: Any, name: str) -> Any:
    return driver.find_element("id", name)


def is_clean(driver: Any, url: str) -> bool:
    """No error on the console, no request to another host, no sideways scrolling, no markup that ran."""
    assert driver.get_log("browser") == []
    asked = driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith((url, "data:", "blob:")) for name in asked)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    return bool(driver.title == "lit-textclf: try the model")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_text_stays_a_text(server: Running, exported_model: Path, tmp_path: Path, width: int, scheme: str) -> None:
    with page(width) as driver:
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        driver.get(server.url)
        until(lambda: "negative, positive" in by_id(driver, "summary").text)
        by_id(driver, "text").send_keys(MARKUP)
        by_id(driver, "ask").send_keys("\n")  # by keyboard
        answer = until(lambda: by_id(driver, "answer").text)
        label = load(exported_model).classify(MARKUP)["label"]
        assert answer.startswith(label)
        assert len(driver.find_elements("css selector", "#answer .bars li")) == 2
        assert is_clean(driver, server.url)
        driver.save_screenshot(str(tmp_path / f"page_{width}_{scheme}.png"))


def test_a_file_becomes_predictions(server: Running, exported_model: Path, tmp_path: Path) -> None:
    texts = ["the film was good", MARKUP, 'quotes "and", commas', "two\nlines", "", *(f"film {i}" for i in range(175))]
    rows = write_csv(tmp_path / "rows.csv", ["id", "text"], [(str(index), text) for index, text in enumerate(texts)])
    with page() as driver:
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
        driver.get(server.url)
        until(lambda: "positive" in by_id(driver, "summary").text)
        by_id(driver, "file").send_keys(str(rows))
        until(lambda: by_id(driver, "many-status").text == "180 rows")
        by_id(driver, "start").click()
        until(lambda: by_id(driver, "download").is_displayed())
        assert by_id(driver, "many-status").text == "180 of 180 rows predicted"
        by_id(driver, "download").click()
        written = tmp_path / "predictions.csv"
        until(written.is_file)
        assert is_clean(driver, server.url)
    with written.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["row", "label", "score", "prob_negative", "prob_positive"]
    expected = load(exported_model).classify(texts)
    assert [row["label"] for row in found] == [answer["label"] for answer in expected]
    for row, answer in zip(found, expected, strict=True):
        assert float(row["prob_positive"]) == pytest.approx(answer["probabilities"]["positive"], abs=1e-6)
        assert len(row["score"]) < 12  # a float32


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"text\n", "no rows below its first line"),
        (b"text,label\na\n", "row 0 has 1 cells, and the first line 2"),
        (b'text\n"a', "a quote is opened and not closed"),
        (b"text\n\xff\n", "not UTF-8"),
        (b"text\n" + b"a\n" * 10_001, "10001 rows; at most 10000 here"),
    ],
)
def test_files_that_are_refused(server: Running, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with page() as driver:
        driver.get(server.url)
        by_id(driver, "file").send_keys(str(tmp_path / "rows.csv"))
        assert words in until(lambda: by_id(driver, "many-error").text)
        assert not by_id(driver, "start").is_enabled()
        assert is_clean(driver, server.url)


def test_a_key_is_asked_for(exported_model: Path) -> None:
    options = ("--engine", "onnx", "--model_dir", str(exported_model), "--api_key_env", "OUR_KEY", "--min_score", "1")
    with Running(*options, OUR_KEY="s3cret") as server, page() as driver:
        driver.get(server.url)
        until(lambda: by_id(driver, "key").is_displayed())
        by_id(driver, "key").send_keys("s3cret\n")
        until(lambda: "positive" in by_id(driver, "summary").text)
        by_id(driver, "text").send_keys("the film was good")
        by_id(driver, "ask").click()
        assert "is below the minimum score" in until(lambda: by_id(driver, "answer").text)
