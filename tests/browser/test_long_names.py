"""Names of one endless word on the board, the comparison and a row's page: they break, and no page grows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rsbench.board_site import build
from rsbench.types import Outcome
from tests.board_rows import outcomes, words, write_row

pytestmark = pytest.mark.browser
LONG = "W" * 400


def row(folder: Path, name: str, changes: dict[str, Any], found: Sequence[Outcome] = ()) -> None:
    found = found or outcomes(0.5, 1)
    write_row(folder, name, found, [words(o) for o in found], changes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = tmp_path_factory.mktemp("rows")
    row(rows, "plain", {})
    row(rows, "model", {"model.name": LONG, "model.parameters": {LONG: LONG}})
    row(rows, "trained", {"training": {"recipe": LONG, "base": LONG, "seed": 1}})
    row(rows, "task", {"task.name": LONG, "task.version": LONG, "task.prompt": LONG})
    row(rows, "judge", {"judge.validation": None, "judge.name": LONG})
    own: dict[str, object] = {"task.data": "1" * 64}  # other categories are other data
    row(rows, "category", own, [replace(o, category=f"{o.category} {LONG}") for o in outcomes(0.5, 1)])
    row(rows, "n" * 200, {})
    out = tmp_path_factory.mktemp("site")
    build(rows, out, None)
    return out


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_screen(chromium: Any, site: Path, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    pages = [f"rows/{path.name}" for path in sorted((site / "rows").glob("*.html"))]
    for address in ("index.html", *pages, "compare.html#a=plain&b=model", "compare.html#a=plain&b=task"):
        page.goto("about:blank")
        page.goto(f"{site.as_uri()}/{address}")
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        scrolled = page.locator(".wide").evaluate_all("all => Math.max(0, ...all.map((e) => e.scrollWidth))")
        assert scrolled < 3000, f"{address}: a table of its own screen's width is not to be read either"
    page.close()
