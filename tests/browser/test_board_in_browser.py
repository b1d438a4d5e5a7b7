"""The leaderboard's site in a real browser, opened from files: what a reader can do, and what a row can't."""

import functools
import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rsbench.board_site import build
from rsbench.compare import compare_outcomes
from rsbench.row_check import read_row
from rsbench.types import AnswerLabel
from tests.board_rows import outcomes, words, write_row
from tests.report_run import HACKS, LONG

pytestmark = pytest.mark.browser
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror='window.hacked=1'>\u202egnp </script><script>window.hacked=2</script>"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for n, skill in enumerate((0.2, 0.45, 0.5, 0.9)):
        found = outcomes(skill, n)
        said = [words(o, HACKS if n == 3 else ("I look", "I think", "I plan")) for o in found]
        said[0]["text"] += LONG if n == 3 else ""
        changes: dict[str, Any] = {"model.name": HOSTILE} if n == 3 else {}
        changes |= {"model.weights": "open", "model.parameters": {"temperature": 0.7}} if n == 1 else {}
        write_row(folder, f"model-{n}", found, said, changes)
    write_row(folder, "sealed", outcomes(0.8, 5))
    for name, skill in (("tiny", 0.3), ("tiny-srpo", 0.8)):
        training = {"recipe": "srpo", "base": "tiny", "seed": 1} if name != "tiny" else None
        found = outcomes(skill, 6)
        changes = {"model.family": "tiny", "training": training}
        write_row(folder, name, found, [words(o) for o in found], changes)
    found = outcomes(0.6, 8)
    changes = {"judge.validation": None, "judge.name": "unmeasured"}
    write_row(folder, "unvalidated", found, [words(o) for o in found], changes)
    return folder


@pytest.fixture(scope="module")
def site(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "a sub path"
    build(rows, folder, None)
    return folder


@pytest.fixture
def open_(chromium: Any, site: Path) -> Iterator[Open]:
    """Opens a page of the site; at the end nothing may have been logged, run, or asked of anybody else."""
    contexts, trouble, asked = [], [], []

    def open_page(
        address: str = "index.html", base: str = "", viewport: dict[str, int] = DESK, **more: Any
    ) -> Any:
        context = chromium.new_context(viewport=viewport, reduced_motion="reduce", **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((base or site.as_uri()) + "/" + address)
        return page

    yield open_page
    hacked = [page.evaluate("window.hacked") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert trouble == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "http://127.0.0.1:"))] == []
    assert set(hacked) <= {None}, "a row's script ran"


def names(page: Any, table: str = "t1") -> list[str]:
    """Names of the rows to be seen, in order."""
    return [
        str(i).removeprefix("row-")
        for i in page.locator(f"#{table} .board tbody tr:visible").evaluate_all("all => all.map(r => r.id)")
    ]


def test_rows_stand_in_the_tables_they_belong_to(open_: Open) -> None:
    page = open_()
    assert names(page)[0] == "model-3" and names(page)[-1] == "model-0"
    assert sorted(names(page)) == ["model-0", "model-1", "model-2", "model-3", "sealed"]
    assert names(page, "part-unvalidated") == ["unvalidated"]
    assert sorted(names(page, "part-closed")) == ["tiny", "tiny-srpo"]
    places = {
        i: page.locator(f"#row-{i} .place").inner_text()
        for i in ("model-0", "model-1", "model-3", "sealed", "unvalidated")
    }
    assert places["model-0"] == places["model-1"] == "2–4\ngroup 2", places
    assert places["model-3"] == "1\ngroup 1" and places["sealed"] == places["unvalidated"] == "–\nno place"
    assert (
        "+" in page.locator("#part-trained").inner_text()
        and "srpo" in page.locator("#part-trained").inner_text()
    )


def lined(page: Any) -> list[str]:
    """Names of the rows under a heavier line, as the browser draws it."""
    rows = page.locator("#t1 .board tbody tr:visible")
    width = "r => getComputedStyle(r.cells[0]).borderTopWidth"
    found = rows.evaluate_all(f"all => all.filter(r => ({width})(r) === '3px').map(r => r.id)")
    return [str(i).removeprefix("row-") for i in found]


def test_groups_are_text_and_their_lines_follow_order_and_filter(open_: Open) -> None:
    page = open_()
    table = page.get_by_role("table", name="Groups: tests find every row of a group better")
    said = table.locator("xpath=self::*[@data-table='t1']").aria_snapshot()
    assert 'cell "1 group 1"' in said and said.count('cell "2–4 group 2"') == 3, said
    assert 'cell "– no place"' in said, "a sealed row"
    assert (
        page.get_by_role("button", name="place", exact=True).first.get_attribute("aria-describedby")
        == "def-place"
    )
    said = page.locator("#def-place").inner_text()
    assert "tests find every row of a group better than all rows of later groups" in said
    assert "Groups" not in page.locator("#part-unvalidated caption").inner_text(), "it has none"
    best = names(page)
    first = next(i for i in best if i not in ("model-3", "sealed"))
    assert lined(page) == ["model-3", first]
    head = page.locator("#t1 .board thead")
    head.get_by_role("button", name="SafeEffectivePath").click()
    assert [i for i in names(page) if i != "sealed"][-1] == "model-3"
    assert lined(page) == [next(i for i in names(page) if i != "sealed"), "model-3"], "the other way round"
    head.get_by_role("button", name="model").click()
    assert lined(page) == [], "groups do not lie together"
    assert page.locator("#row-model-0 .place").inner_text() == "2–4\ngroup 2"
    head.get_by_role("button", name="place").click()
    assert lined(page) == ["model-3", first]
    page.locator("#filters").get_by_label("weights").select_option("unknown")  # hides model-1
    assert "model-1" not in names(page) and len(lined(page)) == 2
    page.locator("#filters").get_by_label("Search").fill("group 2")
    assert set(names(page)) == {"model-0", "model-2"} and lined(page) == names(page)[:1]


def test_published_numbers_stand_apart_and_fit_a_phone(open_: Open) -> None:
    page = open_(viewport=PHONE)
    part = page.locator("#part-published")
    assert "SafeWork-R1" in part.inner_text() and part.locator("[data-sort], .place, .pick").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#filters").get_by_label("judge").select_option("unmeasured")
    assert part.is_visible(), "filters are about rows"


def test_sorting_by_every_kind_of_column(open_: Open) -> None:
    page = open_()
    best = names(page)
    head = page.locator("#t1 .board thead")
    head.get_by_role("button", name="SafeEffectivePath").click()
    assert names(page) == best[::-1]
    assert best[0] == "model-3"
    assert page.locator("#t1 th[aria-sort=ascending]").inner_text().startswith("SafeEffectivePath")
    head.get_by_role("button", name="model").click()
    assert names(page)[1:] == ["model-0", "model-1", "model-2", "sealed"], "the hostile name begins with <"
    head.get_by_role("button", name="place").press("Enter")
    assert names(page)[0] == "model-3" and names(page)[-1] == "sealed"
    again = open_(f"index.html#{page.url.partition('#')[2]}")
    assert names(again) == names(page), "the address holds the order"


def test_what_is_missing_stays_last_up_and_down_in_every_column(open_: Open, tmp_path: Path) -> None:
    for n, skill in enumerate((0.2, 0.9)):
        found = outcomes(skill, n)
        write_row(tmp_path / "rows", f"model-{n}", found, [words(o) for o in found])
    # A guard that finds no unsafe step says nothing of the rest: no headline, no place, few numbers.
    found = [replace(o, answer=AnswerLabel("safe", "unclear", "unclear")) for o in outcomes(2.0, 3)]
    write_row(tmp_path / "rows", "guard", found, [words(o) for o in found])
    build(tmp_path / "rows", tmp_path / "site", None)
    page = open_(base=(tmp_path / "site").as_uri())
    line = page.locator("#row-guard")
    values = str(line.get_attribute("data-values")).split(",")
    columns = ["place", *(str(n) for n, value in enumerate(values) if value == "")]
    assert {"0", "2", "3", "4", "5"} <= set(columns)
    for column in columns:
        button = page.locator(f'#t1 thead [data-sort="{column}"]')
        orders = []
        for _ in range(2):
            button.click()
            orders.append(names(page))
        assert [order[-1] for order in orders] == ["guard", "guard"], column
        assert orders[0] == ["model-1", "model-0", "guard"] or column != "place"
        assert orders[0] != orders[1] or column != "place"


def test_filters_hide_rows_tables_and_sections(open_: Open) -> None:
    page = open_()
    form = page.locator("#filters")
    form.get_by_label("judge").select_option("unmeasured")
    assert names(page, "sec-main") == ["unvalidated"]
    assert (
        not page.locator("#part-open").is_visible() and "1 of 8 rows" in page.locator("#count").inner_text()
    )
    assert open_(f"index.html#{page.url.partition('#')[2]}").locator("#part-closed").is_hidden()
    form.get_by_label("judge").select_option("")
    form.get_by_label("weights").select_option("open")
    assert names(page, "sec-main") == ["model-1"]
    form.get_by_label("weights").select_option("")
    form.get_by_label("standing").select_option("self-reported")
    assert names(page, "sec-main") == ["sealed"]
    form.get_by_label("standing").select_option("")
    form.get_by_label("Search").fill("TINY")
    assert sorted(names(page, "sec-main")) == ["tiny", "tiny-srpo"]


def test_two_rows_compare_as_the_command_does(open_: Open, rows: Path) -> None:
    page = open_()
    page.get_by_label("Compare model-1", exact=True).check()
    assert page.locator("#compare").is_hidden()
    page.get_by_label("Compare model-0", exact=True).check()
    page.locator("#compare").click()
    page.wait_for_selector("table.pairs")
    chosen = [page.locator(f"select[name={side}]").input_value() for side in "ab"]
    one, other = (read_row(rows / f"{name}.json").outcomes() for name in chosen)
    table = page.locator("table.pairs tbody tr")
    found = {r.locator("th").inner_text()[:-2]: r for r in table.all()}
    for row, name in zip(
        compare_outcomes(one, other, ("safe_effective_path", "twin_accuracy", "over_refusal", "step_safe")),
        ("SafeEffectivePath", "Twin accuracy", "Over-refusal", "StepSafe"),
        strict=True,
    ):
        assert float(found[name].locator("[data-exact]").get_attribute("data-exact")) == pytest.approx(
            row.difference
        )
        assert float(found[name].locator("[data-p]").get_attribute("data-p")) == pytest.approx(
            row.p, abs=0.02
        )
        assert found[name].locator("td").nth(5).inner_text() == str(row.n)
    before = found["StepSafe"].locator("td").nth(2).inner_text()
    page.get_by_role("button", name="swap").click()
    after = table.last.locator("td").nth(2).inner_text()
    assert {before[0], after[0]} == {"+", "−"} and before[1:] == after[1:]


def test_heavy_values_come_from_pages_of_their_own(
    open_: Open, rows: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsbench.board_pairs.WEIGHT", 0)
    build(rows, tmp_path / "heavy", None)
    assert (tmp_path / "heavy/compare.html").stat().st_size < (site / "compare.html").stat().st_size
    found = []
    for base in (site, tmp_path / "heavy"):
        page = open_("compare.html#a=model-0&b=model-3", base=base.as_uri())
        page.wait_for_selector("table.pairs")
        found.append(page.locator("#result").inner_text())
    assert found[0] == found[1]
    page.get_by_role("button", name="swap").click()
    page.locator("table.pairs thead th:nth-child(3)", has_text="model-0").wait_for()


def test_rows_measured_otherwise_are_not_compared(open_: Open) -> None:
    page = open_("compare.html#a=model-0&b=unvalidated")
    text = page.locator("#result").inner_text()
    assert (
        "not measured alike" in text and "judge: a-judge" in text and page.locator("table.pairs").count() == 0
    )
    assert "two different" in open_("compare.html#a=tiny&b=tiny").locator("#result").inner_text()
    assert "self-reported" in open_("compare.html#a=sealed&b=model-0").locator("#result").inner_text()


def test_other_settings_are_said_beside_the_difference(open_: Open) -> None:
    note = "different settings: temperature 0.0 and 0.7"
    assert note in open_("compare.html#a=model-0&b=model-1").locator("#result").inner_text()
    assert "settings" not in open_("compare.html#a=model-0&b=model-2").locator("#result").inner_text()
    assert "temperature 0.7" in open_().locator("#row-model-1 th").inner_text()


def test_row_page_browses_items_and_folds_what_is_unsafe(open_: Open, rows: Path) -> None:
    page = open_()
    page.locator("#row-model-0 a").click()
    page.wait_for_selector(".ib-item h3")
    bad = next(o for o in read_row(rows / "model-0.json").outcomes() if o.steps[1].safety == "unsafe")
    # By a deep link, and not by the hash of the open page, whose change would be drawn at any time later.
    deep = open_(f"rows/model-0.html#{bad.item}")
    deep.wait_for_selector(".ib-item h3")
    assert deep.locator(".ib-item h3").inner_text() == bad.item
    assert "I think" not in deep.locator(".ib-item").inner_text()
    deep.locator(".ib-steps .step").nth(1).locator("summary").click()
    deep.locator(".ib-steps .step").nth(1).get_by_text("I think").wait_for()  # on a busy machine not at once
    deep.get_by_text("rsbench leaderboard").click()
    assert deep.url.endswith("index.html#row-model-0")


def test_a_sealed_row_shows_numbers_and_no_browser(open_: Open, site: Path) -> None:
    page = open_("rows/sealed.html")
    assert "sealed" in page.locator("#sec-items").inner_text() and page.locator(".ib").count() == 0
    assert "SafeEffectivePath" in page.locator("main").inner_text()
    assert not (site / "rows/sealed.transcripts.jsonl").exists()


def test_hostile_names_and_replies_are_text(open_: Open) -> None:
    for address in ("index.html", "compare.html#a=model-3&b=model-0", "rows/model-3.html#p0.risky"):
        page = open_(address)
        assert "<img src=x onerror='window.hacked=1'>⟨U+202E⟩gnp" in page.locator("body").inner_text(), (
            address
        )
        assert "\u202e" not in page.locator("body").inner_text(), address
        assert page.locator("main :is(script, iframe, object, [onload], [onerror])").count() == 0
        assert page.locator('a[href^="javascript"]').count() == 0
    page.get_by_label("show unsafe and unjudged text").check()
    page.wait_for_function("document.querySelector('.ib-item').innerText.includes('⟨U+202E⟩gnp.exe')")
    assert "<script>window.hacked=1</script>" in page.locator(".ib-item").inner_text()
    assert len(page.locator(".ib-item").inner_text()) < 30_000, "a megabyte is cut"


def test_it_works_on_a_server_under_a_sub_path(open_: Open, site: Path) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site.parent))
    handler.log_message = lambda *words: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = open_(base=f"http://127.0.0.1:{server.server_port}/a%20sub%20path")
        page.locator("#row-model-1 a").click()
        page.wait_for_selector(".ib-item h3")
        page.get_by_text("compare this row").click()
        assert page.locator("select[name=a]").input_value() == "model-1"
        server.shutdown()


def test_dark_phone_and_print(open_: Open) -> None:
    page = open_(color_scheme="dark", viewport=PHONE)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 24)"
    for address in ("index.html", "compare.html", "rows/model-1.html"):
        page.goto(page.url.rpartition("/a%20sub%20path/")[0] + "/a%20sub%20path/" + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
    page = open_()
    page.emulate_media(media="print")
    assert page.locator("#row-model-1").is_visible() and not page.locator("#filters").is_visible()


def test_numbers_need_no_javascript_and_terms_are_explained(open_: Open) -> None:
    page = open_(java_script_enabled=False)
    assert page.locator("#row-model-1 .value").inner_text().endswith("%")
    tip = page.locator(".term").first
    tip.locator("button").focus()
    assert "every step and the answer are safe" in tip.locator(".tip").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["index.html", "compare.html#a=model-0&b=model-1", "rows/model-1.html"])
def test_no_serious_accessibility_findings(open_: Open, address: str, scheme: str) -> None:
    program = Path(os.environ.get("RSBENCH_AXE", Path(__file__).parents[2] / "build/axe/package/axe.min.js"))
    assert program.is_file(), "no axe-core: `make test-browser` fetches it with npm"
    page = open_(address, color_scheme=scheme)
    page.evaluate(program.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [
        (finding["id"], finding["help"], finding["nodes"][0]["html"][:200], len(finding["nodes"]))
        for finding in found
        if finding["impact"] in ("serious", "critical")
    ]
    assert serious == [], json.dumps(serious, indent=1)
