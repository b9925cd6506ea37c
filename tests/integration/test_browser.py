"""Chromium looks at what a real TensorBoard shows of a real run: is it there, and is it drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lit_textclf import main
from tests.browser import FIND, Served, chromium, colors, page, screenshot
from tests.conftest import write_csv

pytestmark = [pytest.mark.slow, pytest.mark.browser]
if chromium() is None:  # the whole module at once: one line, not one for each test
    pytest.skip(
        "NO BROWSER TEST IS RUN: chromium or chromedriver is missing (CHROMIUM, CHROMEDRIVER or the path)",
        allow_module_level=True,
    )
DRAWN = (
    "return found.filter((e) => e.getBoundingClientRect().width > 20 && e.getBoundingClientRect().height > 20).length"
)


MADE = ("two_labels", "many_labels")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs that tests make, and those of `--runs`."""
    given = metafunc.config.getoption("--runs")
    if "served" in metafunc.fixturenames:
        metafunc.parametrize("served", [*MADE, *given], indirect=True, scope="module")
    if "report" in metafunc.fixturenames:
        reports = [path for folder in given for path in sorted(Path(folder).glob("*/report.html"))]
        metafunc.parametrize(
            "report", reports, ids=[f"{path.parent.parent.parent.name}_{path.parent.name}" for path in reports]
        )


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path
) -> Iterator[tuple[str, Served]]:
    """A TensorBoard of a run with 2 labels, with 77, or of runs that are there."""
    if Path(request.param).is_dir():
        folder = Path(request.param).resolve()
        with Served(folder, tmp_path_factory.mktemp("served") / "log") as server:
            yield folder.parent.name, server
        return
    folder = tmp_path_factory.mktemp(request.param)
    labels = 2 if request.param == "two_labels" else 77
    words = ["good", "fine", "great", "bad", "awful", "poor", "film", "book", "meal"]
    rows = [
        (
            f"the {words[index % 9]} was {words[index // 9 % 9]} {index}",
            f"intent_with_a_rather_long_name_{index % labels}",
        )
        for index in range(4 * 77)
    ]
    for split, part in {"train": rows, "validation": rows[:154]}.items():
        write_csv(folder / f"{split}.csv", ["text", "label"], part)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        main(
            ["fit", "--model.model_name_or_path", str(tiny_bert), "--data.train_file", str(folder / "train.csv"),
             "--data.validation_file", str(folder / "validation.csv"), "--data.max_length", "16", "--data.batch_size",
             "8", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--model.learning_rate", "3e-3",
             "--trainer.default_root_dir", str(folder), "--tensorboard.figures", "true"]
        )  # fmt: skip
    with Served(folder / "lightning_logs", folder / "log") as server:
        yield request.param, server


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where pictures go: `--screenshots DIR`, or the test's own folder."""
    folder = Path(request.config.getoption("--screenshots") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def wait_for(count: Callable[[], int], least: int, what: str) -> int:
    """Waits until there are so many of something; a page loads its parts one by one."""
    deadline = time.monotonic() + 60
    while (found := count()) < least:
        assert time.monotonic() < deadline, f"{what}: {found} of {least}"
        time.sleep(0.3)
    return found


def number_of(driver: Any, selector: str, how: str = DRAWN) -> Callable[[], int]:
    return lambda: int(driver.execute_script(FIND + how, selector))


@pytest.mark.parametrize(
    ("tab", "selector", "least"),
    [
        ("timeseries", "scalar-card", 2),
        ("scalars", "tf-scalar-card", 2),
        ("custom_scalars", "tf-custom-scalar-multi-line-chart-card", 3),
        ("pr_curves", "tf-pr-curve-card", 1),
        ("histograms", "tf-histogram-loader", 2),
        ("hparams", "vaadin-grid, tf-hparams-table-view", 1),
        ("text", "tf-text-loader", 2),
    ],
)
def test_tab_has_what_it_should(
    served: tuple[str, Served], pictures: Path, tab: str, selector: str, least: int
) -> None:
    name, server = served
    with page(1280, 1000) as driver:
        driver.get(f"{server.url}/#{tab}")
        wait_for(number_of(driver, selector), least, f"{tab} {selector}")
        if tab in ("scalars", "custom_scalars", "pr_curves"):
            # A line of a chart is an SVG path with points, or a canvas.
            wait_for(number_of(driver, "vz-line-chart2, canvas, path.line, line-chart"), least, f"{tab} charts")
        if tab == "text":
            rows = "return found.reduce((sum, e) => sum + e.innerText.trim().length, 0)"
            wait_for(number_of(driver, "td", rows), 200, "text of the worst errors")
        if tab == "hparams":
            cells = "return found.filter((e) => e.innerText.trim() === 'version_0').length"
            wait_for(number_of(driver, "vaadin-grid-cell-content, td, span, div", cells), 1, "the run's row")
        time.sleep(1)  # until a chart's animation ends
        picture = pictures / f"{name}_{tab}.png"
        driver.save_screenshot(str(picture))
    assert colors(picture) > 100


def test_images_are_loaded_whole(served: tuple[str, Served], pictures: Path) -> None:
    name, server = served
    loaded = "return found.filter((e) => e.naturalWidth > 0 && e.src.includes('/images/')).length"
    with page(1280, 3000) as driver:
        driver.get(f"{server.url}/#images")
        # Nine figures; TensorBoard shows twelve of a group at a time.
        figures = wait_for(number_of(driver, "img", loaded), 9, "figures")
        assert figures == 9 or name not in MADE
        widths = "return found.filter((e) => e.src.includes('/images/')).every((e) => e.naturalWidth === 720) ? 1 : 0"
        assert number_of(driver, "img", widths)()
        picture = pictures / f"{name}_images.png"
        driver.save_screenshot(str(picture))
    assert colors(picture) > 500


@pytest.mark.parametrize("width", [390, 1280])
def test_screenshots_of_files(tmp_path: Path, pictures: Path, width: int) -> None:
    """The pictures are of the width that was asked for, and as high as the page."""
    source = tmp_path / "page.html"
    source.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><body style='margin:0'>"
        "<div style='height:2500px;background:linear-gradient(red,blue)'>text</div>",
        encoding="utf-8",
    )
    picture = pictures / f"page_{width}.png"
    assert screenshot(source.as_uri(), picture, width) == {"width": width, "height": 2500}
    with Image.open(picture) as image:
        assert image.size == (width, 2500)
    assert colors(picture) > 100


@pytest.mark.parametrize("width", [390, 1280])
def test_report_of_a_run(report: Path, pictures: Path, width: int, request: pytest.FixtureRequest) -> None:
    """Of `--runs`; what a report holds is tested beside it."""
    picture = pictures / f"{request.node.callspec.id}.png"
    size = screenshot(report.resolve().as_uri(), picture, width)
    assert size["width"] == width
    assert size["height"] > 3000
    assert colors(picture) > 500
