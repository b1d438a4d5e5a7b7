"""What an OpenAI-shaped server said, as a `Reply` or a typed failure: pure functions over its JSON.

Reads plain JSON and checks the types that it uses, because compatible servers add fields
(`reasoning_content`), leave others out, and put errors into a 200. What can't be read is never guessed.
"""

from collections.abc import Mapping
from dataclasses import replace
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
from rsbench.types import ReasoningKind, Reply, ReplyStatus, Token, Usage

_FILTERED = ("content_filter", "content_policy", "policy_violation", "moderation_blocked")
# 429 by name, but no waiting mends them.
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")
_CUT = ("length", "max_tokens", "max_output_tokens")


def read_chat(raw: str) -> Reply:
    """Reply of a chat completion.

    Raises:
        ProviderError: transient, if the body is not one.
    """
    body = json_object(raw)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        unusable("no choices", body)
    message = choices[0].get("message")
    if not isinstance(message, dict):
        unusable("a choice without a message", body)
    refusal = text_of(message.get("refusal"), "refusal")
    reasoning = text_of(message.get("reasoning_content"), "reasoning_content")
    reasoning = reasoning or text_of(message.get("reasoning"), "reasoning")
    finish = text_of(choices[0].get("finish_reason"), "finish_reason")
    if finish == "error":  # routers report an upstream failure in a 200
        unusable("finish_reason is error", body)
    text = text_of(message.get("content"), "content")
    reply = _reply(body, text, reasoning, "full", refusal, finish, _usage(body, "chat"))
    probabilities = choices[0].get("logprobs")
    tokens = probabilities.get("content") if isinstance(probabilities, dict) else None
    return replace(reply, tokens=_tokens(tokens))


def read_response(raw: str) -> Reply:
    """Reply of the responses API: message items are text, reasoning items reasoning.

    OpenAI shows summaries of the reasoning; servers of open models show the reasoning itself (`content`).

    Raises:
        ProviderError: the body is no response (transient), or says that it failed.
    """
    body = json_object(raw)
    if body.get("status") == "failed":
        return _failed(body)
    output = body.get("output")
    if body.get("status") not in ("completed", "incomplete") or not isinstance(output, list):
        unusable(f"status {body.get('status')!r}, or no list of output", body)
    texts, refusals, full, summary = [], [], [], []
    tokens: list[Any] = []
    for item in output:
        if not isinstance(item, dict):
            unusable("an output item that is no object", body)
        if item.get("type") == "message":
            texts += parts_of(item.get("content"), "output_text", "text")
            refusals += parts_of(item.get("content"), "refusal", "refusal")
            tokens += [t for part in item.get("content") or [] for t in part.get("logprobs") or []]
        if item.get("type") == "reasoning":
            full += parts_of(item.get("content"), "reasoning_text", "text")
            summary += parts_of(item.get("summary"), "summary_text", "text")
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    finish = text_of(reason, "incomplete_details.reason") or str(body["status"])
    kind: ReasoningKind = "full" if full else "summary"
    text, reasoning, refusal = "\n\n".join(texts), "\n\n".join(full or summary), "\n\n".join(refusals)
    reply = _reply(body, text, reasoning, kind, refusal, finish, _usage(body, "responses"))
    return replace(reply, tokens=_tokens(tokens))


def read_failure(status: int, headers: Mapping[str, str], error: object) -> Reply:
    """A reply of status `refused` if the provider's filter stopped the call.

    Args:
        status: HTTP status, not 2xx.
        headers: Read without regard to case.
        error: The error object of the body; its text, if it is no JSON.

    Raises:
        ProviderError: everything else, by the table in its documentation.
    """
    words, codes = words_of(error), _codes(error)
    if status in (400, 403) and _is_filtered(error, codes, words):
        return Reply("refused", finish_reason="content_filter", error=words)
    message = f"HTTP {status}: {words}"
    if status == 404:
        message += " (is the name of the model right? does the base URL end where /chat/completions begins?)"
    spent = any(code in codes for code in _SPENT)
    raise ProviderError("fatal" if spent else failure_kind(status), message, retry_after_s(headers))


def _is_filtered(error: object, codes: str, words: str) -> bool:
    if any(name in codes for name in _FILTERED):
        return True
    if "invalid_prompt" in codes and "policy" in words:  # OpenAI's reasoning models
        return True
    metadata = error.get("metadata") if isinstance(error, Mapping) else None
    return isinstance(metadata, Mapping) and "flagged_input" in metadata  # OpenRouter, as 403


def _failed(body: dict[str, Any]) -> Reply:
    """A response of status `failed`: a 200 whose error object says what an HTTP status would have said."""
    codes = _codes(body.get("error"))
    status = 500
    if "rate_limit" in codes:
        status = 429
    elif "invalid" in codes or "image" in codes or "policy" in codes:
        status = 400
    return read_failure(status, {}, body.get("error"))


def _reply(
    body: dict[str, Any],
    text: str,
    reasoning: str,
    kind: ReasoningKind,
    refusal: str,
    finish: str,
    usage: Usage,
) -> Reply:
    status: ReplyStatus = "ok"
    if finish == "content_filter" or refusal.strip():
        status, text = "refused", text or refusal
    elif finish in _CUT:
        status = "truncated"
    elif not text.strip() and not reasoning.strip():
        status = "empty"
    shown: ReasoningKind = kind if reasoning.strip() else "none"
    model = text_of(body.get("model"), "model")
    return Reply(status, text, reasoning, shown, finish_reason=finish, model=model, usage=usage)


def _tokens(found: object) -> tuple[Token, ...]:
    """The tokens of a reply with their alternatives, as both APIs give them.

    None if they have another form: the reply is paid for, and good without them.
    """
    try:
        return tuple(
            Token(_token_text(one), tuple((_token_text(t), float(t["logprob"])) for t in one["top_logprobs"]))
            for one in (found if isinstance(found, list) else [])
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()


def _token_text(token: dict[str, Any]) -> str:
    """A token may end within a character: bytes that are no text stay as they are (surrogateescape)."""
    if token.get("bytes") is None:
        return str(token["token"])
    return bytes(token["bytes"]).decode("utf-8", "surrogateescape")


def _usage(body: dict[str, Any], api: str) -> Usage:
    read, written = ("prompt", "completion") if api == "chat" else ("input", "output")
    usage = body.get("usage")
    details = usage.get(f"{written}_tokens_details") if isinstance(usage, dict) else None
    counts = count_of(usage, f"{read}_tokens"), count_of(usage, f"{written}_tokens")
    return Usage(*counts, count_of(details, "reasoning_tokens"))


def _codes(error: object) -> str:
    """Code and type of an error, joined; Azure puts a finer code inside `innererror`."""
    if not isinstance(error, Mapping):
        return ""
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, Mapping) else ""
    return f"{error.get('code')} {error.get('type')} {inner_code}".lower()
