"""OpenAI's batch API: a file of requests is uploaded, a batch made of it, two files of results come back.

The batch carries our token in its metadata, so that one whose id was lost in a crash is found again.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openai

from rsbench.models.base import ProviderError, Request
from rsbench.models.batch_api import BatchLimits, BatchState, as_line, id_of, rows_of
from rsbench.models.http_calls import Endpoint
from rsbench.models.http_replies import json_object, text_of, words_of
from rsbench.models.openai_replies import read_chat, read_failure, read_response
from rsbench.types import Reply

MARK = "rsbench"  # key of the token in a batch's metadata
UPLOAD_S = 900.0  # 200 MB over a slow line
_ENDED = ("completed", "failed", "expired", "cancelled")
_CLOCKS = timedelta(hours=1)  # by which the server's clock may be behind ours


class OpenAIBatches:
    """The files and batches endpoints, on a model's client."""

    limits = BatchLimits(50_000, 200_000_000)
    marked = True

    def __init__(
        self,
        endpoint: Endpoint,
        client: openai.AsyncOpenAI,
        api: str,
        body: Callable[[Request], dict[str, Any]],
    ) -> None:
        self._endpoint = endpoint
        self._client = client
        self._chat = api == "chat"
        self._path = "/v1/chat/completions" if self._chat else "/v1/responses"
        self._body = body

    def line(self, custom_id: str, request: Request) -> bytes:
        """One request of the input file."""
        head = {"custom_id": custom_id, "method": "POST", "url": self._path}
        return as_line({**head, "body": self._body(request)})

    async def submit(self, lines: Path, token: str) -> str:
        """Upload, then create; a file whose batch was never created is left to expire."""
        with lines.open("rb") as file:
            given = (f"rsbench-{token}.jsonl", file, "application/jsonl")
            uploaded = await self._ask(self._client.files.create(file=given, purpose="batch"), UPLOAD_S)
        body = {
            "input_file_id": uploaded.id,
            "endpoint": self._path,
            "completion_window": "24h",
            "metadata": {MARK: token},
        }
        made = json_object(await self._ask(self._client.post("/batches", cast_to=str, body=body)))
        return id_of(made)

    async def find(self, token: str, count: int, since: datetime, known: Collection[str]) -> list[str]:
        """By the token in the metadata, the newest batches first."""
        after = ""
        while True:
            path = f"/batches?limit=100{after and f'&after={after}'}"
            page = json_object(await self._ask(self._client.get(path, cast_to=str)))
            rows = rows_of(page)
            for row in rows:
                metadata = row.get("metadata")
                if isinstance(metadata, dict) and metadata.get(MARK) == token:
                    return [id_of(row)]
            oldest = rows[-1].get("created_at") if rows else None
            too_old = isinstance(oldest, int) and oldest < (since - _CLOCKS).timestamp()
            if not page.get("has_more") or not rows or too_old:
                return []
            after = id_of(rows[-1])

    async def state(self, batch_id: str) -> BatchState:
        """Look at a batch; `failed` is said of one whose input file was refused as a whole."""
        row = await self._batch(batch_id)
        status, counts = row.get("status"), row.get("request_counts")
        done = sum(_count(counts, key) for key in ("completed", "failed"))
        errors = row.get("errors")
        words = ""
        if status == "failed":
            listed = errors.get("data") if isinstance(errors, dict) else None
            words = "; ".join(words_of(one) for one in (listed or [])[:3]) or "the batch failed"
        return BatchState(status in _ENDED, done, self._endpoint.without_key(words))

    async def results(self, batch_id: str) -> str:
        """Both files: what was answered, and what failed or expired."""
        row, texts = await self._batch(batch_id), []
        for key in ("output_file_id", "error_file_id"):
            if file_id := text_of(row.get(key), key):
                call = self._client.get(f"/files/{file_id}/content", cast_to=str)
                texts.append(await self._ask(call, UPLOAD_S))
        return self._endpoint.without_own_key("\n".join(texts))

    def read(self, line: dict[str, Any]) -> Reply:
        """A result is an HTTP answer, or an error of the batch itself (such as `batch_expired`)."""
        response = line.get("response")
        if not isinstance(response, dict):
            raise ProviderError("transient", f"the batch gave no answer: {_words(line.get('error'))}")
        status, body = response.get("status_code"), response.get("body")
        try:
            if status == 200:
                raw = json.dumps(body)
                return read_chat(raw) if self._chat else read_response(raw)
            error = body.get("error", body) if isinstance(body, dict) else body
            refused = read_failure(status if isinstance(status, int) else 500, {}, error)
            return replace(refused, error=self._endpoint.without_key(refused.error))
        except ProviderError as error:
            words = self._endpoint.without_key(str(error))
            raise ProviderError(error.kind, words, maybe_billed=status == 200) from None

    async def _batch(self, batch_id: str) -> dict[str, Any]:
        return json_object(await self._ask(self._client.get(f"/batches/{batch_id}", cast_to=str)))

    async def _ask(self, call: Any, timeout_s: float | None = None) -> Any:
        return await self._endpoint.managed(openai, call, read_failure, timeout_s)


def _count(counts: object, key: str) -> int:
    found = counts.get(key) if isinstance(counts, dict) else None
    return found if isinstance(found, int) else 0


def _words(error: object) -> str:
    code = error.get("code") if isinstance(error, dict) else None
    return f"{code}: {words_of(error)}" if code else words_of(error)
