"""The comparison on a site that lost a file: it says which, says so aloud, and goes on with other rows."""

import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rsbench.board_site import build
from tests.board_rows import outcomes, words, write_row

pytestmark = pytest.mark.browser


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four rows, whose values are in pages of their own."""
    monkeypatch.setattr("rsbench.board_pairs.WEIGHT", 0)
    for n in range(4):
        found = outcomes(0.2 + n / 5, n)
        write_row(tmp_path / "rows", f"model-{n}", found, [words(o) for o in found])
    build(tmp_path / "rows", tmp_path / "site", None)
    return tmp_path / "site"


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page in which no script may fail. What the browser itself says of lost files is no trouble."""
    context, trouble = chromium.new_context(), []
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    yield page
    context.close()
    assert trouble == []


def cut(text: str) -> str:
    return text[: len(text) // 2]


def other_units(text: str) -> str:
    return re.sub(r'("safe_effective_path":")[01-]', r"\1", text)


def other_values(text: str) -> str:
    return re.sub(r'("safe_effective_path":")[01-]', r"\g<1>7", text)


def no_json(text: str) -> str:
    return text.replace('"safe_effective_path":', '"safe_effective_path"')


def other_metrics(text: str) -> str:
    return text.replace("safe_effective_path", "a_new_number")


def lost_script(text: str) -> str:
    return text.replace("postMessage", "postMassage")  # which the page's own policy forbids


def wait_for_verdict(page: Any) -> str:
    page.wait_for_selector("#result table.pairs, #result .note.bad")
    return str(page.locator("#result").inner_text())


@pytest.mark.parametrize(
    "damage", [None, cut, lost_script, no_json, other_units, other_values, other_metrics]
)
def test_a_lost_file_is_named_and_other_rows_are_compared(
    site: Path, page: Any, damage: Callable[[str], str] | None
) -> None:
    values = site / "rows/model-2.values.html"
    good = values.read_text(encoding="utf-8")
    if damage is None:
        values.unlink()
    else:
        assert damage(good) != good
        values.write_text(damage(good), encoding="utf-8")
    page.goto(f"{site.as_uri()}/compare.html#a=model-0&b=model-2")
    said = wait_for_verdict(page)
    assert "rows/model-2.values.html" in said and "rsbench leaderboard build" in said
    assert "model-0" not in said and page.locator("table.pairs, iframe").count() == 0
    assert page.get_by_role("status").filter(has_text="can't be read").count() == 1, "said aloud"
    page.locator("select[name=b]").select_option("model-3")
    page.wait_for_selector("table.pairs")
    assert page.locator("#result .note").count() == 0


def test_a_page_that_an_older_build_left_behind_is_no_page_of_this_row(
    site: Path, page: Any, tmp_path: Path
) -> None:
    kept = site / "rows/model-2.values.html"
    old = kept.read_bytes()
    build(tmp_path / "rows", site, None)
    assert kept.read_bytes() == old, "the same rows: nothing is stale"
    found = outcomes(0.9, 7)  # as many items, other labels
    write_row(tmp_path / "rows", "model-2", found, [words(o) for o in found])
    build(tmp_path / "rows", site, None)
    new = kept.read_bytes()
    kept.write_bytes(old)
    page.goto(f"{site.as_uri()}/compare.html#a=model-0&b=model-2")
    said = wait_for_verdict(page)
    assert "rows/model-2.values.html" in said and "of another build" in said
    kept.write_bytes(new)
    page.get_by_role("button", name="Try again").press("Enter")
    page.wait_for_selector("table.pairs")


def test_a_file_that_came_back_is_read_at_the_next_try(site: Path, page: Any) -> None:
    kept = {name: site / f"rows/{name}.values.html" for name in ("model-1", "model-2")}
    good = {name: path.read_bytes() for name, path in kept.items()}
    for path in kept.values():
        path.unlink()
    page.goto(f"{site.as_uri()}/compare.html#a=model-1&b=model-2")
    said = wait_for_verdict(page)
    assert all(f"rows/{name}.values.html" in said for name in kept), "both are named"
    for name, path in kept.items():
        path.write_bytes(good[name])
    page.get_by_role("button", name="Try again").press("Enter")
    page.wait_for_selector("table.pairs")
    assert page.evaluate("document.activeElement.id") == "result", "the button is gone, and the focus is not"


def test_without_a_network_the_page_says_so_and_works_again_with_one(site: Path, page: Any) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *words: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_port}/compare.html#a=model-0&b=model-1")
        page.wait_for_selector("table.pairs")
        page.context.set_offline(True)
        page.locator("select[name=b]").select_option("model-2")
        said = wait_for_verdict(page)
        assert "rows/model-2.values.html" in said and "network" in said
        page.locator("select[name=b]").select_option("model-1")
        page.wait_for_selector("table.pairs")  # its values are here already
        page.context.set_offline(False)
        page.locator("select[name=b]").select_option("model-2")
        page.locator("table.pairs thead th:nth-child(3)", has_text="model-2").wait_for()
        server.shutdown()
