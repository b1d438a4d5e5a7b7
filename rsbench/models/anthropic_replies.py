"""What the Messages API said, as a `Reply` or a typed failure: pure functions over its JSON."""

import json
from collections.abc import Mapping
from typing import Any

from rsbench.models.base import ProviderError
from rsbench.models.http_replies import (
    count_of,
    failure_kind,
    json_object,
    parts_of,
    retry_after_s,
    text_of,
    unusable,
    words_of,
)
from rsbench.types import ReasoningKind, Reply, ReplyStatus, Usage

# `pause_turn` asks to be called again; what came so far is not the whole reply.
_CUT = ("max_tokens", "model_context_window_exceeded", "pause_turn")
_FILTERED = "content filtering policy"  # the words of a 400: this failure has no code of its own
_SPENT = ("credit balance is too low", "api usage limits")  # 400 likewise; waiting does not mend it
_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def read_message(raw: str, model_id: str) -> Reply:
    """Reply of one message: text blocks are its text, thinking blocks its reasoning.

    A forced tool call stands for text: its input, as JSON.

    Args:
        raw: The body.
        model_id: The model asked for: it says whether thinking is shown in full.

    Raises:
        ProviderError: transient, if the body is no message.
    """
    body = json_object(raw)
    blocks, stop = body.get("content"), text_of(body.get("stop_reason"), "stop_reason")
    if body.get("type") == "error" or not isinstance(blocks, list):
        unusable("no list of content", body)
    thoughts = [text for text in parts_of(blocks, "thinking", "thinking") if text.strip()]
    redacted = any(block.get("type") == "redacted_thinking" for block in blocks)
    inputs = [block.get("input") for block in blocks if block.get("type") == "tool_use"]
    text = "".join(parts_of(blocks, "text", "text"))
    if inputs:
        text = text_of(json.dumps(inputs[-1], ensure_ascii=False), "tool_use.input")
    return Reply(
        _status(stop, text, thoughts),
        text,
        "\n\n".join(thoughts),
        _kind(model_id, thoughts, redacted),
        finish_reason=stop,
        model=text_of(body.get("model"), "model"),
        usage=_usage(body.get("usage")),
        error=_why(body.get("stop_details")),
    )


def read_failure(status: int, headers: Mapping[str, str], body: object) -> Reply:
    """A reply of status `refused` if the provider's filter stopped the call.

    Args:
        status: HTTP status, not 2xx.
        headers: Read without regard to case.
        body: `{"type": "error", "error": {…}}`; its text, if it is no JSON.

    Raises:
        ProviderError: everything else, by the table in its documentation.
    """
    words = words_of(body.get("error") if isinstance(body, Mapping) else body)
    if status == 400 and _FILTERED in words.lower():
        return Reply("refused", finish_reason="content_filter", error=words)
    message = f"HTTP {status}: {words}"
    if status == 404:
        message += " (is the name of the model right? does the base URL end where /v1/messages begins?)"
    spent = any(phrase in words.lower() for phrase in _SPENT)
    raise ProviderError("fatal" if spent else failure_kind(status), message, retry_after_s(headers))


def _status(stop: str, text: str, thoughts: list[str]) -> ReplyStatus:
    if stop == "refusal":
        return "refused"
    if stop in _CUT:
        return "truncated"
    return "ok" if text.strip() or thoughts else "empty"


def _kind(model_id: str, thoughts: list[str], redacted: bool) -> ReasoningKind:
    """Since Claude 4 the API shows a summary of the thinking; Claude 3.7 showed it whole, redactions apart.

    A compatible server shows an open model's own words.
    """
    if not thoughts:
        return "none"
    name = model_id.lower().rsplit("/", 1)[-1]
    summarised = "claude" in name and "claude-3-7" not in name
    return "summary" if summarised or redacted else "full"


def _usage(usage: object) -> Usage:
    details = usage.get("output_tokens_details") if isinstance(usage, dict) else None
    read = [count for key in _INPUT if (count := count_of(usage, key)) is not None]
    written, thought = count_of(usage, "output_tokens"), count_of(details, "thinking_tokens")
    return Usage(sum(read) if read else None, written, thought)


def _why(details: Any) -> str:
    """Why a refusal was one: category and explanation, where given."""
    if not isinstance(details, dict):
        return ""
    said = [details.get(key) for key in ("category", "explanation")]
    return ": ".join(text_of(words, "stop_details") for words in said if words)
