"""`report.html`: an evaluation on one page, without scripts, network or other files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lit_textclf.classifier.metrics.table import plain_name, shown_in
from lit_textclf.evaluation.evaluation import Evaluation
from lit_textclf.evaluation.report.sections import SECTIONS, Compared, Page
from lit_textclf.utils.atomic import write_file
from lit_textclf.utils.run_folder import CONFIG, OTHER_ROOT
from lit_textclf.version import __version__


def write_report(
    evaluation: Evaluation, metrics: Mapping[str, float], folder: Path, model: str, baselines: Sequence[Compared] = ()
) -> Path:
    """Writes `report.html` into a run's folder, complete or not at all; see :class:`Page` for the arguments.

    Raises:
        UserError: if it cannot be written.
    """
    path, config = folder / "report.html", folder / CONFIG
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    page = Page(evaluation, metrics, model, text, baselines)
    sections = [(section, blocks) for section in SECTIONS if (blocks := section.blocks(page))]
    html = _template().render(
        page=page,
        evaluation=evaluation,
        files=evaluation.outcomes.rows.sources,
        head=_head(page),
        sections=sections,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    write_file(path, html, remedy=OTHER_ROOT)
    return path


@cache
def _template() -> Template:
    # Everything is escaped: names of labels and files are user data, as texts are.
    environment = Environment(
        loader=PackageLoader("lit_textclf.evaluation.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.jinja")


def _head(page: Page) -> list[tuple[str, str]]:
    """The numbers at the top of the page, with their names."""
    values = {plain_name(name): value for name, value in page.metrics.items()}
    head = [(f"{values[name]:.4f}", name) for name in shown_in("head") if name in values]
    if page.evaluation.label_issues is not None:
        head.append((f"{len(page.evaluation.worst):,}", "rows misclassified"))
    if page.evaluation.label_issues is not None and page.evaluation.can_suspect_labels:
        head.append((f"{len(page.evaluation.label_issues.rows):,}", "suspected label errors"))
    return head
