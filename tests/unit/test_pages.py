"""Pages: nothing that a model wrote can become markup, hide, reorder or run."""

import base64
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.pages import (
    HIDDEN,
    Page,
    clipped,
    environment,
    json_for_script,
    policy,
    render_page,
    visible_text,
)

ANY_TEXT = st.text(st.characters(exclude_categories=[]))  # half surrogate pairs too


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.lists(ANY_TEXT) | st.integers() | st.none(), max_size=4))
def test_json_in_a_script_element_keeps_every_value_and_ends_nothing(value: object) -> None:
    block = json_for_script(value)
    assert not set(block) & set("<>&\u2028\u2029")
    block.encode("utf-8")  # a page is UTF-8: half a surrogate pair must not stop it from being written
    assert json.loads(block) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("annexe \u202egnp.exe", "annexe ⟨U+202E⟩gnp.exe"),
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("bell\x07 nul\x00 escape\x1b[2J", "bell⟨U+0007⟩ nul⟨U+0000⟩ escape⟨U+001B⟩[2J"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("half \ud83d", "half ⟨U+D83D⟩"),
        ("over\rwritten", "over⟨U+000D⟩written"),
        ("windows\r\nlines\tand tabs\n", "windows\r\nlines\tand tabs\n"),
        ("👩‍🚒 نمی‌خواهم עברית ❤️", "👩‍🚒 نمی‌خواهم עברית ❤️"),
    ],
)
def test_hidden_characters_are_shown_by_number_and_writing_is_left_alone(text: str, shown: str) -> None:
    assert visible_text(text) == shown


@given(ANY_TEXT)
def test_what_is_shown_hides_nothing_and_is_utf_8(text: str) -> None:
    shown = visible_text(text)
    assert not re.search(HIDDEN, shown)
    shown.encode("utf-8")


def test_what_is_cut_is_counted() -> None:
    assert clipped("abcdef", 6) == "abcdef"
    assert clipped("x" * 1_000_300, 300) == "x" * 300 + "… (1,000,000 more characters)"


def test_the_policy_allows_the_given_texts_and_nothing_else() -> None:
    words = policy(["run()"], ["p{}"])
    run = base64.b64encode(hashlib.sha256(b"run()").digest()).decode()
    assert f"script-src 'sha256-{run}';" in words
    assert "default-src 'none'" in words and "img-src data:;" in words
    assert "unsafe" not in words and "*" not in words and "http" not in words
    assert "script-src 'none'" in policy([], [])


def test_templates_escape_and_miss_no_variable() -> None:
    env = environment()
    shown = env.from_string("<p title='{{ x }}'>{{ x | shown }}</p>").render(x="'><script>\u202e")
    assert shown == "<p title='&#39;&gt;&lt;script&gt;\u202e'>&#39;&gt;&lt;script&gt;⟨U+202E⟩</p>"
    with pytest.raises(Exception, match="undefined"):
        env.from_string("{{ nothing }}").render()


def test_a_page_carries_the_hashes_of_its_own_style_and_script() -> None:
    page = Page("page/base.html.jinja", ("page/page.css",), ("page/browser.js",))
    html = render_page(page, {}, {"a": "</script>"})
    script = html[html.rindex("<script>") + 8 : html.rindex("</script>")]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in html
    assert html.count("</script>") == 2, "the data's own does not end its element"
