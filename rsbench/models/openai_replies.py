"""What an OpenAI-shaped server said, as a `Reply` or a typed failure: pure functions over its JSON.

Reads plain JSON and checks the types that it uses, because compatible servers add fields
(`reasoning_content`), leave others out, and put errors into a 200. What can't be read is never guessed.
"""

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Never

from rsbench.models.base import FailureKind, ProviderError
from rsbench.types import ReasoningKind, Reply, ReplyStatus, Usage

_MAX_WORDS = 500  # of a provider's error; some answer with a whole web page
_FILTERED = ("content_filter", "content_policy", "policy_violation", "moderation_blocked")
# 429 by name, but no waiting mends them.
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")
_CUT = ("length", "max_tokens", "max_output_tokens")


def read_chat(raw: str) -> Reply:
    """Reply of a chat completion.

    Raises:
        ProviderError: transient, if the body is not one.
    """
    body = _object(raw)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        _unusable("no choices", body)
    message = choices[0].get("message")
    if not isinstance(message, dict):
        _unusable("a choice without a message", body)
    refusal = _text(message.get("refusal"), "refusal")
    reasoning = _text(message.get("reasoning_content"), "reasoning_content")
    reasoning = reasoning or _text(message.get("reasoning"), "reasoning")
    finish = _text(choices[0].get("finish_reason"), "finish_reason")
    if finish == "error":  # routers report an upstream failure in a 200
        _unusable("finish_reason is error", body)
    text = _text(message.get("content"), "content")
    return _reply(body, text, reasoning, "full", refusal, finish, _usage(body, "chat"))


def read_response(raw: str) -> Reply:
    """Reply of the responses API: message items are text, reasoning items reasoning.

    OpenAI shows summaries of the reasoning; servers of open models show the reasoning itself (`content`).

    Raises:
        ProviderError: the body is no response (transient), or says that it failed.
    """
    body = _object(raw)
    if body.get("status") == "failed":
        return _failed(body)
    output = body.get("output")
    if body.get("status") not in ("completed", "incomplete") or not isinstance(output, list):
        _unusable(f"status {body.get('status')!r}, or no list of output", body)
    texts, refusals, full, summary = [], [], [], []
    for item in output:
        if not isinstance(item, dict):
            _unusable("an output item that is no object", body)
        if item.get("type") == "message":
            texts += _parts(item.get("content"), "output_text", "text")
            refusals += _parts(item.get("content"), "refusal", "refusal")
        if item.get("type") == "reasoning":
            full += _parts(item.get("content"), "reasoning_text", "text")
            summary += _parts(item.get("summary"), "summary_text", "text")
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    finish = _text(reason, "incomplete_details.reason") or str(body["status"])
    kind: ReasoningKind = "full" if full else "summary"
    text, reasoning, refusal = "\n\n".join(texts), "\n\n".join(full or summary), "\n\n".join(refusals)
    return _reply(body, text, reasoning, kind, refusal, finish, _usage(body, "responses"))


def read_failure(status: int, headers: Mapping[str, str], error: object) -> Reply:
    """A reply of status `refused` if the provider's filter stopped the call.

    Args:
        status: HTTP status, not 2xx.
        headers: Read without regard to case.
        error: The error object of the body; its text, if it is no JSON.

    Raises:
        ProviderError: everything else, by the table in its documentation.
    """
    words, codes = _words(error), _codes(error)
    if status in (400, 403) and _is_filtered(error, codes, words):
        return Reply("refused", finish_reason="content_filter", error=words)
    message = f"HTTP {status}: {words}"
    if status == 404:
        message += " (is the name of the model right? does the base URL end where /chat/completions begins?)"
    raise ProviderError(_kind(status, codes), message, retry_after_s(headers))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asks to wait; None if it doesn't say, or says it unreadably.

    From `retry-after-ms`, else `Retry-After` in seconds or as an HTTP date. A date counts from the server's
    own `Date`, where sent, so that a wrong clock here doesn't matter.
    """
    lower = {key.lower(): value for key, value in headers.items()}
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(lower.get(name, "")) * scale
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        until = parsedate_to_datetime(lower.get("retry-after", "")).timestamp()
        now = parsedate_to_datetime(lower["date"]).timestamp() if "date" in lower else time.time()
    except (ValueError, OverflowError):
        return None
    return max(0.0, until - now)


def _kind(status: int, codes: str) -> FailureKind:
    if status in (401, 402, 403, 404) or any(code in codes for code in _SPENT):
        return "fatal"
    if status == 429:
        return "rate_limited"
    return "transient" if status in (408, 409) or status >= 500 else "bad_request"


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
    model = _text(body.get("model"), "model")
    return Reply(status, text, reasoning, shown, finish_reason=finish, model=model, usage=usage)


def _object(raw: str) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        found = "an empty body" if not raw.strip() else f"{raw[:80]!r}"
        raise ProviderError("transient", f"unusable reply: not JSON ({error}): {found}") from error
    if not isinstance(body, dict):
        raise ProviderError("transient", f"unusable reply: JSON, but no object: {raw[:80]!r}")
    return body


def _text(value: object, key: str) -> str:
    """A string field; absent is "". Some servers give text as a list of parts."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(_parts(value, "text", "text"))
    if not isinstance(value, str):
        raise ProviderError("transient", f"unusable reply: {key} is a {type(value).__name__}, not text")
    # Half of a surrogate pair is legal in JSON and can't be written as UTF-8: it would end the run.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _parts(value: object, kind: str, key: str) -> list[str]:
    """The texts of the parts of one type."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise ProviderError("transient", f"unusable reply: {kind} parts are not a list of objects")
    return [_text(part.get(key), f"{kind}.{key}") for part in value if part.get("type") == kind]


def _usage(body: dict[str, Any], api: str) -> Usage:
    """Token counts; what is missing or no number is None, since a reply is worth keeping without them."""
    read, written = ("prompt", "completion") if api == "chat" else ("input", "output")
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get(f"{written}_tokens_details")
    thought = details.get("reasoning_tokens") if isinstance(details, dict) else None
    counts = (usage.get(f"{read}_tokens"), usage.get(f"{written}_tokens"), thought)
    return Usage(*(n if isinstance(n, int) else None for n in counts))


def _unusable(what: str, body: dict[str, Any]) -> Never:
    error = body.get("error")
    said = f" ({_words(error)})" if error else ""
    raise ProviderError("transient", f"unusable reply: {what}{said}")


def _words(error: object) -> str:
    """The provider's own words."""
    words: object = error
    if isinstance(error, Mapping):
        words = error.get("message") or error.get("detail") or error
    text = words if isinstance(words, str) else json.dumps(words, default=str)
    return text.strip()[:_MAX_WORDS] or "(no words)"


def _codes(error: object) -> str:
    """Code and type of an error, joined; Azure puts a finer code inside `innererror`."""
    if not isinstance(error, Mapping):
        return ""
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, Mapping) else ""
    return f"{error.get('code')} {error.get('type')} {inner_code}".lower()
