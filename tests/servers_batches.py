"""The local server with both batch APIs: OpenAI's files and batches, Anthropic's message batches; for tests.

A batch ends after so many looks at it; its results come in the reverse order of its requests. What becomes of
single requests, of whole batches, and of the client when a batch is made, is the test's to say.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from aiohttp import web

from tests.servers import Body, Fault, Seen, default_reply
from tests.servers_anthropic import FakeAnthropic

Fate = Body | str | Fault | Literal["expired"]


@dataclass
class Batch:
    """One batch: its requests as (custom id, path, body), and how often it was looked at."""

    id: str
    kind: Literal["openai", "anthropic"]
    requests: list[tuple[str, str, Body]]
    metadata: Body
    created: datetime
    looks: int = 0
    failed: str = ""


@dataclass
class Script:
    """What is to happen. `looks`: how many show a batch at work before one shows it ended."""

    fate: Callable[[Seen], Fate] = default_reply
    looks: int = 2
    failed: str = ""  # words with which every batch fails as a whole
    drop: int = 0  # so many results are missing from the file
    # upload, create, made, look, results: before the answer. True for `create`: the request never arrived.
    event: Callable[[str], bool] = lambda name: False
    refuse: list[Fault] = field(default_factory=list)  # answers to the first creations, made or not
    after: bool = False  # whether what `refuse` answers was made all the same


class FakeBatches(FakeAnthropic):
    """`FakeAnthropic` with batch endpoints. `batches`: those made, in order."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__()
        self.script = script or Script()
        self.batches: list[Batch] = []
        self.files: dict[str, str] = {}

    @property
    def submitted(self) -> list[Seen]:
        """All requests of all batches, in the form in which tests look at requests."""
        made = list(self.batches)
        return [_seen(path, body) for batch in made for _, path, body in batch.requests]

    def routes(self) -> list[web.RouteDef]:
        """Those of both providers."""
        return [
            *super().routes(),
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batches", self._create_openai),
            web.get("/v1/batches", self._list_openai),
            web.get("/v1/batches/{id}", self._look_openai),
            web.post("/v1/messages/batches", self._create_anthropic),
            web.get("/v1/messages/batches", self._list_anthropic),
            web.get("/v1/messages/batches/{id}", self._look_anthropic),
            web.get("/v1/messages/batches/{id}/results", self._results_anthropic),
        ]

    async def _event(self, name: str) -> bool:
        return await asyncio.to_thread(self.script.event, name)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        await self._event("upload")
        file = form["file"]
        assert isinstance(file, web.FileField)
        name = f"file-{len(self.files)}"
        self.files[name] = file.file.read().decode()
        return web.json_response({"id": name, "object": "file", "purpose": "batch", "bytes": 1})

    async def _content(self, request: web.Request) -> web.Response:
        await self._event("results")
        kind, _, batch_id = request.match_info["id"].partition("-")
        batch = self._batch(batch_id)
        lines = [self._openai_line(*one) for one in reversed(batch.requests)][self.script.drop :]
        fine = [line for line in lines if line["response"] and line["response"]["status_code"] == 200]
        chosen = fine if kind == "output" else [line for line in lines if line not in fine]
        return web.Response(text="\n".join(map(json.dumps, chosen)))

    def _openai_line(self, custom_id: str, path: str, body: Body) -> Body:
        said = self.script.fate(_seen(path, body))
        line: Body = {"id": f"r-{custom_id}", "custom_id": custom_id, "response": None, "error": None}
        if said == "expired":
            words = "This request could not be executed before the completion window expired."
            return line | {"error": {"code": "batch_expired", "message": words}}
        if isinstance(said, Fault):
            return line | {"response": {"status_code": said.code, "request_id": "r", "body": said.body}}
        answer = self.body_of(said, _seen(path, body))
        return line | {"response": {"status_code": 200, "request_id": "r", "body": answer}}

    async def _create_openai(self, request: web.Request) -> web.Response:
        asked = await request.json()
        rows = map(json.loads, self.files[asked["input_file_id"]].splitlines())
        requests = [(row["custom_id"], row["url"], row["body"]) for row in rows]
        assert all(path == asked["endpoint"] for _, path, _ in requests)
        return await self._create(request, "openai", requests, asked.get("metadata") or {}, self._as_openai)

    async def _create(
        self,
        request: web.Request,
        kind: Literal["openai", "anthropic"],
        requests: list[tuple[str, str, Body]],
        metadata: Body,
        show: Callable[[Batch], Body],
    ) -> web.Response:
        if await self._event("create"):
            return web.Response(status=499)
        fault = self.script.refuse.pop(0) if self.script.refuse else None
        ids = [custom_id for custom_id, _, _ in requests]
        assert len(set(ids)) == len(ids) and all(1 <= len(one) <= 64 for one in ids)
        batch = Batch(f"batch_{len(self.batches)}", kind, requests, metadata, datetime.now(UTC))
        if fault is None or self.script.after:
            batch.failed = self.script.failed
            self.batches.append(batch)
            await self._event("made")
        if fault is None:
            return web.json_response(show(batch))
        if fault.kind == "reset" and request.transport is not None:
            request.transport.abort()
        return web.json_response(fault.body, status=fault.code)

    def _batch(self, batch_id: str) -> Batch:
        return next(batch for batch in self.batches if batch.id == batch_id)

    def _as_openai(self, batch: Batch) -> Body:
        ended = batch.looks > self.script.looks
        status = ("failed" if batch.failed else "completed") if ended else "in_progress"
        files = {"output_file_id": f"output-{batch.id}", "error_file_id": f"error-{batch.id}"}
        done = len(batch.requests) if ended else 0
        return {
            "id": batch.id,
            "object": "batch",
            "status": status,
            "created_at": int(batch.created.timestamp()),
            "metadata": batch.metadata,
            "request_counts": {"total": len(batch.requests), "completed": done, "failed": 0},
            "errors": {"data": [{"message": batch.failed}]} if batch.failed else None,
            **(files if status == "completed" else {}),
        }

    async def _look_openai(self, request: web.Request) -> web.Response:
        batch = self._batch(request.match_info["id"])
        await self._event("look")
        batch.looks += 1
        return web.json_response(self._as_openai(batch))

    async def _list_openai(self, request: web.Request) -> web.Response:
        rows = [self._as_openai(b) for b in reversed(self.batches) if b.kind == "openai"]
        return web.json_response(_page(rows, request.query.get("after")))

    async def _create_anthropic(self, request: web.Request) -> web.Response:
        asked = await request.json()
        requests = [(row["custom_id"], "/v1/messages", row["params"]) for row in asked["requests"]]
        return await self._create(request, "anthropic", requests, {}, self._as_anthropic)

    def _as_anthropic(self, batch: Batch) -> Body:
        ended, count = batch.looks > self.script.looks, len(batch.requests)
        counts = {"processing": 0 if ended else count, "succeeded": count if ended else 0}
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "created_at": batch.created.isoformat(),
            "request_counts": counts | {"errored": 0, "canceled": 0, "expired": 0},
            "results_url": "http://127.0.0.1:9/stolen" if ended else None,  # is never to be followed
        }

    async def _look_anthropic(self, request: web.Request) -> web.Response:
        batch = self._batch(request.match_info["id"])
        await self._event("look")
        batch.looks += 1
        return web.json_response(self._as_anthropic(batch))

    async def _list_anthropic(self, request: web.Request) -> web.Response:
        rows = [self._as_anthropic(b) for b in reversed(self.batches) if b.kind == "anthropic"]
        return web.json_response(_page(rows, request.query.get("after_id")))

    async def _results_anthropic(self, request: web.Request) -> web.Response:
        await self._event("results")
        batch = self._batch(request.match_info["id"])
        lines = [self._anthropic_line(*one) for one in reversed(batch.requests)][self.script.drop :]
        return web.Response(text="\n".join(map(json.dumps, lines)))

    def _anthropic_line(self, custom_id: str, path: str, body: Body) -> Body:
        said = self.script.fate(_seen(path, body))
        if said == "expired":
            result: Body = {"type": "expired"}
        elif isinstance(said, Fault):
            result = {"type": "errored", "error": said.body}
        else:
            result = {"type": "succeeded", "message": self.body_of(said, _seen(path, body))}
        return {"custom_id": custom_id, "result": result}


def _page(rows: list[Body], after: str | None) -> Body:
    """Two rows a page, so that clients have to turn pages."""
    first = next((n + 1 for n, row in enumerate(rows) if row["id"] == after), 0)
    return {"data": rows[first : first + 2], "has_more": first + 2 < len(rows)}


def _seen(path: str, body: Body) -> Seen:
    return Seen("", path, str(body.get("model")), body, 0, 0, {})
