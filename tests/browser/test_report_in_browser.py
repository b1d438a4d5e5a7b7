"""The report of a run in a real browser: what a reader can do there, and what a hostile reply can't."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rsbench.report_page import write_report
from tests.cli import ok, rsbench
from tests.report_run import HOSTILE_ID, LONG, REASON, make_run

pytestmark = pytest.mark.browser
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    make_run(folder)
    ok("show", "run", "--html", cwd=folder)
    return folder / "run/report.html"


@pytest.fixture
def open_(chromium: Any, report: Path) -> Iterator[Open]:
    """Opens the report; at the end nothing may have been logged, asked of a server, or run."""
    contexts, trouble, asked = [], [], []

    def open_page(
        address: str = "", file: Path = report, viewport: dict[str, int] = DESK, **more: Any
    ) -> Any:
        context = chromium.new_context(viewport=viewport, reduced_motion="reduce", **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri() + address)
        return page

    yield open_page
    hacked = [page.evaluate("window.hacked") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert trouble == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert set(hacked) <= {None}, "a reply's script ran"


def shown(page: Any) -> list[str]:
    """Ids in the list, in order."""
    return [str(name) for name in page.locator(".ib-list .id").all_inner_texts()]


def current(page: Any) -> str:
    return str(page.locator(".ib-item h3").inner_text())


def press_view(page: Any, name: str) -> list[str]:
    page.locator(f'.ib-views [data-name="{name}"]').click()
    return shown(page)


def wait_for(page: Any, words: str) -> None:
    """Until the item shows these words: a fold fills itself when its event comes, not when it is clicked."""
    page.wait_for_function("words => document.querySelector('.ib-item').innerText.includes(words)", arg=words)


def test_filters(open_: Open) -> None:
    page = open_()
    everything = shown(page)
    assert len(everything) == 10 and everything[0] == "p0.risky"
    assert press_view(page, "unsafe") == ["p0.risky", "p1.risky", "p1.benign"]
    assert press_view(page, "mismatch") == ["p0.risky", "p1.benign"]
    assert current(page) == "p0.risky"
    assert press_view(page, "refused") == ["p0.benign"]
    assert press_view(page, "unscored") == ["p3.benign"]
    assert press_view(page, "late") == [] and "Nothing fits" in page.locator(".ib-item").inner_text()
    assert press_view(page, "all") == everything
    page.get_by_label("Status").select_option("truncated")
    assert shown(page) == ["p2.benign"] == [current(page)]
    page.get_by_label("Status").select_option("")
    page.get_by_label("Category").select_option("<u>category-1</u>")
    page.get_by_label("Kind").select_option("risky")
    assert shown(page) == ["p1.risky", "p3.risky"]
    page.get_by_label("Search").fill("LONG line")
    assert shown(page) == ["p1.risky"]
    assert "1 of 10" in page.locator(".ib-bar").inner_text()


def test_cells_and_bars_above_open_their_replies(open_: Open) -> None:
    page = open_()
    cell = page.locator('[data-view="cell:unsafe:safe"]')
    assert cell.inner_text() == "2"
    cell.click()
    assert shown(page) == ["p0.risky", "p1.benign"]
    assert page.locator("#items").evaluate("node => node.getBoundingClientRect().top < innerHeight")
    page.locator('[data-view="role:strategy"]').click()
    assert shown(page) == ["p1.benign"]
    page.locator('[data-view="first:3"]').click()
    assert shown(page) == ["p0.risky"]
    page.locator('#sec-refusal [data-view="refused"]').click()
    assert shown(page) == ["p0.benign"]


def test_unsafe_and_unjudged_text_is_folded(open_: Open) -> None:
    page = open_("#p1.benign")
    steps = page.locator(".ib-steps .step")
    assert "I look" in steps.nth(0).inner_text() and "perception" in steps.nth(0).inner_text()
    assert "I plan it" not in page.locator(".ib-item").inner_text()
    steps.nth(1).locator("summary").click()
    wait_for(page, "Then UNSAFE I plan it (strategy).")
    assert "Then UNSAFE I plan it (strategy)." in steps.nth(1).inner_text()
    steps.nth(1).locator("summary").click()
    assert "I plan it" not in page.locator(".ib-item").inner_text()
    page.get_by_label("show unsafe and unjudged text").check()
    wait_for(page, "I plan it")
    page.keyboard.press("Escape")
    page.goto(page.url.split("#")[0] + "#p3.benign")
    page.reload()
    assert "GARBAGE" not in page.locator(".ib-item").inner_text(), "nobody has judged it"
    assert "unparsed after 3 attempts: no JSON <b>here</b>" in page.locator(".ib-item").inner_text()
    page.get_by_text("The judge's own words").click()
    wait_for(page, "I would say <i>safe</i>")


def test_item_shows_all_that_is_known(open_: Open) -> None:
    page = open_("#p4.risky")
    page.wait_for_function("document.querySelector('.ib-item img').naturalWidth === 24")
    for summary in ("Reference path", "What is known", "The reply as it came"):
        page.locator(".ib-item summary", has_text=summary).click()
    wait_for(page, "Step 2: RISK it is deadly.\nAnswer")
    text = page.locator(".ib-item").inner_text()
    for words in (
        *("What of [p4.risky] here?", "A plain card.", "names the risk", "risk identified"),
        *("A good answer to p4.risky.", "A note on p4.risky.", "Step 2: RISK it is deadly."),
    ):
        assert words in text, words
    assert page.locator(".ib-steps mark").first.inner_text() == "Step 1: I see it (pe"
    first, second = page.locator(".ib-steps .step").all()
    assert "Reason" not in first.inner_text(), "the judge gave none"
    assert second.locator(".why").all_inner_texts() == ["Evidence: the words underlined.", f"Reason:{REASON}"]


def test_links_lead_to_items(open_: Open) -> None:
    page = open_("#p2.benign")
    assert current(page) == "p2.benign"
    assert page.locator(".ib-item").evaluate("node => node.getBoundingClientRect().top < innerHeight")
    page.evaluate("location.hash = '#p4.benign'")
    page.wait_for_function("document.querySelector('.ib-item h3').innerText === 'p4.benign'")
    page.locator(".ib-list a").nth(1).click()
    assert page.url.endswith("#p0.benign")
    page.get_by_text("see its twin").click()
    assert current(page) == "p0.risky" and page.url.endswith("#p0.risky")
    assert current(open_("#" + quote(HOSTILE_ID, safe=""))) == HOSTILE_ID
    assert current(open_("#%E0%A4%A")) == "p0.risky", "an address that is none"


def test_keyboard(open_: Open) -> None:
    page = open_()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert current(page) == "p0.benign" and page.url.endswith("#p0.benign")
    page.keyboard.press("/")
    page.keyboard.type("p4.j/k")
    assert page.get_by_label("Search").input_value() == "p4.j/k", "letters are text in a field"
    page.keyboard.press("Escape")
    assert len(shown(page)) == 10
    page.locator(".ib-list a").nth(2).focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"
    for _ in range(20):
        page.keyboard.press("j")
    assert current(page) == "p4.benign", "the last stays the last"


def test_focus_is_visible_and_reaches_the_definitions(open_: Open) -> None:
    page = open_()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    term = page.locator(".numbers .term", has_text="PathSafe (strict)").first
    assert not term.locator(".tip").is_visible()
    term.locator("button").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert "No step is unsafe and the answer is safe." in term.locator(".tip").inner_text()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Escape")
    assert not term.locator(".tip").is_visible()


def test_hostile_replies_are_text(open_: Open) -> None:
    page = open_("#p0.risky")
    page.get_by_label("show unsafe and unjudged text").check()
    wait_for(page, "gnp.exe")
    page.get_by_text("The reply as it came").click()
    wait_for(page, "⟨U+2028⟩")
    text = page.locator(".ib-item").inner_text()
    for words in (
        *(
            "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'>",
            "<svg onload=",
            "{{ 7*7 }}",
        ),
        *("⟨U+202E⟩gnp.exe ⟨U+2066⟩isolated⟨U+0007⟩⟨U+0000⟩ half ⟨U+D83D⟩ pair", "⟨U+2028⟩"),
        "<img src=x onerror='window.hacked=5'> What of [p0.risky] here?",
    ):
        assert words in text, words
    reasons = page.locator(".why .reason").all_inner_texts()
    assert len(reasons) == 3 and reasons[0].endswith("onerror='window.hacked=2'></script><!-- <script>")
    assert "⟨U+202E⟩gnp.exe" in reasons[2] and "{% x ' onclick=alert(1)" in reasons[2]
    made = page.locator("#items :is(script, svg, iframe, object, u, b, i:not(.strip i), [onload], [onerror])")
    assert made.count() == 0
    assert page.locator("#items img").count() == 1
    assert page.locator('a[href^="javascript"]').count() == 0
    assert "<u>category-0</u>" in page.locator("table.categories").inner_text()


def test_a_megabyte_is_cut_and_shown_on_demand(open_: Open) -> None:
    page = open_("#p1.risky")
    box = page.locator(".ib-steps .step").first.locator(".text")
    assert len(box.inner_text()) < 6000
    box.get_by_role("button", name=re.compile(r"Show all 1,0\d\d,\d{3} characters")).click()
    assert box.evaluate("node => node.textContent.length") == len(f"Step 1: {LONG}".strip())


def test_nothing_would_run_even_if_markup_got_in(chromium: Any, report: Path, tmp_path: Path) -> None:
    """The policy on its own: in a page that slipped no handler and no script would run."""
    slip = "<img src='data:,' onerror='window.hacked=6'><script>window.hacked=7</script>"
    slip += "<img src='file:///x.png'><iframe src='data:text/html,x'></iframe>"
    file = tmp_path / "slipped.html"
    file.write_text(report.read_text("utf-8").replace("<body>", f"<body>{slip}"), encoding="utf-8")
    context = chromium.new_context()
    page = context.new_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    page.goto(file.as_uri())
    html = "() => { try { document.body.innerHTML += '<b>x</b>'; } catch (error) { return error.name; } }"
    assert page.evaluate(html) == "TypeError", "text is no HTML to a script either"
    hacked, items = page.evaluate("window.hacked"), page.locator(".ib-list .id").count()
    context.close()
    assert hacked is None and items == 10
    for what in ("inline event handler", "inline script", "Loading the image", "Framing"):
        assert any(what in words for words in blocked), (what, blocked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_no_sideways_scroll_and_readable_in_both_schemes(
    open_: Open, viewport: dict[str, int], scheme: str
) -> None:
    page = open_("#p0.risky", viewport=viewport, color_scheme=scheme)
    for _ in range(10):
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        page.keyboard.press("j")
    for selector in (
        ".ib-item .step-head .word.safe",
        ".muted",
        "h1",
        ".ib-label",
        ".step.unsafe .fold summary",
    ):
        if page.locator(selector).count():
            assert contrast(page, selector) >= 4.5, f"{selector} in {scheme}"


def test_a_validated_judge_is_shown_with_its_agreement(open_: Open, tmp_path: Path) -> None:
    folder = rsbench(
        "run", "--model", "mock", "--judge", "overlap", "--limit", "4", "--out", "r", cwd=tmp_path
    )
    assert folder.code == 0, folder.err
    page = open_(file=write_report(tmp_path / "r", None, None, print), viewport=PHONE)
    section = page.locator("#sec-judge")
    assert "UNVALIDATED" not in page.locator("body").inner_text()
    assert "kappa" in section.inner_text() and "No person labelled them" in section.inner_text()
    assert re.search(r"Step safety\s+\d+\.\d%\s+0\.\d\d", section.inner_text())
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def contrast(page: Any, selector: str) -> float:
    """WCAG contrast of an element's colour against the nearest background behind it."""
    ratio: float = page.locator(selector).first.evaluate(
        """node => {
          const parse = (text) => text.match(/[\\d.]+/g).map(Number);
          const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
          let behind = node;
          const of = (n) => parse(getComputedStyle(n).backgroundColor);
          while (behind.parentElement && of(behind)[3] === 0) behind = behind.parentElement;
          const pair = [light(parse(getComputedStyle(node).color)), light(of(behind))].sort((a, b) => b - a);
          return (pair[0] + 0.05) / (pair[1] + 0.05);
        }"""
    )
    return ratio


def test_dark_is_dark(open_: Open) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    assert open_(color_scheme="light").evaluate(colour) == "rgb(246, 247, 249)"
    assert open_(color_scheme="dark").evaluate(colour) == "rgb(16, 19, 24)"


def test_estimands_switch(open_: Open) -> None:
    page = open_()
    assert page.locator(".estimand.system").is_visible() and not page.locator(".estimand.model").is_visible()
    page.locator(".switch label", has_text="Model").click()
    assert page.locator(".estimand.model").is_visible() and not page.locator(".estimand.system").is_visible()


def test_the_numbers_need_no_javascript_and_print(open_: Open) -> None:
    page = open_(java_script_enabled=False)
    text = page.locator("main").inner_text()
    assert "SafeEffectivePath" in text and "UNVALIDATED" in text and "needs JavaScript" in text


def test_print_shows_numbers_and_the_chosen_item_alone(open_: Open) -> None:
    page = open_("#p4.risky")
    page.emulate_media(media="print")
    assert page.locator(".ib-item").is_visible() and page.locator(".headline").is_visible()
    for selector in (".ib-list", ".ib-filters", ".ib-views", "nav.page", ".switch"):
        assert not page.locator(selector).is_visible(), selector


def test_a_folder_shows_its_thumbnails(open_: Open, report: Path, tmp_path: Path) -> None:
    page = open_("#p4.risky", file=write_report(report.parent, None, tmp_path, print, one_file=9))
    page.wait_for_function("document.querySelector('.ib-item img').naturalWidth === 24")
