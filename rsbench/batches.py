"""Calls by batch: gathered while a plan is walked, submitted together, read on the next walk.

A reply that is not there yet is an exception, `Queued`, which ends the way of one sample for this walk. So
judges that ask again, keys, caps and records work as they do for live calls.

A result may be read long before the record that it goes into is written: a verdict takes several calls. When
a session ends in between, the batch stays open, and its entry in the list of batches notes what the next
session may read without paying (`counted`: what it cost, and for which record) and what is not to be read
again (`over`: it stands in a record, or was a failure that is to be asked for anew).
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
from rsbench.spending import batches_of
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
        self._where: dict[str, str] = {}  # token of the batch that each result is of
        self._reserved: dict[str, Spending] = {}  # for what was read and counted in this session
        self._said: dict[str, dict[str, Spending]] = {}  # replies read, by the record that they go into
        self._noted: dict[str, Spending] = {}  # replies that an earlier session read and paid for
        self._booked: dict[str, set[str]] = {}  # batches in records, also of a session that was killed
        self._finished = False
        self._told: set[str] = set()  # failures that have been raised: a second record says nothing new

    async def open(self, folder: RunFolder, who: str) -> None:
        """Go on where an earlier session was broken off: find its batches, await and index them."""
        self._folder = folder
        self._submissions = Submissions(self._api, self._means, folder, who, self._model.identity())
        self._files.callback(self._submissions.close)
        for left in self._submissions.path.glob("*.requests"):
            left.unlink()  # of a session that was killed
        self._entries = await self._submissions.unfinished()
        for entry in self._entries:
            self._held += Spending.read(entry["reserved"])  # since the session began
            counted = entry.get("counted", {})
            self._noted |= {key: Spending.read(one) for key, one in counted.items()}
        self._booked = batches_of(folder, {entry["key"] for entry in self._entries})
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
            self._count(key, reserved, reserved if error.maybe_billed else spent(1, 0, 0, self._prices))
            # Of one request: `fatal` would stop the run with the results of the others unread.
            kind = "bad_request" if error.kind == "fatal" else error.kind
            raise ProviderError(kind, str(error), maybe_billed=error.maybe_billed) from error
        record, cost = request.record or key, self._noted.get(key)
        if cost is None:
            cost = used(reply.usage, reserved, self._prices)
            booked = self._where[key] in self._booked.get(record, ())
            self._count(key, reserved, Spending() if booked else cost)
        self._said.setdefault(record, {})[key] = cost
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

    def sources(self, record: str) -> set[str]:
        """The batches that gave what was read for the record of that key."""
        return {self._where[key] for key in self._said.get(record, ())}

    def finish(self) -> None:
        """The plan was walked to its end, and nothing is left to ask: what nobody read, nobody will read."""
        self._release()
        self._finished = True
        self._settle_entries()

    def close(self) -> None:
        """Close the files; what was submitted and is not recorded stays listed for the next session."""
        try:
            if self._entries and not self._finished:
                self._settle_entries()
        finally:
            self._files.close()

    def _settle_entries(self) -> None:
        """Note which batches are done, and of the others what was read."""
        known = batches_of(self._folder, {entry["key"] for entry in self._entries})
        open_: dict[str, dict[str, object]] = {entry["key"]: {} for entry in self._entries}
        over: dict[str, set[str]] = {entry["key"]: set() for entry in self._entries}
        for record, replies in self._said.items():
            for key, cost in replies.items():
                if (token := self._where[key]) in known.get(record, ()):
                    over[token].add(key)
                else:
                    open_[token][key] = {"record": record, **cost.stored(), "cost_usd": cost.cost}
        for key in self._told:
            over[self._where[key]].add(key)
        for entry in self._entries:
            self._settle_entry(entry, open_[entry["key"]], over[entry["key"]])

    def _settle_entry(self, entry: Entry, open_: dict[str, object], over: set[str]) -> None:
        if self._finished and not open_:
            self._submissions.done(entry)
        elif open_ or over:
            before, reserved = entry.get("counted", {}), Spending()
            if not self._finished:
                open_ = {key: one for key, one in before.items() if key not in over} | open_
                freed = [self._reserved[key] for key in open_.keys() | over if key in self._reserved]
                reserved = Spending.read(entry["reserved"]) - sum(freed, Spending())
            left = {"counted": open_, "over": sorted(over.union(entry.get("over", ())))}
            self._submissions.leave({**entry, **left, "reserved": reserved.stored()})

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
        over = set(entry.get("over", ()))
        wanted = [key for key in entry["requests"] if key not in over]
        keys = {custom_id(entry["key"], key): key for key in wanted}
        self._where |= dict.fromkeys(wanted, entry["key"])
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

    def _count(self, key: str, reserved: Spending, spending: Spending) -> None:
        """Book a result, once, in place of what was reserved for it."""
        if key not in self._reserved:
            self._reserved[key] = reserved
            self._means.budget.count(spending)
            before, self._held = self._held, self._held - reserved
            self._means.budget.release(before - self._held)

    def _release(self) -> None:
        self._means.budget.release(self._held)
        self._held = Spending()
