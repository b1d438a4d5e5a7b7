"""Calls by batch: gathered while a plan is walked, submitted together, read on the next walk.

A reply that is not there yet is an exception, `Queued`, which ends the way of one sample for this walk. So
judges that ask again, keys, caps and records work as they do for live calls.
"""

import json
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from rsbench.budget import CapReached, Spending, most, spent, used
from rsbench.models.base import Model, ProviderError, Request
from rsbench.models.batch_api import BatchApi, custom_id_of
from rsbench.models.cards import Prices
from rsbench.store import RunFolder
from rsbench.submissions import Entry, Means, Submissions, custom_id
from rsbench.types import Reply, UserError


class Queued(Exception):
    """The reply is not here yet: it will come with a batch."""


@dataclass
class _Chunk:
    """Requests that will be one batch, in a file."""

    token: str
    path: Path
    file: IO[bytes]
    keys: list[str] = field(default_factory=list)
    size: int = 0
    reserved: Spending = field(default_factory=Spending)


class BatchCalls:
    """One model's calls by batch, for one stage of a session. Prices are those of a call by batch."""

    def __init__(
        self, model: Model, api: BatchApi, prices: Prices | None, means: Means, judging: bool
    ) -> None:
        self.judging = judging  # for a judge, not for the model under test
        self.stopped = ""  # by which cap
        self._model = model
        self._api = api
        self._prices = prices
        self._means = means
        self._submissions: Submissions
        self._files = ExitStack()  # what is open, however the session ends
        self._chunks: list[_Chunk] = []
        self._entries: list[Entry] = []  # batches whose results are not all recorded
        self._held = Spending()  # what they may cost, until their results are counted
        self._results: dict[str, tuple[Path, int] | str] = {}  # file and offset, or why there is none
        self._queued: set[str] = set()
        self._counted: set[str] = set()
        self._told: set[str] = set()  # failures that have been raised: a second record says nothing new

    async def open(self, folder: RunFolder, who: str) -> None:
        """Go on where an earlier session was broken off: find its batches, await and index them."""
        self._submissions = Submissions(self._api, self._means, folder, who, self._model.identity())
        self._files.callback(self._submissions.close)
        for left in self._submissions.path.glob("*.requests"):
            left.unlink()  # of a session that was killed
        self._entries = await self._submissions.unfinished()
        for entry in self._entries:
            reserved = Spending.read(entry["reserved"])
            self._means.budget.hold(reserved, submitted=True)
            self._held += reserved
        await self._wait(self._entries)

    async def generate(self, request: Request) -> Reply:
        """The reply that a batch gave.

        Raises:
            Queued: there is none yet.
            ProviderError: there will be none in this session.
        """
        key = request.key
        if key in self._told or key in self._queued:
            raise Queued
        if key not in self._results:
            self._queue(request)
            raise Queued
        reserved = most(request, self._prices)
        try:
            reply = self._read(self._results[key])
        except ProviderError as error:
            self._told.add(key)
            self._count(key, reserved if error.maybe_billed else spent(1, 0, 0, self._prices))
            # Of one request: `fatal` would stop the run with the results of the others unread.
            kind = "bad_request" if error.kind == "fatal" else error.kind
            raise ProviderError(kind, str(error), maybe_billed=error.maybe_billed) from error
        self._count(key, used(reply.usage, reserved, self._prices))
        return replace(reply, model=reply.model or self._model.identity().get("model", ""))

    async def settle(self) -> bool:
        """Submit what was gathered and wait for it; False if there was nothing.

        Raises:
            UserError: the provider refused a batch, or can't be reached.
        """
        self._release()
        chunks, self._chunks = self._chunks, []
        made = []
        for chunk in chunks:
            chunk.file.close()
            self._held += chunk.reserved
            entry = await self._submissions.submit(chunk.path, chunk.token, chunk.keys, chunk.reserved)
            self._means.tally.calls += len(chunk.keys)
            chunk.path.unlink()
            made.append(entry)
        self._entries += made
        await self._wait(made)
        return bool(made)

    def finish(self) -> None:
        """All that the batches answered is recorded."""
        self._release()
        self._submissions.done(self._entries)

    def close(self) -> None:
        """Close the files; what was submitted and is not recorded stays listed for the next session."""
        self._files.close()

    def _queue(self, request: Request) -> None:
        if self.stopped:
            return
        reserved = most(request, self._prices)
        try:
            self._means.budget.hold(reserved)
        except CapReached as reached:
            self.stopped = str(reached)
            return
        limits, chunk = self._api.limits, self._chunks[-1] if self._chunks else self._new()
        line = self._api.line(custom_id(chunk.token, request.key), request)
        full = len(chunk.keys) >= limits.requests or chunk.size + len(line) > limits.bytes
        if chunk.keys and full:
            chunk = self._new()
            line = self._api.line(custom_id(chunk.token, request.key), request)
        try:
            chunk.file.write(line)
        except OSError as error:
            raise UserError(f"{chunk.path}: can't write ({error.strerror})") from error
        chunk.keys.append(request.key)
        chunk.size += len(line)
        chunk.reserved += reserved
        self._queued.add(request.key)

    def _new(self) -> _Chunk:
        token = secrets.token_hex(16)
        path = self._submissions.path / f"{token}.requests"
        try:
            path.parent.mkdir(exist_ok=True)
            file = self._files.enter_context(path.open("wb"))
        except OSError as error:
            raise UserError(f"{path}: can't write ({error.strerror})") from error
        self._chunks.append(_Chunk(token, path, file))
        return self._chunks[-1]

    async def _wait(self, entries: list[Entry]) -> None:
        for entry, path in await self._submissions.wait(entries):
            self._index(entry, path)

    def _index(self, entry: Entry, path: Path) -> None:
        """Note where each request's result lies. One without any has failed, whatever the reason."""
        keys = {custom_id(entry["key"], key): key for key in entry["requests"]}
        why, offset = "the batch has no result for this request", 0
        with path.open("rb") as lines:
            for line in lines:
                text = line.decode("utf-8", "replace")
                if key := keys.pop(custom_id_of(text) or "", None):
                    self._results[key] = (path, offset)
                elif text.startswith('{"failure"'):
                    why = f"the batch failed: {json.loads(text)['failure']}"
                offset += len(line)
        self._results |= dict.fromkeys(keys.values(), why)
        self._queued -= set(entry["requests"])

    def _read(self, found: tuple[Path, int] | str) -> Reply:
        if isinstance(found, str):
            raise ProviderError("transient", found)
        path, offset = found
        with path.open("rb") as file:
            file.seek(offset)
            return self._api.read(json.loads(file.readline()))

    def _count(self, key: str, spending: Spending) -> None:
        if key not in self._counted:
            self._counted.add(key)
            self._means.budget.count(spending)

    def _release(self) -> None:
        self._means.budget.release(self._held)
        self._held = Spending()
