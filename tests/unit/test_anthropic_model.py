"""What the Anthropic provider sends, to whom, and what it is called in records."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rsbench.images import EncodedImage
from rsbench.judges.parse import json_schema
from rsbench.models.anthropic import AnthropicModel
from rsbench.models.base import GenParams, Message, Request
from rsbench.types import UserError
from tests.openai_calls import ASK, KEY, generate
from tests.servers import Body
from tests.servers_anthropic import FakeAnthropic

PIXEL = EncodedImage(b"\x89PNG", "image/png", "0" * 64)

QUOTED = '<data-n name="step 1">\nI see a cup.\n</data-n>\n<data-n name="answer">\nA cup.\n</data-n>'
JUDGE_ASK = replace(
    ASK, messages=(Message("user", f"Label safety with evidence.\n{QUOTED}"),), schema=json_schema()
)


def sent(request: Request) -> Body:
    """The body that reaches the server."""
    with FakeAnthropic() as server:
        generate(AnthropicModel("anthropic/fake", "fake", server.url, KEY), request)
        return server.requests[0].body


def with_params(**params: Any) -> Request:
    return replace(ASK, params=GenParams(**{"max_tokens": 4096, **params}))


def test_a_request_holds_what_was_set_and_nothing_else() -> None:
    assert sent(ASK) == {
        "model": "fake",
        "max_tokens": 64,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "What is it?"}],
    }


def test_parameters_are_sent_when_set_even_when_they_are_zero_and_a_seed_never() -> None:
    body = sent(with_params(temperature=0.0, top_p=0.5, seed=7))
    assert (body["temperature"], body["top_p"]) == (0.0, 0.5)
    assert "seed" not in body  # the API answers 400 to keys it does not know


def test_images_come_before_the_text_as_base64() -> None:
    request = replace(ASK, messages=(Message("user", "Look.", (PIXEL, PIXEL)),))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}
    assert sent(request)["messages"][0]["content"] == [image, image, {"type": "text", "text": "Look."}]


def test_a_judges_next_question_keeps_the_turns_in_order() -> None:
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    body = sent(replace(ASK, messages=turns))
    assert [(m["role"], m["content"]) for m in body["messages"]] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    assert "system" not in body


@pytest.mark.parametrize("effort", ["low", "medium", "high", "xhigh", "max"])
def test_an_effort_asks_for_thinking_and_to_see_it(effort: str) -> None:
    body = sent(with_params(reasoning_effort=effort))
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": effort}


def test_a_number_is_a_budget_and_none_turns_thinking_off() -> None:
    budget = {"type": "enabled", "budget_tokens": 2048, "display": "summarized"}
    assert sent(with_params(reasoning_effort="2048"))["thinking"] == budget
    assert sent(with_params(reasoning_effort="none"))["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize("effort", ["minimal", "1023", "4096", "-5"])
def test_an_effort_the_api_does_not_have_stops_the_run(effort: str) -> None:
    with pytest.raises(UserError, match=r"low, medium, high.*from 1024 to below max_tokens \(4096\)"):
        sent(with_params(reasoning_effort=effort))


def test_a_schema_becomes_a_forced_tool_whose_input_is_the_reply() -> None:
    with FakeAnthropic() as server:
        reply = generate(AnthropicModel("n", "fake", server.url, KEY), JUDGE_ASK)
        body = server.requests[0].body
    assert body["tools"][0]["input_schema"] == json_schema()
    choice = {"type": "tool", "name": body["tools"][0]["name"], "disable_parallel_tool_use": True}
    assert body["tool_choice"] == choice
    assert (reply.status, reply.finish_reason) == ("ok", "tool_use")
    assert json.loads(reply.text)["answer"]["evidence"] == "A cup."


def test_a_thinking_judge_is_not_forced_into_a_tool() -> None:
    """The API refuses the two together; the verdict is then parsed from plain text."""
    efforts = {name: GenParams(64, reasoning_effort=name) for name in ("low", "none")}
    assert not {"tools", "tool_choice"} & set(sent(replace(JUDGE_ASK, params=efforts["low"])))
    assert "tools" in sent(replace(JUDGE_ASK, params=efforts["none"]))


def test_the_key_travels_in_a_header_and_the_environments_own_settings_stay_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Gateway: private-1\nX-Team:private-2")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "private-3")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "private-4")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/elsewhere")
    with FakeAnthropic() as server:
        generate(AnthropicModel("n", "fake", server.url, KEY))
        headers = server.requests[0].headers
    assert KEY in str(headers)
    assert "private" not in str(headers)


def test_a_base_url_may_end_in_the_version_or_not() -> None:
    with FakeAnthropic() as server:
        for url in (server.url, f"{server.url}/", server.url.removesuffix("/v1")):
            made = AnthropicModel("n", "fake", url, KEY)
            assert made.identity()["base_url"] == server.url.removesuffix("/v1")
            assert generate(made).status == "ok"


def test_identity_names_model_and_server_and_no_key() -> None:
    made = AnthropicModel("anthropic/claude-x", "claude-x", None, KEY)
    url = "https://api.anthropic.com"
    assert made.identity() == {"provider": "anthropic", "model": "claude-x", "base_url": url}
    assert made.family == "claude"
    assert KEY not in made.account
    assert AnthropicModel("n", "m", None, "another-key").account != made.account


def test_a_cards_revision_is_part_of_the_identity() -> None:
    assert AnthropicModel("n", "m", None, KEY, revision="2026-01").identity()["revision"] == "2026-01"


def test_an_unusable_base_url_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="must be http"):
        AnthropicModel("n", "m", "localhost:8000", KEY)
