"""`report.html` shows what it should, asks nobody for anything, and does nothing that a text in it says."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from scipy.special import softmax

from lit_textclf.classifier.inference.calibration import Calibration
from lit_textclf.data.labels.target import Target
from lit_textclf.data.rows.rows import rows_of_texts
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.html import write_report
from lit_textclf.evaluation.report.sections import MAX_CHARS, MAX_ROWS
from tests.browser import chromium, page
from tests.evaluation.report.test_figures import outcomes

HARMFUL = "<script>document.title = 'caught'</script><img src=x onerror=\"document.title='caught'\">"
MANY = tuple(f"an_intent_with_a_long_name_{number}" for number in range(77))


class Read(HTMLParser):
    """A page's elements, its text, and which elements are open at its end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "hr", "wbr"):
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][-1] += data


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a report of made outcomes whose texts are harmful; returns its path."""

    def write(target: Target, rows: int = 200, better: float = 2.0, temperature: float = 1.0) -> Path:
        given = outcomes(target, rows, better=better)
        texts = [f"{number} {HARMFUL} & more" for number in range(rows)]
        texts[3] = "long " * MAX_CHARS
        evaluation = Evaluation(replace(given, rows=rows_of_texts(texts)), Calibration(temperature))
        (tmp_path / "config.yaml").write_text(f"data:\n  labels: ['{HARMFUL}']\n", encoding="utf-8")
        return write_report(evaluation, {"val_loss": 0.25, "val_auroc": float("nan")}, tmp_path, f"<b>{HARMFUL}.ckpt")

    return write


@pytest.mark.parametrize(
    ("target", "figures"),
    [
        (Target("single_label", ("no", HARMFUL)), 9),
        (Target("single_label", MANY), 9),
        (Target("multi_label", ("joy", "</td></table>", HARMFUL)), 6),
        (Target("regression"), 3),
    ],
)
def test_alone_and_harmless(target: Target, figures: int, written: Callable[..., Path]) -> None:
    text = written(target).read_text(encoding="utf-8")
    found = Read(text)
    assert found.open == []
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in found.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if "href" in attributes:
            assert (attributes["href"] or "").startswith("#")
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/png;base64,")
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    images = [attributes["src"] or "" for tag, attributes in found.elements if tag == "img"]
    assert len(images) == figures
    for image in images:
        assert Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))).size[0] >= 700
    metas = [attributes for tag, attributes in found.elements if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert "prefers-color-scheme: dark" in text
    ids = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    links = {(attributes["href"] or "")[1:] for tag, attributes in found.elements if tag == "a"}
    assert links <= ids
    assert any(HARMFUL in part for part in found.texts)


@pytest.mark.usefixtures("no_figures")
def test_what_the_tables_say(written: Callable[..., Path]) -> None:
    target = Target("single_label", ("no", "yes", "maybe"))
    evaluation = Evaluation(outcomes(target, better=0.5))
    assert len(evaluation.worst) > MAX_ROWS
    cells = Read(written(target, better=0.5).read_text(encoding="utf-8")).cells
    assert ["val_loss", "0.2500"] in cells
    assert ["val_auroc", "nan"] in cells
    for label in evaluation.label_scores:
        shares = [f"{value:.3f}" for value in (label.f1, label.precision, label.recall)]
        assert [label.label, *shares, str(label.rows), str(label.predicted)] in cells
    assert evaluation.score is not None
    assert evaluation.label_issues is not None
    first = next(place for place, row in enumerate(cells) if row[:2] == ["row", "text"])
    errors = [row[0] for row in cells[first + 1 : first + 1 + MAX_ROWS]]
    assert errors == [str(number) for number in evaluation.worst[:MAX_ROWS]]
    sure = evaluation.score >= 0.8
    right = 1 - evaluation.wrong[sure].mean()
    assert ["0.8", str(int(sure.sum())), f"{100 * sure.mean():.1f} %", f"{100 * right:.1f} %"] in cells
    first = next(place for place, row in enumerate(cells) if row[:2] == ["rank", "row"])
    suspects = [row[1] for row in cells[first + 1 :]]
    assert suspects == [str(number) for number in evaluation.label_issues.rows[:MAX_ROWS]]


@pytest.mark.usefixtures("no_figures")
def test_a_long_text_is_cut_and_a_model_without_errors(written: Callable[..., Path]) -> None:
    numbers = written(Target("regression")).read_text(encoding="utf-8")
    assert numbers.count(f"[the first {MAX_CHARS} characters]") <= 1
    assert "long " * MAX_CHARS not in numbers
    perfect = " ".join(Read(written(Target("single_label", ("no", "yes")), better=50.0).read_text("utf-8")).texts)
    assert "No row is misclassified" in perfect
    assert "No label errors are suspected" in perfect


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no chromium, or no chromedriver")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("target", [Target("single_label", MANY), Target("multi_label", ("joy", HARMFUL))])
def test_in_a_browser(width: int, target: Target, written: Callable[..., Path]) -> None:
    path = written(target)
    with page(width) as driver:
        for scheme, dark in (("light", False), ("dark", True)):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            driver.get(path.resolve().as_uri())
            assert driver.execute_script("return document.documentElement.scrollWidth") == width
            assert driver.title != "caught"
            color = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
            red = int(color.partition("(")[2].partition(",")[0])
            assert (red < 80) == dark
            small = driver.execute_script(
                "return [...document.querySelectorAll('p, td, th')].filter("
                "e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
            )
            assert small == 0
            shown = driver.execute_script(
                "for (const i of document.images) i.loading = 'eager';"
                "return Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
            )
            assert min(shown) >= 700
        assert not [entry for entry in driver.get_log("browser") if "favicon" not in entry["message"]]


@pytest.mark.usefixtures("no_figures")
def test_tables_follow_the_temperature(written: Callable[..., Path]) -> None:
    target = Target("single_label", ("no", "yes", "maybe"))
    path = written(target, temperature=2.0)
    chances = softmax(outcomes(target).logits / 2, -1).max(-1)
    cells = Read(path.read_text(encoding="utf-8")).cells
    above = int((chances >= 0.7).sum())
    assert any(row[:2] == ["0.7", str(above)] for row in cells)
    assert "temperature 2." in path.read_text(encoding="utf-8")


def test_thresholds_are_named(tmp_path: Path) -> None:
    target = Target("single_label", ("no", HARMFUL), HARMFUL)
    pages = []
    for thresholds in (None, {HARMFUL: 0.3}):
        pages.append(
            Read(write_report(Evaluation(outcomes(target), thresholds=thresholds), {}, tmp_path, "m").read_text())
        )
    texts = ["".join(found.texts) for found in pages]
    assert "Labels are assigned by threshold" not in texts[0]
    assert f"Labels are assigned by threshold ({HARMFUL}: 0.3)" in texts[1]
    images = [[attributes["src"] for tag, attributes in found.elements if tag == "img"] for found in pages]
    same = [first == second for first, second in zip(*images, strict=True)]
    assert same == [False, False, False, True, True, True, True, True, True]
