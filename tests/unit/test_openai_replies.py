"""How the OpenAI provider reads what a server says, in both APIs."""

from collections.abc import Sequence

import pytest

from rsbench.models.base import FailureKind
from rsbench.types import Usage
from tests.openai_calls import answer, failure, finished
from tests.servers import Body, as_completion, as_response


def test_an_ordinary_chat_reply() -> None:
    body = as_completion("It is a cup.", "fake-2026", words=5)
    body["usage"]["completion_tokens_details"] = {"reasoning_tokens": 3}
    reply = answer(body)
    assert (reply.status, reply.text, reply.reasoning_kind) == ("ok", "It is a cup.", "none")
    assert (reply.finish_reason, reply.model, reply.usage) == ("stop", "fake-2026", Usage(5, 4, 3))
    assert reply.latency_s > 0


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_compatible_servers_reasoning_is_kept_in_full(field: str) -> None:
    reply = answer(as_completion("A cup.", message={field: "I see a handle."}))
    assert (reply.status, reply.reasoning, reply.reasoning_kind) == ("ok", "I see a handle.", "full")
    assert reply.text == "A cup."


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (finished("length"), "truncated", "words"),
        (finished("content_filter"), "refused", "words"),
        (finished("content_filter", None), "refused", ""),
        (finished("stop", None, refusal="I can't."), "refused", "I can't."),
        (finished("stop", None), "empty", ""),
        (finished("stop", " \n"), "empty", " \n"),
        (finished("length", ""), "truncated", ""),
        (finished("stop", "", reasoning_content="thought"), "ok", ""),
        (finished("tool_calls"), "ok", "words"),
        (finished(None), "ok", "words"),
        (finished("stop", "I'm sorry, I can't help."), "ok", "I'm sorry, I can't help."),
    ],
)
def test_how_a_chat_reply_ended(body: Body, status: str, text: str) -> None:
    reply = answer(body)
    assert (reply.status, reply.text) == (status, text)


def test_content_in_parts_is_joined() -> None:
    body = as_completion("")
    body["choices"][0]["message"]["content"] = [
        {"type": "text", "text": "A "},
        {"type": "text", "text": "cup."},
    ]
    assert answer(body).text == "A cup."


def test_a_large_reply_arrives_whole() -> None:
    text = "Step 1: ☕ and more. " * 50_000
    assert answer(text).text == text


def test_half_a_surrogate_pair_becomes_writable() -> None:
    assert answer("cup \ud83d!").text == "cup \ufffd!"  # as it was, writing the record would fail
    assert answer("cup ☕ 😀").text == "cup ☕ 😀"


def test_unreadable_usage_does_not_cost_the_reply() -> None:
    reply = answer(as_completion("A cup.") | {"usage": {"prompt_tokens": "many"}})
    assert (reply.text, reply.usage) == ("A cup.", Usage())


def response(output: Sequence[object], **fields: object) -> Body:
    return as_response("") | {"output": list(output)} | fields


def said(text: str, kind: str = "output_text", key: str = "text") -> Body:
    return {"type": "message", "content": [{"type": kind, key: text}]}


SUMMARY = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "In short."}]}
THOUGHT = {**SUMMARY, "content": [{"type": "reasoning_text", "text": "At length."}]}


def test_an_ordinary_response() -> None:
    body = as_response("It is a cup.", "fake-2026", words=5)
    body["usage"]["output_tokens_details"] = {"reasoning_tokens": 9}
    reply = answer(body, "responses")
    assert (reply.status, reply.text, reply.finish_reason) == ("ok", "It is a cup.", "completed")
    assert (reply.model, reply.usage) == ("fake-2026", Usage(5, 4, 9))


@pytest.mark.parametrize(
    ("item", "kind", "reasoning"), [(SUMMARY, "summary", "In short."), (THOUGHT, "full", "At length.")]
)
def test_reasoning_items_are_a_summary_unless_the_thought_itself_is_shown(
    item: Body, kind: str, reasoning: str
) -> None:
    reply = answer(response([item, said("A cup.")]), "responses")
    assert (reply.reasoning_kind, reply.reasoning, reply.text) == (kind, reasoning, "A cup.")


def test_a_reasoning_item_without_words_is_no_reasoning() -> None:
    reply = answer(response([{"type": "reasoning", "summary": []}, said("A cup.")]), "responses")
    assert (reply.reasoning_kind, reply.reasoning) == ("none", "")


@pytest.mark.parametrize(
    ("output", "reason", "status"),
    [
        ([said("words")], "max_output_tokens", "truncated"),
        ([said("words")], "content_filter", "refused"),
        ([said("I can't.", "refusal", "refusal")], None, "refused"),
        ([], None, "empty"),
        ([SUMMARY], None, "ok"),
    ],
)
def test_how_a_response_ended(output: list[Body], reason: str | None, status: str) -> None:
    fields: Body = {"status": "incomplete", "incomplete_details": {"reason": reason}} if reason else {}
    reply = answer(response(output, **fields), "responses")
    assert reply.status == status
    if status == "refused":
        assert reply.text in ("words", "I can't.")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", "transient"),
        ("rate_limit_exceeded", "rate_limited"),
        ("invalid_image", "bad_request"),
    ],
)
def test_a_failed_response_is_named_by_its_error(code: str, kind: FailureKind) -> None:
    error = {"code": code, "message": "the server's words"}
    failed = failure(response([], status="failed", error=error), "responses")
    assert failed.kind == kind
    assert "the server's words" in str(failed)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "completed"},
        {"status": "queued", "output": []},
        response(["text"]),
        response([{"type": "message", "content": "text"}]),
        response([{"type": "message", "content": [{"type": "output_text", "text": 7}]}]),
    ],
)
def test_a_response_body_of_another_shape_is_transient(body: Body) -> None:
    error = failure(body, "responses")
    assert error.kind == "transient"
    assert "unusable reply" in str(error)
