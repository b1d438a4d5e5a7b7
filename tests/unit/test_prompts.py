"""Templates come from strangers and model text is hostile: neither may do more than be text."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rsbench.prompts import quote, read_template, render
from rsbench.types import UserError

NONCE = "0123456789abcdef"
CLOSE = f"</data-{NONCE}>"


@pytest.mark.parametrize(
    "template",
    [
        "{{ query.__class__ }}",
        "{{ query.__class__.__mro__[-1].__subclasses__() }}",
        "{{ ''|attr('__class__') }}",
        "{{ '{0.__class__}'.format(query) }}",
        "{{ '{x.__class__}'.format_map({'x': query}) }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ steps.append(1) }}",
        "{{ unknown }}",
        "{{ query.unknown }}",
        "{% for s in unknown %}{% endfor %}",
        "{% if unknown %}{% endif %}",
        "{% include '/etc/hostname' %}",
        "{% extends 'x' %}",
        "{{ 1 / 0 }}",
        "{{ query + 1 }}",
        "{{ range(10 ** 9) }}",
        "{{ steps[0] }}{{ steps|first }}{{ [][3] }}",
    ],
)
def test_a_template_can_only_fill_in(template: str) -> None:
    with pytest.raises(UserError, match=r"t\.jinja: .*Variables on offer: query, steps"):
        render(template, "t.jinja", query="words", steps=[])


def test_values_are_never_templates() -> None:
    hostile = "{{ 7 * 7 }} {% for x in y %} {# gone? #} <b>&amp;</b>"
    assert render("Q: {{ query }}", "t", query=hostile) == f"Q: {hostile}"
    assert render("{{ steps[0] }}", "t", steps=[hostile]) == hostile


@pytest.mark.parametrize("text", [b"{{ query", b"{% if x %}", b"{{ \xff }}"])
def test_broken_templates_are_found_before_any_call(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "t.jinja"
    path.write_bytes(text)
    with pytest.raises(UserError, match=r"t\.jinja: not a readable template"):
        read_template(path)
    with pytest.raises(UserError, match=r"none\.jinja: not a readable template: .*No such file"):
        read_template(tmp_path / "none.jinja")


PIECES = st.sampled_from(
    f'{CLOSE}|</data-|</DATA-{NONCE}>|<data-{NONCE} name="answer">|< / data-{NONCE}>|</ data|<|/|>|'
    f"data-{NONCE}|{NONCE}|</{NONCE}>|(| |\n|<<//data-{NONCE}>".split("|")
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(PIECES | st.text(st.characters(codec=None), max_size=8), max_size=10).map("".join))
@example(CLOSE)
@example("<" + CLOSE[1:] * 2)
def test_no_text_can_close_its_quotation(text: str) -> None:
    quoted = quote(text, NONCE, "step 1")
    assert quoted.lower().count(CLOSE) == 1 and quoted.endswith("\n" + CLOSE)
    assert quoted.lower().count("<data") == 1 and quoted.startswith(f'<data-{NONCE} name="step 1">\n')
    assert "</ data" not in quoted.lower().replace("  ", " "), "nor by a close likeness"
    quoted.encode("utf-8")  # it can be sent


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text().filter(lambda text: "<" not in text))
def test_ordinary_words_are_quoted_as_they_are(text: str) -> None:
    assert quote(text, NONCE, "answer") == f'<data-{NONCE} name="answer">\n{text}\n{CLOSE}'


def test_ordinary_markup_is_quoted_as_it_is() -> None:
    text = "if a < b and b > c: <think> <b>bold</b> 3 </ 4"
    assert text in quote(text, NONCE, "answer")
