"""What HTTP providers' answers have in common: JSON that is checked before use, failures by status, waits.

Pure functions; each provider's own form of an answer is read in its `*_replies` module. What can't be read is
never guessed: it is a transient failure with the reason.
"""

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Never

from rsbench.models.base import FailureKind, ProviderError

_MAX_WORDS = 500  # of a provider's error; some answer with a whole web page


def json_object(raw: str) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        ProviderError: transient, if the body is not one.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        found = "an empty body" if not raw.strip() else f"{raw[:80]!r}"
        raise ProviderError("transient", f"unusable reply: not JSON ({error}): {found}") from error
    if not isinstance(body, dict):
        raise ProviderError("transient", f"unusable reply: JSON, but no object: {raw[:80]!r}")
    return body


def text_of(value: object, key: str) -> str:
    """A string field; absent is "". Some servers give text as a list of parts.

    Raises:
        ProviderError: transient, if it is anything else.
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(parts_of(value, "text", "text"))
    if not isinstance(value, str):
        raise ProviderError("transient", f"unusable reply: {key} is a {type(value).__name__}, not text")
    # Half of a surrogate pair is legal in JSON and can't be written as UTF-8: it would end the run.
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def parts_of(value: object, kind: str, key: str) -> list[str]:
    """The texts, under `key`, of the parts of type `kind` in a list of parts; absent is no part.

    Raises:
        ProviderError: transient, if it is no list of objects.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise ProviderError("transient", f"unusable reply: {kind} parts are not a list of objects")
    return [text_of(part.get(key), f"{kind}.{key}") for part in value if part.get("type") == kind]


def count_of(counts: object, key: str) -> int | None:
    """A token count; None where it is missing or no number, since a reply is worth keeping without it."""
    count = counts.get(key) if isinstance(counts, Mapping) else None
    return count if isinstance(count, int) else None


def unusable(what: str, body: dict[str, Any]) -> Never:
    """Raise the transient failure that `what` is wrong with a body, with the server's words if it has any."""
    error = body.get("error")
    said = f" ({words_of(error)})" if error else ""
    raise ProviderError("transient", f"unusable reply: {what}{said}")


def words_of(error: object) -> str:
    """The provider's own words."""
    words: object = error
    if isinstance(error, Mapping):
        words = error.get("message") or error.get("detail") or error
    text = words if isinstance(words, str) else json.dumps(words, default=str)
    return text.strip()[:_MAX_WORDS] or "(no words)"


def failure_kind(status: int) -> FailureKind:
    """What an HTTP status that is not 2xx means for the next attempt; 529 is Anthropic's "overloaded"."""
    if status in (401, 402, 403, 404):
        return "fatal"
    if status == 429:
        return "rate_limited"
    return "transient" if status in (408, 409) or status >= 500 else "bad_request"


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
