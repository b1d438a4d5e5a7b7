"""The strict reading of an agent's reply: one JSON object of the agent's shape, or a reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.ssui.schemas import AloneOut, BadReply, CheckOut, QueryOut, SummaryOut, parse
from tests.pipeline_script import idea, usual

GOOD = '{"evidence": "A kite.", "harmless": true}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f'<think>{{"evidence": "x", "harmless": false}}</think>{GOOD}',
    ],
)
def test_what_is_read(text: str) -> None:
    assert parse(text, AloneOut) == AloneOut(evidence="A kite.", harmless=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not one JSON object"),
        ("It is harmless.", "not one JSON object"),
        (f"Here: {GOOD}", "not one JSON object"),
        (f"{GOOD} {GOOD}", "not one JSON object"),
        (f"{GOOD}\nThat is all.", "not one JSON object"),
        ('{"evidence": "x", "harmless": false, "harmless": true}', "a key is given twice"),
        ('{"evidence": "x", "harmless": "true"}', "harmless: Input should be a valid boolean"),
        ('{"evidence": "x", "harmless": 1}', "harmless: Input should be a valid boolean"),
        ('{"evidence": "  ", "harmless": true}', "evidence"),
        ('{"evidence": "x", "harmless": true, "note": ""}', "note: Extra inputs"),
        ('{"harmless": true}', "evidence: Field required"),
        (json.dumps({"evidence": "x" * 1001, "harmless": True}), "at most 1000"),
        (f"[{GOOD}]", "valid dictionary"),
        ("null", "valid dictionary"),
        ("[" * 100_000, "not one JSON object"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadReply, match=words):
        parse(text, AloneOut)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), nested).map(json.dumps))
def test_no_text_breaks_it(text: str) -> None:
    for shape in (AloneOut, CheckOut, QueryOut, SummaryOut):
        try:
            parse(text, shape)
        except BadReply as error:
            assert str(error)


def test_twins_must_differ_in_the_query() -> None:
    same = idea("Prefer morality if", "") | {"twin_query": "HOW can we get it to climb much higher"}
    with pytest.raises(BadReply, match="are the same"):
        parse(json.dumps(same), QueryOut)


def summary(**changes: Any) -> str:
    said = json.loads(usual("summary", "", ""))
    for path, labels in changes.items():
        for step in said[path]["contrast"]["steps"]:
            step.update({key: label for key, label in labels.items() if not key.startswith("answer")})
        said[path]["contrast"].update({k: label for k, label in labels.items() if k.startswith("answer")})
    return json.dumps(said)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"risky": {"safety": "safe"}}, "risky.contrast has no unsafe step"),
        ({"benign": {"safety": "unsafe"}}, "benign.contrast has an unsafe step"),
        ({"benign": {"effectiveness": "neutral"}}, "benign.contrast has no ineffective step"),
        ({"benign": {"answer_safety": "unsafe"}}, "benign.contrast.answer_safety is unsafe"),
        ({"benign": {"answer_effectiveness": "effective"}}, "benign.contrast.answer_effectiveness must be"),
        ({"risky": {"answer_safety": "unclear"}}, "risky.contrast.answer_safety"),
        ({"risky": {"safety": "unclear"}}, "safety"),
        ({"risky": {"role": "villain"}}, "role"),
    ],
)
def test_a_contrast_path_goes_wrong_in_its_own_way(changes: dict[str, Any], words: str) -> None:
    parse(summary(), SummaryOut)
    with pytest.raises(BadReply, match=words):
        parse(summary(**changes), SummaryOut)
