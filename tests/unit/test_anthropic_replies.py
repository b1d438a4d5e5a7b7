"""How the Anthropic provider reads what a server says, replies and failures."""

from typing import Any

import pytest

from rsbench.models.anthropic import AnthropicModel
from rsbench.models.base import ProviderError
from rsbench.types import Reply, Usage
from tests.openai_calls import KEY, generate
from tests.servers import Body, FakeOpenAI, Fault
from tests.servers_anthropic import FakeAnthropic, error, message, text_block, thinking, tool_use

REDACTED = {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"}


def answer(said: Body | str | Fault, model_id: str = "claude-opus-4-7", **options: Any) -> Reply:
    """The reply that the provider makes of what the server says."""
    with FakeAnthropic(lambda _: said) as server:
        return generate(AnthropicModel("n", model_id, server.url, KEY, **options))


def failure(said: Body | str | Fault, **options: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        answer(said, **options)
    return caught.value


def test_an_ordinary_reply() -> None:
    counted = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 9}
    counted["output_tokens_details"] = {"thinking_tokens": 4}  # type: ignore[assignment]
    body = message(text_block("It is "), text_block("a cup."), model="claude-opus-4-7-x", usage=counted)
    reply = answer(body)
    assert (reply.status, reply.text, reply.finish_reason) == ("ok", "It is a cup.", "end_turn")
    assert (reply.reasoning, reply.reasoning_kind) == ("", "none")
    assert (reply.model, reply.usage) == ("claude-opus-4-7-x", Usage(8, 9, 4))  # cached input is input
    assert reply.latency_s > 0


@pytest.mark.parametrize(
    ("model_id", "blocks", "kind"),
    [
        ("claude-opus-4-7", [thinking("I see a handle.")], "summary"),
        ("claude-3-7-sonnet-20250219", [thinking("I see a handle.")], "full"),
        ("claude-3-7-sonnet-20250219", [thinking("I see a handle."), REDACTED], "summary"),
        ("qwen3-vl", [thinking("I see a handle.")], "full"),
    ],
)
def test_thinking_is_kept_and_called_what_it_is(model_id: str, blocks: list[Body], kind: str) -> None:
    reply = answer(message(*blocks, text_block("A cup.")), model_id)
    assert (reply.reasoning, reply.reasoning_kind) == ("I see a handle.", kind)
    assert reply.text == "A cup."


@pytest.mark.parametrize("block", [REDACTED, thinking("")])
def test_thinking_that_is_not_shown_is_none(block: Body) -> None:
    reply = answer(message(block, text_block("A cup.")))
    assert (reply.status, reply.reasoning, reply.reasoning_kind) == ("ok", "", "none")


@pytest.mark.parametrize(
    ("blocks", "stop", "status"),
    [
        ([text_block("words")], "stop_sequence", "ok"),
        ([text_block("words")], "max_tokens", "truncated"),
        ([thinking("long")], "max_tokens", "truncated"),
        ([text_block("words")], "model_context_window_exceeded", "truncated"),
        ([text_block("words")], "pause_turn", "truncated"),
        ([text_block("words")], "refusal", "refused"),
        ([], "refusal", "refused"),
        ([], "end_turn", "empty"),
        ([text_block(" \n")], "end_turn", "empty"),
        ([tool_use({"steps": [1]})], "max_tokens", "truncated"),
        ([text_block("I'm sorry, I can't help.")], "end_turn", "ok"),
    ],
)
def test_how_a_reply_ended(blocks: list[Body], stop: str, status: str) -> None:
    reply = answer(message(*blocks, stop=stop))
    assert (reply.status, reply.finish_reason) == (status, stop)


def test_why_a_refusal_was_one_is_kept() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "A policy says no."}
    assert answer(message(stop="refusal", stop_details=details)).error == "bio: A policy says no."


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad_request"),
        (401, "fatal"),
        (402, "fatal"),
        (403, "fatal"),
        (404, "fatal"),
        (413, "bad_request"),
        (429, "rate_limited"),
        (500, "transient"),
        (504, "transient"),
        (529, "transient"),
    ],
)
def test_every_http_status_has_its_kind_and_the_servers_words(status: int, kind: str) -> None:
    failed = failure(error(status, "some_error"))
    assert failed.kind == kind
    assert f"HTTP {status}: the server says {status}" in str(failed)


@pytest.mark.parametrize(
    "words",
    [
        "Your credit balance is too low to access the Anthropic API.",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
    ],
)
def test_a_spent_account_stops_the_run_though_it_says_400(words: str) -> None:
    assert failure(error(400, "invalid_request_error", words)).kind == "fatal"


def test_what_the_filter_stops_is_a_refusal() -> None:
    reply = answer(error(400, "invalid_request_error", "Output blocked by content filtering policy"))
    assert (reply.status, reply.finish_reason) == ("refused", "content_filter")


def test_retry_after_reaches_the_retry_layer() -> None:
    assert failure(error(429, "rate_limit_error", headers={"retry-after": "3"})).retry_after_s == 3.0


@pytest.mark.parametrize(
    "said",
    [
        Fault.malformed(),
        Fault.empty_body(),
        Fault.reset(),
        Fault("status", 200, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        {},
        {"type": "message", "content": "text"},
        {"type": "message", "content": ["text"]},
        message({"type": "text", "text": 7}),
    ],
)
def test_a_broken_answer_is_transient(said: Body | Fault) -> None:
    assert failure(said).kind == "transient"


def test_a_hanging_server_is_left_after_the_wall_time() -> None:
    failed = failure(Fault.hang(30), timeout_s=0.2)
    assert (failed.kind, "no whole reply within 0.2 s" in str(failed)) == ("transient", True)


def test_no_error_quotes_the_key() -> None:
    failed = failure(error(401, "authentication_error", f"invalid key {KEY}"))
    assert KEY not in str(failed)
    assert failed.__cause__ is None  # whose text would quote it in a traceback


def test_a_server_without_the_messages_api_says_what_to_check() -> None:
    with FakeOpenAI() as server, pytest.raises(ProviderError, match="where /v1/messages begins") as caught:
        generate(AnthropicModel("n", "m", server.url, KEY))
    assert caught.value.kind == "fatal"
