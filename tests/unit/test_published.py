"""Numbers that others published: each with its citation, on the site's page, and nowhere among the rows."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rsbench.board_site import build
from rsbench.published import published
from rsbench.types import UserError
from tests.board_rows import outcomes, words, write_row

RESULTS = Path(__file__).parents[2] / "baselines" / "results"
FILES = sorted(RESULTS.glob("*.yaml"))
GOOD = {
    "schema": 1,
    "benchmark": "B",
    "citation": "A. Author, A paper, 2025.",
    "url": "https://example.org/paper",
    "note": "",
    "figures": [{"model": "M", "metric": "safe", "value": "50.0%", "where": "Table 2"}],
}


class _Words(HTMLParser):
    """The words of a page's section "Published elsewhere", those of all else, and its table rows."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.cell = False
        self.apart = self.rest = ""
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self.inside = ("id", "part-published") in attrs
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag in ("th", "td"):
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "section"
        self.cell = self.cell and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.rest += data
            return
        self.apart += data
        if self.cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    found = outcomes(0.5, 1, n_pairs=4)
    write_row(folder / "rows", "one", found, [words(o) for o in found])
    build(folder / "rows", folder / "site", None)
    return folder / "site"


def test_published_numbers_need_a_citation(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(json.dumps(GOOD))
    assert published(tmp_path)[0].figures[0].value == "50.0%"
    for key, bad in (("url", "javascript:alert(1)"), ("figures", []), ("citation", None)):
        (tmp_path / "bad.yaml").write_text(json.dumps(GOOD | {key: bad}))
        with pytest.raises(UserError, match=rf"(?s)bad\.yaml.*{key}"):
            published(tmp_path)


def test_some_are_shipped_and_none_twice() -> None:
    figures = [(s.url, s.benchmark, f.model, f.metric) for s in published(RESULTS) for f in s.figures]
    assert figures and len(set(figures)) == len(figures)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_number_is_on_the_page_as_printed_and_unranked(path: Path, site: Path) -> None:
    source = published(RESULTS)[FILES.index(path)]
    page = _Words()
    page.feed((site / "index.html").read_text(encoding="utf-8"))
    assert source.citation in page.apart and source.note in page.apart, "whole, not cut"
    assert source.note, "what differs is said"
    for figure in source.figures:
        assert [figure.model, figure.metric, figure.value, figure.where] in page.rows
        assert figure.model not in page.rest and figure.value not in page.rest
    assert "group" not in page.apart and "1 row of 1 model" in page.rest
    downloads = "".join((site / name).read_text(encoding="utf-8") for name in ("rows.csv", "rows.json"))
    assert not any(figure.model in downloads for figure in source.figures)
