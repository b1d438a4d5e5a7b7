"""Anthropic's message batches: the requests go into one call, the results come back as lines.

A batch keeps no mark of ours; one whose id was lost in a crash is known by the ids of its requests, which can
be read when it has ended.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic

from rsbench.models.anthropic_replies import read_failure, read_message
from rsbench.models.base import ProviderError, Request
from rsbench.models.batch_api import BatchLimits, BatchState, as_line, id_of, rows_of
from rsbench.models.http_calls import Endpoint
from rsbench.models.http_replies import json_object, text_of, words_of
from rsbench.types import Reply

PATH = "/v1/messages/batches"
UPLOAD_S = 900.0
_CLOCKS = timedelta(minutes=10)  # by which the server's clock may be behind ours
# What a request's error is worth, by the API's own names; the live call's HTTP status.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


class AnthropicBatches:
    """The message batches endpoint, on a model's client."""

    limits = BatchLimits(100_000, 256_000_000)
    marked = False

    def __init__(
        self,
        endpoint: Endpoint,
        client: anthropic.AsyncAnthropic,
        model_id: str,
        body: Callable[[Request], dict[str, Any]],
    ) -> None:
        self._endpoint = endpoint
        self._client = client
        self._model_id = model_id
        self._body = body

    def line(self, custom_id: str, request: Request) -> bytes:
        """One entry of `requests`."""
        return as_line({"custom_id": custom_id, "params": self._body(request)})

    async def submit(self, lines: Path, token: str) -> str:
        """One call with all requests in its body."""
        with lines.open("rb") as file:
            body = {"requests": [json.loads(line) for line in file]}
        made = json_object(await self._ask(self._client.post(PATH, cast_to=str, body=body), UPLOAD_S))
        return id_of(made)

    async def find(self, token: str, count: int, since: datetime, known: Collection[str]) -> list[str]:
        """Batches of as many requests, created since then; which is ours their results will tell."""
        found, after, earliest = [], "", since - _CLOCKS
        while True:
            path = f"{PATH}?limit=100{after and f'&after_id={after}'}"
            page = json_object(await self._ask(self._client.get(path, cast_to=str)))
            rows = rows_of(page)
            recent = [row for row in rows if _created(row) >= earliest]
            for row in recent:
                if _total(row) == count and id_of(row) not in known:
                    found.append(id_of(row))
            if not page.get("has_more") or not rows or len(recent) < len(rows):
                return found
            after = id_of(rows[-1])

    async def state(self, batch_id: str) -> BatchState:
        """Look at a batch."""
        path = f"{PATH}/{batch_id}"
        row = json_object(await self._ask(self._client.get(path, cast_to=str)))
        counts = _counts(row)
        done = sum(count for key, count in counts.items() if key != "processing")
        return BatchState(row.get("processing_status") == "ended", done)

    async def results(self, batch_id: str) -> str:
        """By the documented address, never by `results_url`: the key goes to no server it names."""
        call = self._client.get(f"{PATH}/{batch_id}/results", cast_to=str)
        return self._endpoint.without_own_key(str(await self._ask(call, UPLOAD_S)))

    def read(self, line: dict[str, Any]) -> Reply:
        """A result is `succeeded` with a message, `errored`, `expired` or `canceled`."""
        result = line.get("result")
        kind = result.get("type") if isinstance(result, dict) else None
        try:
            if isinstance(result, dict) and kind == "succeeded":
                return read_message(json.dumps(result.get("message")), self._model_id)
            if isinstance(result, dict) and kind == "errored":
                body = result.get("error")
                inner = body.get("error", body) if isinstance(body, dict) else body
                name = inner.get("type") if isinstance(inner, dict) else None
                refused = read_failure(_STATUS.get(str(name), 500), {}, {"error": inner})
                return replace(refused, error=self._endpoint.without_key(refused.error))
        except ProviderError as error:
            words = self._endpoint.without_key(str(error))
            raise ProviderError(error.kind, words, maybe_billed=kind == "succeeded") from None
        said = f"it is {kind}" if kind else f"unusable reply: {words_of(line)}"
        raise ProviderError("transient", f"the batch gave no answer to this request: {said}")

    async def _ask(self, call: Any, timeout_s: float | None = None) -> Any:
        return await self._endpoint.managed(anthropic, call, read_failure, timeout_s)


def _created(row: dict[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(text_of(row.get("created_at"), "created_at"))
    except ValueError as error:
        raise ProviderError("transient", f"unusable reply: created_at of a batch: {error}") from error


def _counts(row: dict[str, Any]) -> dict[str, int]:
    counts = row.get("request_counts")
    found = counts if isinstance(counts, dict) else {}
    return {key: count for key, count in found.items() if isinstance(count, int)}


def _total(row: dict[str, Any]) -> int:
    return sum(_counts(row).values())
