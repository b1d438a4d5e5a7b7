"""Odds of tokens from OpenAI-shaped servers: asked for, read, and refused where they have another form."""

import json
from typing import Any

import pytest

from rsbench.models.base import GenParams, Message, Request
from rsbench.models.openai import OpenAIModel
from rsbench.models.openai_replies import read_chat, read_response
from tests.servers import as_completion, as_response

ONE = {"token": "un", "bytes": [117, 110], "logprob": -0.1, "top_logprobs": []}
ONE["top_logprobs"] = [
    {"token": "un", "bytes": [117, 110], "logprob": -0.1},
    {"token": "safe", "bytes": None, "logprob": -2.5},
]


def asks(api: str, **more: Any) -> dict[str, Any]:
    model = OpenAIModel("openai/m", "m", "http://127.0.0.1:1/v1", "none", api=api)
    schema: dict[str, object] = {"type": "object"}
    return model.body(Request((Message("user", "x"),), GenParams(), "k", schema, **more))


def test_odds_are_asked_for_only_if_wanted() -> None:
    assert "logprobs" not in asks("chat") and "top_logprobs" not in asks("responses")
    body = asks("chat", top_tokens=5)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
    body = asks("responses", top_tokens=5)
    assert body["top_logprobs"] == 5 and body["include"] == ["message.output_text.logprobs"]


@pytest.mark.parametrize(("api", "key"), [("chat", "response_format"), ("responses", "text")])
def test_a_required_schema_is_sent_to_any_server(api: str, key: str) -> None:
    assert key not in asks(api), "a server that may not know the field"
    assert "json_schema" in json.dumps(asks(api, schema_required=True)[key])


def test_tokens_are_read_from_both_apis() -> None:
    chat = as_completion("un")
    chat["choices"][0]["logprobs"] = {"content": [ONE]}
    response = as_response("un")
    response["output"][0]["content"][0]["logprobs"] = [ONE]
    for reply in (read_chat(json.dumps(chat)), read_response(json.dumps(response))):
        (token,) = reply.tokens
        assert (token.text, token.top) == ("un", (("un", -0.1), ("safe", -2.5)))
    assert read_chat(json.dumps(as_completion("un"))).tokens == ()


def test_a_token_that_ends_within_a_character_keeps_its_bytes() -> None:
    body = as_completion("x")
    half = {"token": "\\xf0\\x9f", "bytes": [240, 159], "logprob": -0.1, "top_logprobs": []}
    body["choices"][0]["logprobs"] = {"content": [half]}
    (token,) = read_chat(json.dumps(body)).tokens
    assert token.text.encode("utf-8", "surrogateescape") == b"\xf0\x9f"


@pytest.mark.parametrize(
    "content", [[{"token": "x"}], [1], [{"token": "x", "top_logprobs": [{"token": "x"}]}]]
)
def test_odds_in_another_form_do_not_cost_the_reply(content: Any) -> None:
    body = as_completion("x")
    body["choices"][0]["logprobs"] = {"content": content}
    reply = read_chat(json.dumps(body))
    assert (reply.status, reply.text, reply.tokens) == ("ok", "x", ())
