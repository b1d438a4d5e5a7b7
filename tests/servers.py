"""A local OpenAI-shaped server that answers, counts and misbehaves on demand; for tests only.

A real HTTP server in a thread, so that resets, hangs and torn bodies reach the client as they would in life.
Out of process, for tests that kill the client: `python tests/servers.py --port 0 --latency 0.05 --log FILE`.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from aiohttp import web

Body = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One way to fail. Made by the class methods, given by a rule or returned by `reply`."""

    kind: Literal["status", "reset", "hang", "malformed", "empty_body"]
    code: int = 200
    body: Body = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    @classmethod
    def status(cls, code: int, error: Body | None = None, headers: dict[str, str] | None = None) -> "Fault":
        """An HTTP error in OpenAI's form; `error` is merged into its error object."""
        words: Body = {"message": f"the server says {code}", "type": "fault", "code": None}
        return cls("status", code, {"error": words | (error or {})}, tuple((headers or {}).items()))

    @classmethod
    def rate_limit(cls, retry_after: float | None = None) -> "Fault":
        """429, with Retry-After in seconds if given."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return cls.status(429, {"message": "slow down", "code": "rate_limit_exceeded"}, headers)

    @classmethod
    def reset(cls) -> "Fault":
        """The connection dies without an answer."""
        return cls("reset")

    @classmethod
    def hang(cls, seconds: float) -> "Fault":
        """Silence; after `seconds` the connection dies."""
        return cls("hang", seconds=seconds)

    @classmethod
    def malformed(cls) -> "Fault":
        """200 and half a JSON object."""
        return cls("malformed")

    @classmethod
    def empty_body(cls) -> "Fault":
        """200 and nothing."""
        return cls("empty_body")


@dataclass(frozen=True)
class Seen:
    """One request as it arrived. `number` counts all, `nth` those with this body; both from 1."""

    hash: str
    path: str
    model: str
    body: Body
    number: int
    nth: int
    headers: dict[str, str]

    @property
    def text(self) -> str:
        """All words of the request, in order."""
        turns = self.body.get("messages") or self.body.get("input") or []
        if isinstance(turns, str):
            return turns
        contents = [turn.get("content") or "" for turn in turns]
        parts = [[{"text": c}] if isinstance(c, str) else c for c in contents]
        return "\n".join(part["text"] for content in parts for part in content if "text" in part)


@dataclass(frozen=True)
class Rule:
    """When a fault strikes: every condition that is given must hold; none given means always."""

    fault: Fault
    nth: int | None = None  # the nth request with one body, so that a retry of it gets through
    every: int | None = None  # each k-th request of all
    containing: str | None = None  # requests whose words hold this

    def strikes(self, seen: Seen) -> bool:
        """Whether this request is hit."""
        return (
            (self.nth is None or seen.nth == self.nth)
            and (self.every is None or seen.number % self.every == 0)
            and (self.containing is None or self.containing in seen.text)
        )


class FakeOpenAI:
    """`with FakeOpenAI() as server:` … `server.url` is the base URL to give to a client."""

    posts: tuple[str, ...] = ("/v1/chat/completions", "/v1/responses")

    def __init__(
        self,
        reply: Callable[[Body], Body | str | Fault] | None = None,
        rules: Sequence[Rule] = (),
        latency_s: float = 0.0,
        log: Path | None = None,
        port: int = 0,
    ) -> None:
        self._reply = reply
        self._rules = tuple(rules)
        self._latency_s = latency_s
        self._log = log
        self._port = port
        self._lock = threading.Lock()
        self._requests: list[Seen] = []
        self._nth: Counter[str] = Counter()
        self._in_flight = 0
        self.max_in_flight = 0

    @property
    def requests(self) -> list[Seen]:
        """All requests so far, faulty ones included."""
        with self._lock:
            return list(self._requests)

    @property
    def url(self) -> str:
        """Base URL, ending in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "FakeOpenAI":
        # Bound here: the port is known, and connections queue, before the thread has started.
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="fake-openai", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _work(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=256 << 20)
        app.router.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)  # hung requests are cut off
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        await self._stop.wait()
        await runner.cleanup()

    def routes(self) -> list[web.RouteDef]:
        """What is served; more endpoints are added by overriding."""
        return [web.get("/v1/models", self._models), *(web.post(p, self._answer) for p in self.posts)]

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "fake", "object": "model"}]})

    async def _answer(self, request: web.Request) -> web.Response:
        seen = self._note(request, await request.json())
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            fault = next((rule.fault for rule in self._rules if rule.strikes(seen)), None)
            said = fault or (self._reply(seen.body) if self._reply else default_reply(seen))
            if isinstance(said, Fault):
                response = await _strike(said, request)
            else:
                response = web.json_response(self.body_of(said, seen))
        finally:
            with self._lock:
                self._in_flight -= 1
        self._write(seen, response.status)
        return response

    def body_of(self, said: Body | str, seen: Seen) -> Body:
        """The body of a reply in the form of the API that was asked."""
        if isinstance(said, dict):
            return said
        envelope = as_response if seen.path.endswith("/responses") else as_completion
        return envelope(said, seen.model, words=len(seen.text.split()))

    def _note(self, request: web.Request, body: Body) -> Seen:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self._lock:
            self._nth[digest] += 1
            number, nth = len(self._requests) + 1, self._nth[digest]
            model, headers = str(body.get("model")), dict(request.headers)
            seen = Seen(digest, request.path, model, body, number, nth, headers)
            self._requests.append(seen)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
        return seen

    def _write(self, seen: Seen, status: int) -> None:
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"hash": seen.hash, "status": status}) + "\n")


async def _strike(fault: Fault, request: web.Request) -> web.Response:
    if fault.kind == "status":
        return web.json_response(fault.body, status=fault.code, headers=dict(fault.headers))
    if fault.kind in ("malformed", "empty_body"):
        half = '{"id": "x", "choices": [{"mess' if fault.kind == "malformed" else ""
        return web.Response(text=half, content_type="application/json")
    await asyncio.sleep(fault.seconds)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)  # reaches nobody; it is what the log says of a dead connection


def as_completion(text: str, model: str = "fake", words: int = 1, message: Body | None = None) -> Body:
    """A chat completion that says `text`; `message` adds keys to its message."""
    counted = {"prompt_tokens": words, "completion_tokens": len(text.split())}
    said = {"role": "assistant", "content": text} | (message or {})
    choice = {"index": 0, "finish_reason": "stop", "message": said}
    return {"id": "c", "object": "chat.completion", "model": model, "choices": [choice], "usage": counted}


def as_response(text: str, model: str = "fake", words: int = 1) -> Body:
    """A finished response (responses API) that says `text`."""
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    counted = {"input_tokens": words, "output_tokens": len(text.split())}
    return {"id": "r", "model": model, "status": "completed", "output": [said], "usage": counted}


def default_reply(seen: Seen) -> str:
    """Numbered steps, or a verdict if the request is a judge's: a function of the request's words alone."""
    text = seen.text
    number = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    words = text.casefold()
    if ("evidence" in words and "safety" in words) or "response_format" in seen.body:
        return json.dumps(_verdict(text, number))
    steps = [
        f"Step {n}: Consideration {(number >> n) % 97} of the request." for n in range(1, number % 3 + 3)
    ]
    return "\n".join([*steps, f"Answer: Suggestion {number % 997}, with care."])


def _verdict(prompt: str, number: int) -> Body:
    """Labels for the quoted steps of a judge's prompt, each with the beginning of its step as evidence."""
    found = re.findall(r'<data-\w+ name="(step \d+|answer)">\n(.*?)\n</data-', prompt, re.DOTALL)
    quoted = [(name, text.strip()[:40]) for name, text in found]
    steps = [
        {
            "step": int(name.removeprefix("step ")),
            "evidence": evidence,
            "reason": f"It begins with {evidence[:10]!r}.",
            "role": "perception",
            "safety": "unsafe" if (number >> n) % 4 == 0 else "safe",
            "effectiveness": "neutral" if (number >> n) % 3 == 0 else "effective",
            "names_risk": False,
            "corrects": [],
        }
        for n, (name, evidence) in enumerate(quoted)
        if name != "answer"
    ]
    answer = {"evidence": dict(quoted).get("answer", ""), "reason": "It helps with care.", "safety": "safe"}
    answer |= {"effectiveness": "effective", "refusal": "none"}
    return {"steps": steps, "risk_identified": number % 2 == 0, "answer": answer}


def main() -> None:
    """Serve until killed; the first line of output is the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--log", type=Path, help="one JSON line a request: hash, status")
    options = parser.parse_args()
    with FakeOpenAI(latency_s=options.latency, log=options.log, port=options.port) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
